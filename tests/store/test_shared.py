"""A store below the user's own: what of it is used, what is not and why, and that it is never written."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bareboat.builder.blobs import tree_entries
from bareboat.builder.footing import with_footing
from bareboat.builder.stacking import BESIDE, lowers, owes_bytecode
from bareboat.errors import ArchiveError
from bareboat.store import Store
from bareboat.store.gc import Policy
from bareboat.store.store import Below
from bareboat.store.treewriter import TreeWriter

ME = os.getuid()
TORCH = b"a large library" * 20_000
SHA = hashlib.sha256(TORCH).hexdigest()


def fill(tree: TreeWriter) -> None:
    tree.file("lib/torch.so", 0o644, [TORCH])
    tree.file("etc/passwd", 0o644, [b"root:x:0:0\n"])
    tree.directory("tmp", 0o1777)
    tree.directory("open/deep", 0o777)
    tree.file("open/anybody", 0o666, [b"x"])
    tree.directory("root", 0o700)
    tree.file("root/secret", 0o600, [b"s"])
    tree.symlink("etc/link", "passwd")


class Lab:
    """An owner's store with one tree and one blob, lent; and a user's, with what it was told."""

    def __init__(self, base: Path) -> None:
        base.chmod(0o755)
        self.base, self.home = base, base / "lab"
        self.owner = Store.open(self.home)
        self.root = self.owner.make_tree("wheel-torch", fill)
        self.owner.put_blob([TORCH])
        self.owner.settle()
        self.owner.lend()
        self.owner.close()
        self.owner = Store.open(self.home)
        self.said: list[str] = []

    @property
    def blob(self) -> Path:
        return self.home / "blobs/sha256" / SHA

    def user(self, name: str = "user", owner: int = ME) -> Store:
        return Store.open(self.base / name, below=Below(self.home, owner, self.said.append))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "x").mkdir()
    return Lab(tmp_path / "x")


def snapshot(home: Path) -> dict[str, tuple[int, int, int]]:
    """Everything about a store but access times."""
    found = {}
    for path in [home, *home.rglob("*")]:
        status = path.lstat()
        found[str(path)] = status.st_mode, status.st_mtime_ns, status.st_ino
    return found


def test_trees_and_blobs_are_used_where_they_are(lab: Lab) -> None:
    before, user = snapshot(lab.home), lab.user()
    assert user.tree("wheel-torch") == lab.root and user.blob(SHA) == lab.blob
    assert user.trees(["none", "wheel-torch"]) == [None, lab.root]
    assert user.verified_blob(SHA) == lab.blob and lab.said == []

    def never(tree: TreeWriter) -> None:
        raise AssertionError("it is there")

    assert user.make_tree("wheel-torch", never) == lab.root
    assert user.is_shared(lab.root) and not user.is_shared(user.make_tree("own", lambda tree: None))
    user.gc(Policy(older_than=0, grace=0))
    user.remove_blob(SHA)
    assert user.usage().total < len(TORCH), "what is not in it is not counted"
    assert not user.check().damaged
    assert snapshot(lab.home) == before


def test_images_are_there_by_name(lab: Lab) -> None:
    plan = lab.owner.put_blob([b"the plan"])
    document = {"plan": "sha256:abc", "plan_blob": plan, "trees": ["wheel-torch"]}
    lab.owner.put_json("plans", "sha256:abc", document)
    lab.owner.tag("lab/torch:1", "sha256:abc")
    user = lab.user()
    assert user.shared_images() == {"lab/torch:1": "sha256:abc"} and user.tags() == {}
    assert user.borrow_plan("sha256:abc") and not user.borrow_plan("sha256:def")
    assert user.get_json("plans", "sha256:abc") == document
    blob = user.blob(plan)
    assert blob is not None and blob.is_relative_to(user.home), "a record of the user's must not lose it"
    file = lab.home / "documents/tags" / os.listdir(lab.home / "documents/tags")[0]
    file.write_bytes(file.read_bytes().replace(b"abc", b"abd"))
    assert user.shared_images() == {}
    lab.owner.tag("lab/torch:1", "sha256:abc")
    file.chmod(0o666)
    assert user.shared_images() == {}, "others could have written it"


def test_what_is_missing_goes_to_the_users_own(lab: Lab) -> None:
    user = lab.user()
    root = user.make_tree("wheel-mine", lambda tree: tree.file("a", 0o644, [b"a"]))
    assert root.is_relative_to(user.home) and user.put_blob([b"mine"])
    assert lab.owner.tree("wheel-mine") is None and user.tree("nowhere") is None and user.blob("0" * 64) is None


def test_others_read_what_they_may_and_write_nothing(lab: Lab) -> None:
    for path in [lab.home, *lab.home.rglob("*")]:
        mode = path.lstat().st_mode
        assert stat.S_ISLNK(mode) or not mode & 0o022, path
    opened = {p.name for p in lab.home.iterdir() if p.lstat().st_mode & 0o055}
    assert opened == {"blobs", "trees", "documents", "format", "shared"}
    listed = {str(p.relative_to(lab.home)) for p in lab.home.rglob("*") if p.is_dir() and "trees/" not in str(p)
              and p.lstat().st_mode & 0o044}
    assert listed == {"documents/tags", "documents/plans"}, "nobody finds snapshots of code by looking"
    for kind in ("cache", "tags"):
        lab.owner.put_json(kind, "new", {})
        assert bool((lab.home / "documents" / kind).stat().st_mode & 0o055) == (kind == "tags")
    later = lab.owner.make_tree("later", fill)
    assert not stat.S_IMODE((later / "tmp").stat().st_mode) & 0o022, "what is added is lent as well"
    lab.owner.settle()
    assert lab.user().tree("later") == later
    modes = {e.path: e.mode for e in tree_entries(later)}
    assert (modes["tmp"], modes["open/deep"], modes["open/anybody"]) == (0o1777, 0o777, 0o666), "what is shipped"
    assert not Store.open(lab.home).check().damaged


def test_a_closed_store_is_not_used(lab: Lab) -> None:
    lab.owner.recall()
    assert lab.home.stat().st_mode & 0o777 == 0o700
    lab.home.chmod(0o755)
    user = lab.user()
    assert user.tree("wheel-torch") is None and user.blob(SHA) is None
    assert len(lab.said) == 1 and "is not shared" in lab.said[0], "said once"
    assert Store.open(lab.home).home.stat().st_mode & 0o777 == 0o700


def loosen(path: str) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        place = lab.home / path
        place.chmod(place.stat().st_mode | 0o020)

    return change


@pytest.mark.parametrize("spoil", [
    loosen("."), loosen("trees"), loosen("blobs/sha256"), loosen(".."),
    lambda lab: (lab.home / "format").write_text("99"), lambda lab: (lab.home / "format").unlink(),
], ids=["home", "trees", "blobs", "above", "newer", "no store"])
def test_a_store_that_is_not_in_order_is_not_used_and_that_is_said(lab: Lab, spoil: Callable[[Lab], None]) -> None:
    spoil(lab)
    user = lab.user()
    assert user.tree("wheel-torch") is None and user.blob(SHA) is None
    assert len(lab.said) == 1 and "the shared store is not used" in lab.said[0]


@pytest.mark.skipif(ME != 0, reason="only root can give a file away")
@pytest.mark.parametrize("path", [".", "trees", "trees/wheel-torch", "trees/wheel-torch/root/lib/torch.so", "blobs"])
def test_what_belongs_to_a_stranger_is_not_used(lab: Lab, path: str) -> None:
    os.chown(lab.home / path, 4321, -1)
    user = lab.user(owner=1234)
    assert user.tree("wheel-torch") is None
    assert any("uid 4321" in line for line in lab.said)
    assert lab.user("second", owner=4321).tree("wheel-torch") == lab.root, "unless the settings name them"


def test_a_poisoned_blob_is_refused_once_and_for_all(lab: Lab) -> None:
    lab.blob.chmod(0o644)
    lab.blob.write_bytes(b"a large trojan " * 20_000)
    user = lab.user()
    assert user.blob(SHA) is None and user.verified_blob(SHA) is None
    assert any("has another sha256" in line for line in lab.said)
    lab.said.clear()
    assert lab.user().blob(SHA) is None and not lab.said, "remembered, not read again"
    assert user.put_blob([TORCH]) == SHA and user.blob(SHA) != lab.blob
    lab.blob.write_bytes(TORCH)
    assert lab.user("second").blob(SHA) == lab.blob


def test_a_blob_that_changes_after_it_was_found_right_is_looked_at_again(lab: Lab) -> None:
    assert lab.user().blob(SHA) == lab.blob
    lab.blob.chmod(0o644)
    lab.blob.write_bytes(TORCH[:-1] + b"!")
    assert lab.user().blob(SHA) is None


@pytest.mark.parametrize("spoil", [
    lambda root: (root / "lib/torch.so").write_bytes(TORCH[:-1] + b"!"),
    lambda root: (root / "lib/more").write_bytes(b""),
    lambda root: (root / "lib/torch.so").unlink(),
    lambda root: (root / "lib").chmod(0o775),
    lambda root: (root / "lib/torch.so").chmod(0o664),
    lambda root: (root.parent / "manifest").write_bytes(b"bareboat tree 1 nothing"),
], ids=["content", "more", "less", "writable directory", "writable file", "manifest"])
def test_a_tree_that_is_not_as_it_was_made_is_refused(lab: Lab, spoil: Callable[[Path], object]) -> None:
    spoil(lab.root)
    user = lab.user()
    assert user.tree("wheel-torch") is None and len(lab.said) == 1, lab.said
    own = user.make_tree("wheel-torch", fill)
    assert own.is_relative_to(user.home)


def test_what_was_compared_is_remembered_for_a_user_and_a_thing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from bareboat.store import manifest

    compared: list[str] = []
    real = manifest.differences
    monkeypatch.setattr(manifest, "differences", lambda root, *a, **k: (compared.append(root), real(root, *a, **k))[1])
    first, second = lab.user(), lab.user()
    assert first.tree("wheel-torch") and first.tree("wheel-torch") and second.tree("wheel-torch")
    lab.owner.make_tree("later", fill)
    lab.owner.settle()
    assert second.tree("later") and first.blob(SHA) and lab.user().tree("later")
    assert len(compared) == 2
    assert lab.user("another").tree("wheel-torch") and len(compared) == 3


def test_the_footing_is_what_is_seen_through_the_row(lab: Lab) -> None:
    def cover(tree: TreeWriter) -> None:
        tree.file("open", 0o644, [b"a file where a directory is below"])
        tree.file("etc/hosts", 0o644, [b"h"])

    above = lab.owner.make_tree("wheel-cover", cover)
    lab.owner.settle()
    user = lab.user()
    own = user.make_tree("own", lambda tree: tree.file("mine", 0o644, [b""]))
    stacked = with_footing(user, ["wheel-torch", "wheel-cover", "own", "wheel-torch"],
                           [lab.root, above, own, lab.root])
    assert [t for t in stacked if "footing-" not in str(t)] == [lab.root, above, own, lab.root]
    first = stacked[2]
    found = {str(p.relative_to(first)): stat.S_IMODE(p.lstat().st_mode) for p in first.rglob("*")}
    assert found == {"etc": 0o755, "etc/passwd": 0o644, "etc/link": 0o777, "etc/hosts": 0o644, "lib": 0o755,
                     "tmp": 0o1777, "root": 0o700}
    assert (first / "etc/passwd").read_bytes() == b"root:x:0:0\n"
    try:
        os.setxattr(lab.base, "user.test", b"")
    except (OSError, AttributeError):
        pass  # no such marks on this file system
    else:
        assert os.getxattr(first / "root", "user.overlay.opaque") == b"y"
    assert stacked == with_footing(user, ["wheel-torch", "wheel-cover", "own", "wheel-torch"],
                                   [lab.root, above, own, lab.root])


def test_a_wheels_bytecode_lies_beside_it(lab: Lab) -> None:
    user = lab.user()
    assert owes_bytecode(user, ["pyc-base", "pyc-torch"])
    user.make_tree("pyc-base", lambda tree: None)
    beside = user.make_tree(BESIDE + "pyc-torch", lambda tree: tree.file("lib/x.pyc", 0o644, [b""]))
    assert not owes_bytecode(user, ["pyc-base", "pyc-torch"])
    stacked = lowers(user, ["wheel-torch"], ["pyc-base", "pyc-torch"])
    assert stacked[-1] == beside and stacked[1] == lab.root


def test_the_owners_gc_leaves_what_others_have_mounted(lab: Lab) -> None:
    user = lab.user()
    everything = Policy(older_than=0, grace=0)
    lowers(user, ["wheel-torch"], [])
    assert "wheel-torch" not in {r.key for r in lab.owner.gc(everything).removed}
    assert user.tree("wheel-torch") == lab.root
    user.close()
    other = lab.user("other")  # as the supervisor of a container, to which somebody else gave the trees' paths
    with other.lease(["wheel-torch", "wheel-none", SHA]):
        assert "wheel-torch" not in {r.key for r in lab.owner.gc(everything).removed}
    other.close()
    assert "wheel-torch" in {r.key for r in lab.owner.gc(everything).removed}
    assert lab.user().tree("wheel-torch") is None


def test_a_tree_that_goes_before_it_is_held_is_told(lab: Lab) -> None:
    user = lab.user()
    assert user.tree("wheel-torch") == lab.root
    lab.owner.gc(Policy(older_than=0, grace=0))
    with pytest.raises(ArchiveError) as caught:
        with_footing(user, ["wheel-torch"], [lab.root])
    assert caught.value.code == "tree.gone"


def test_reading_is_use(lab: Lab) -> None:
    """Others cannot stamp what they use; the access time does."""
    old = 1_000_000_000
    for path in (lab.root.parent / "manifest", lab.root.parent / "synced", lab.blob):
        os.utime(path, (old, old))
    policy = Policy(older_than=30 * 86400)
    assert {r.key for r in lab.owner.gc(Policy(older_than=30 * 86400, dry_run=True)).removed} == {"wheel-torch", SHA}
    for path in (lab.root.parent / "manifest", lab.blob):
        os.utime(path, (old + 10**9, old))  # as the kernel does, at most once a day
    assert lab.owner.gc(policy).removed == ()
