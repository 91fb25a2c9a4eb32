"""Packages of our own, assembled: what is where, what is generated, what is refused, and that bits repeat."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.archive_factory import Entry, Pkg, deb, python_packages

from bareboat.builder.base import base_tree_keys, make_base_trees
from bareboat.builder.debs import deb_tree_key, make_deb_tree, unpacking
from bareboat.errors import ArchiveError, StoreError
from bareboat.lock import Base, Deb
from bareboat.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def locked(store: Store, packages: Sequence[Pkg], extra: Sequence[Pkg] = ()) -> Base:
    """A base of these packages, whose debs are put into the store."""
    debs = []
    for package in (*packages, *extra):
        data = deb(package)
        digest = store.put_blob([data])
        debs.append(
            Deb(
                package.name,
                package.version,
                package.arch,
                package.filename,
                digest,
                len(data),
                "main",
                package in extra,
            )
        )
    return Base("debian", "trixie", "2026-01-01T00:00:00Z", tuple(debs), "3.13", "3.13.5", "glibc 2.41")


def build(store: Store, packages: Sequence[Pkg], extra: Sequence[Pkg] = ()) -> list[Path]:
    return make_base_trees(store, locked(store, packages, extra))


def listing(root: Path) -> dict[str, tuple[str, int, int, str]]:
    """Path → (kind, mode, mtime, content digest or link) of everything below."""
    found = {}
    for folder, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(folder) / name
            status = path.lstat()
            if path.is_symlink():
                what = os.readlink(path)
            else:
                what = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            kind = stat.S_IFMT(status.st_mode)
            found[str(path.relative_to(root))] = (
                str(kind),
                stat.S_IMODE(status.st_mode),
                int(status.st_mtime),
                what,
            )
    return found


def account(root: Path, name: str = "base") -> dict[str, object]:
    found: dict[str, object] = json.loads((root / f"usr/share/bareboat/{name}.json").read_text())
    return found


def test_a_base(store: Store) -> None:
    [root] = build(store, [p for p in python_packages() if p.name != "gawk"])
    assert os.readlink(root / "bin") == "usr/bin" and os.readlink(root / "lib64") == "usr/lib64"
    assert (root / "usr/lib/x86_64-linux-gnu/libc.so.6").is_file()
    assert os.readlink(root / "etc/alternatives/awk") == "/usr/bin/mawk"
    assert os.readlink(root / "usr/bin/awk") == "/etc/alternatives/awk"
    assert not (root / "etc/alternatives/awk.1.gz").is_symlink()  # its man page is not there
    assert (root / "etc/ssl/certs/ca-certificates.crt").read_text() == "AAA\nBBB\n"
    assert os.readlink(root / "usr/lib/ssl/cert.pem") == "/etc/ssl/certs/ca-certificates.crt"
    passwd = (root / "etc/passwd").read_text()
    assert passwd.startswith("root:") and "user:x:1000:1000" in passwd
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    for name in ("home/user", "app", "data", "results", "proc", "dev"):
        assert (root / name).is_dir()
    assert (root / "usr/share/doc/libpython3.13-stdlib/copyright").is_file()
    assert not (root / "usr/share/man").exists()
    status = (root / "var/lib/dpkg/status").read_text()
    assert status.count("Status: install ok installed") == 9
    assert (root / "var/lib/dpkg/status.d/bash").read_text() in status
    assert account(root)["scripts_not_run"] == {"mawk": ["postinst"]}


def test_extra_packages_are_a_tree_on_the_same_base(store: Store) -> None:
    core = [p for p in python_packages() if p.name != "gawk"]
    gawk = [p for p in python_packages() if p.name == "gawk"]
    plain = build(store, core)
    stacked = build(store, core, gawk)
    assert stacked[0] == plain[0] and len(stacked) == 2
    assert (
        os.readlink(stacked[1] / "etc/alternatives/awk") == "/usr/bin/gawk"
        or not (stacked[1] / "etc/alternatives/awk").is_symlink()
    )
    assert not (stacked[1] / "etc/passwd").exists()
    assert (stacked[1] / "var/lib/dpkg/status").read_text().count("Status:") == 10
    assert [p.name for p in (stacked[1] / "var/lib/dpkg/status.d").iterdir()] == ["gawk"]


def test_alternatives_of_extra_packages_win_by_priority(store: Store) -> None:
    core = [p for p in python_packages() if p.name != "gawk"]
    trees = build(store, core, [p for p in python_packages() if p.name == "gawk"])
    assert os.readlink(trees[1] / "etc/alternatives/awk") == "/usr/bin/gawk"


def test_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    base = locked(store, python_packages())
    first = make_base_trees(store, base)

    def never(*_: object) -> None:
        raise AssertionError("assembled again")

    monkeypatch.setattr("bareboat.builder.assembly.assemble", never)
    assert make_base_trees(store, base) == first


def test_bits_repeat(tmp_path: Path) -> None:
    packages = python_packages()
    old = os.umask(0o077)
    try:
        one = build(Store.open(tmp_path / "one"), packages)[0]
        os.umask(0)
        two = build(Store.open(tmp_path / "two"), packages)[0]
    finally:
        os.umask(old)
    assert listing(one) == listing(two)
    assert {m for k, m, _, _ in listing(one).values() if k == str(stat.S_IFREG)} == {0o644, 0o755}


def test_files_are_shared_not_copied(store: Store) -> None:
    base = locked(store, python_packages())
    [root] = make_base_trees(store, base)
    python = next(d for d in base.packages if d.name == "python3.13")
    own = make_deb_tree(store, python) / "tree/usr/bin/python3.13"
    assert own.stat().st_ino == (root / "usr/bin/python3.13").stat().st_ino


def test_keys_depend_on_packages_alone(store: Store) -> None:
    base = locked(store, python_packages())
    keys = base_tree_keys(base)
    assert len(keys) == 1 and keys != base_tree_keys(locked(store, python_packages()[1:]))
    from dataclasses import replace

    assert keys == base_tree_keys(replace(base, date="2027-01-01T00:00:00Z"))


def test_setuid_devices_and_owners_are_noted_and_dropped(store: Store) -> None:
    entries = [
        Entry("./usr/bin/su", b"su", mode=0o4755),
        Entry("./dev/null", kind="char"),
        Entry("./run/fifo", kind="fifo"),
        Entry("./var/mail", kind="dir", mode=0o2775, gid=8),
        Entry("./etc/secret", b"s", mode=0o600),
    ]
    [root] = build(store, [Pkg("a", entries=entries)])
    assert stat.S_IMODE((root / "usr/bin/su").stat().st_mode) == 0o755
    assert not (root / "dev/null").exists() and not (root / "run/fifo").exists()
    left = account(root)["left_out"]
    assert left == {
        "a": {
            "setuid": [["usr/bin/su", 0o4755], ["var/mail", 0o2775]],
            "devices": [["dev/null", 0o644], ["run/fifo", 0o644]],
            "owners": [["var/mail", 0, 8, "", ""]],
        }
    }


def test_same_path_same_content_is_fine_and_other_content_is_listed(store: Store) -> None:
    same = Entry("./usr/share/x", b"1")
    [root] = build(store, [Pkg("a", entries=[same]), Pkg("b", entries=[same])])
    assert account(root)["overlaps"] == []
    [root] = build(store, [Pkg("a", entries=[same]), Pkg("c", entries=[Entry("./usr/share/x", b"2")])])
    assert (root / "usr/share/x").read_text() == "2"
    overlaps = account(root)["overlaps"]
    assert isinstance(overlaps, list) and "a and c" in overlaps[0]


def test_replaces_decides(store: Store) -> None:
    a = Pkg("a", fields={"Replaces": "b (<< 9)"}, entries=[Entry("./usr/share/x", b"a")])
    b = Pkg("b", entries=[Entry("./usr/share/x", b"b")])
    for order in ([a, b], [b, a]):
        [root] = build(store, order)
        assert (root / "usr/share/x").read_text() == "a"
        assert account(root)["overlaps"] == []


def test_files_through_another_packages_link_land_where_it_points(store: Store) -> None:
    link = Pkg("a", entries=[Entry("./usr/lib/py", kind="symlink", link="../share/py")])
    files = Pkg("b", entries=[Entry("./usr/lib/py/x", b"1"), Entry("./lib/py/y", b"2")])
    [root] = build(store, [link, files])
    assert (root / "usr/share/py/x").read_text() == "1" and (root / "usr/share/py/y").read_text() == "2"
    assert os.readlink(root / "usr/lib/py") == "../share/py"


@pytest.mark.parametrize("target", ["/", "../../../../../..", "/../../etc", "/proc/self/root/etc"])
def test_links_out_of_the_root_stay_inside(store: Store, tmp_path: Path, target: str) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive")
    before = sorted(p.name for p in tmp_path.iterdir() if p.name != "store")
    link = Pkg("a", entries=[Entry("./usr/evil", kind="symlink", link=target)])
    files = Pkg("b", entries=[Entry("./usr/evil/tmp/owned", b"1"), Entry("./usr/evil/owned", b"1")])
    trees = build(store, [link, files])
    assert any(p.name == "owned" for p in trees[0].rglob("owned"))
    assert not Path("/owned").exists() and not Path("/tmp/owned").exists() and not Path("/etc/owned").exists()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "store") == before


def test_link_loops_are_refused(store: Store) -> None:
    loop = [
        Entry("./usr/a", kind="symlink", link="b"),
        Entry("./usr/b", kind="symlink", link="a"),
    ]
    with pytest.raises(ArchiveError) as caught:
        build(store, [Pkg("a", entries=loop), Pkg("b", entries=[Entry("./usr/a/x", b"1")])])
    assert caught.value.code == "deb.link"


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([Entry("./a", kind="symlink", link="/etc"), Entry("./a/passwd", b"x")], "tree."),
        ([Entry("../x", b"x")], "tar.path"),
        ([Entry("/x", b"x")], "tar.path"),
        ([Entry("./x", kind="hardlink", link="./etc/shadow")], "deb.link"),
        ([Entry("./x", kind="hardlink", link="../../etc/shadow")], "tar.path"),
        ([Entry("./x", b"1"), Entry("./x", b"2")], "tree.duplicate"),
        ([Entry("./x", b"1"), Entry("./x/y", b"2")], "tree."),
        ([Entry("./x/.wh.y", b"1")], "tree.whiteout"),
    ],
)
def test_hostile_packages_leave_nothing(store: Store, entries: list[Entry], code: str) -> None:
    base = locked(store, [Pkg("a", entries=entries)])
    with pytest.raises(ArchiveError) as caught:
        make_base_trees(store, base)
    assert caught.value.code.startswith(code)
    assert store.tree(deb_tree_key(base.packages[0].sha256)) is None
    assert all(store.tree(key) is None for key in base_tree_keys(base))


def test_a_file_where_a_directory_is_meant(store: Store) -> None:
    with pytest.raises(ArchiveError) as caught:
        build(store, [Pkg("a", entries=[Entry("./usr/x", b"1")]), Pkg("b", entries=[Entry("./usr/x/y", b"1")])])
    assert caught.value.code in ("deb.clash", "tree.clash")


def test_a_blob_that_rotted(store: Store) -> None:
    base = locked(store, python_packages())
    path = store.blob(base.packages[0].sha256)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArchiveError) as caught:
        make_base_trees(store, base)
    assert caught.value.code == "deb.digest"
    assert all(store.tree(key) is None for key in base_tree_keys(base))


def test_a_package_under_a_false_name(store: Store) -> None:
    data = deb(Pkg("b"))
    fake = Deb("a", "1.0-1", "amd64", "p", store.put_blob([data]), len(data))
    with pytest.raises(ArchiveError) as caught:
        make_deb_tree(store, fake)
    assert caught.value.code == "deb.identity"


def test_a_deb_that_is_not_there(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        make_deb_tree(store, Deb("a", "1", "amd64", "p", "0" * 64, 1))
    assert caught.value.code == "debian.missing-deb"


def test_unpacking_while_others_arrive(store: Store) -> None:
    bad = Pkg("zz", entries=[Entry("../x", b"x")])
    base = locked(store, [*python_packages(), bad])
    with unpacking(store, base) as arrived:
        for package in base.packages:
            arrived(package.sha256)
    trees = [store.tree(deb_tree_key(d.sha256)) for d in base.packages]
    assert all(trees[:-1]) and trees[-1] is None
    with pytest.raises(ArchiveError) as caught:
        make_base_trees(store, base)
    assert caught.value.code == "tar.path"


_PARTS = st.sampled_from(["a", "b", "..", ".", "", "etc", "usr", "lib", "/", "tmp"])
_PATHS = st.lists(_PARTS, min_size=1, max_size=4).map("/".join)
_ENTRIES = st.builds(
    Entry,
    path=_PATHS,
    content=st.just(b"x"),
    kind=st.sampled_from(["file", "dir", "symlink", "hardlink"]),
    link=_PATHS,
)


def try_everything(packages: list[list[Entry]], canary: Path) -> None:
    """Assemble hostile packages beside a canary that the links can reach; only ArchiveError may come out."""
    canary.mkdir()
    (canary / "etc").mkdir()
    (canary / "etc/a").write_text("alive")
    store = Store.open(canary / "store")
    try:
        build(store, [Pkg(f"p{n}", entries=entries) for n, entries in enumerate(packages)])
    except ArchiveError:
        pass
    found = sorted(str(p.relative_to(canary)) for p in canary.rglob("*") if "store" not in p.parts)
    assert found == ["etc", "etc/a"] and (canary / "etc/a").read_text() == "alive"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(_ENTRIES, max_size=5), min_size=1, max_size=3))
def test_whatever_is_in_packages_stays_in_the_tree(packages: list[list[Entry]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try_everything(packages, Path(folder) / "world")


def test_control_the_standard_librarys_extractor_is_caught(tmp_path: Path) -> None:
    """The broken variant that the test above must catch: tarfile's own extraction follows a link outside."""
    import io
    import tarfile

    from tests.archive_factory import tar

    canary, root = tmp_path / "canary", tmp_path / "root"
    canary.mkdir()
    data = tar([Entry("a", kind="symlink", link=str(canary)), Entry("a/owned", b"x")])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(root, **({"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}))
    assert (canary / "owned").exists()
    (canary / "owned").unlink()
    with pytest.raises(ArchiveError):
        build(
            Store.open(tmp_path / "store"),
            [Pkg("a", entries=[Entry("a", kind="symlink", link=str(canary)), Entry("a/owned", b"x")])],
        )
    assert list(canary.iterdir()) == []
