"""Images of real tools, unpacked by us, Docker and umoci: type, mode, time, link, content, hard links; no difference.

Expected and taken into account: what a user cannot make (devices, owners, setuid bits, extended attributes) is listed
beside the tree instead, and the owner may always read.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.builder.layer_factory import E, block, d, hard, padded, sym, tar
from tests.live.layer_images import DOCKERFILES, SCRIPTS, SETUP, TARS
from tests.live.layout_kit import take, write_layout
from tests.live.test_save import PEERS, call, peer

from bareboat.builder.layers import make_image_tree
from bareboat.store import Store

pytestmark = pytest.mark.live
TAG = "bareboat-test/layers"
MOUNTED = {".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "dev/console", "dev/pts",
           "dev/shm"}


@dataclass(frozen=True)
class Seen:
    """One path of a tree. mode: as a user may have it on disk; same: the other names of a file."""

    kind: str
    mode: int = 0
    mtime: int = 0
    content: str = ""
    same: tuple[str, ...] = ()


@dataclass
class Tree:
    """A tree as another tool has it; devices: what we are to leave out."""

    seen: dict[str, Seen] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)


def on_disk(mode: int, directory: bool) -> int:
    return mode & 0o1777 | 0o700 if directory else mode & 0o777 | 0o400


def of_folder(root: Path) -> Tree:
    found, inodes = Tree(), dict[int, list[str]]()
    for folder, folders, names in os.walk(os.fsencode(root)):
        for name in [*folders, *names]:
            full = folder + b"/" + name
            path, status = os.fsdecode(os.path.relpath(full, os.fsencode(root))), os.lstat(full)
            mode, mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
            if stat.S_ISLNK(status.st_mode):
                found.seen[path] = Seen("link", 0, mtime, os.fsdecode(os.readlink(full)))
            elif stat.S_ISDIR(status.st_mode):
                found.seen[path] = Seen("dir", on_disk(mode, True), mtime)
            elif stat.S_ISREG(status.st_mode):
                inodes.setdefault(status.st_ino, []).append(path)
                with open(full, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
                found.seen[path] = Seen("file", on_disk(mode, False), mtime, content)
            else:
                found.devices.add(path)
    return grouped(found, list(inodes.values()))


def of_export(path: Path) -> Tree:
    """What `docker export` tells. It lists later names of a file as hard links to the first."""
    found, groups = Tree(), dict[str, list[str]]()
    with tarfile.open(path, errors="surrogateescape") as archive:
        for m in archive:
            name, mtime = m.name.strip("/"), int(m.mtime)
            if m.islnk():
                target = m.linkname.strip("/")
                if target in found.seen:
                    found.seen[name] = found.seen[target]
                    groups.setdefault(target, [target]).append(name)
                else:
                    found.devices.add(name)
            elif m.issym():
                found.seen[name] = Seen("link", 0, mtime, m.linkname)
            elif m.isdir():
                found.seen[name] = Seen("dir", on_disk(m.mode, True), mtime)
            elif m.isfile():
                file = archive.extractfile(m)
                assert file is not None
                found.seen[name] = Seen("file", on_disk(m.mode, False), mtime, hashlib.sha256(file.read()).hexdigest())
            else:
                found.devices.add(name)
    return grouped(found, [g for g in groups.values() if found.seen[g[0]].kind == "file"])


def grouped(tree: Tree, groups: list[list[str]]) -> Tree:
    for group in groups:
        for path in group if len(group) > 1 else ():
            was = tree.seen[path]
            tree.seen[path] = Seen(was.kind, was.mode, was.mtime, was.content, tuple(sorted(group)))
    return tree


def differences(ours: Tree, theirs: Tree, began: float, made: frozenset[str] = frozenset()) -> list[str]:
    """What differs; made: paths that the other tool makes itself in every container.

    A directory that the other tool touched after it began has its time from that: a parent that no layer lists, or one
    that was written into through a link.
    """
    found = []
    for path in (ours.seen.keys() | theirs.seen.keys()) - made:
        one, other = ours.seen.get(path), theirs.seen.get(path)
        if one and other and one.kind == other.kind == "dir" and other.mtime >= began:
            other = replace(other, mtime=one.mtime)
        if one != other:
            found.append(f"{path!r}: {one} and not {other}")
    return sorted(found) + [f"{p!r} is there" for p in theirs.devices & ours.seen.keys()] + [
        f"{p!r} was made" for p in ours.devices]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox, statically linked")
    root = tmp_path_factory.mktemp("context")
    shutil.copy(busybox, root / "busybox")
    tree = root / "tree"
    (tree / "sub/empty").mkdir(parents=True)
    (tree / "one").write_text("1\n")
    (tree / "sub/two").write_text("2\n" * 1000)
    (tree / "sub/link").symlink_to("../one")
    (tree / "dangling").symlink_to("/nowhere/at/all")
    os.link(tree / "one", tree / "sub/hard")
    os.chmod(tree / "sub/two", 0o751)
    os.utime(tree / "one", (1_234_567_890, 1_234_567_890))
    with open(tree / "sparse", "wb") as file:
        file.truncate(3 << 20)
        for at in (1 << 20, 2 << 20):
            file.seek(at)
            file.write(b"x" * 5000)
    os.symlink("tree/one", root / "link")
    with tarfile.open(root / "data.tar.gz", "w:gz") as archive:
        archive.add(tree, "tree")
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    found = Store.open(tmp_path_factory.mktemp("store") / "home")
    yield found
    found.close()


def docker_export(layout_or_tag: str, at: Path) -> Tree:
    """The file system of a container of an image, as Docker has unpacked it."""
    container = peer("docker", "create", layout_or_tag, "/bin/none").strip()
    try:
        peer("docker", "export", "-o", str(at), container)
    finally:
        peer("docker", "rm", container)
    return of_export(at)


def check_docker(store: Store, layout: Path, tag: str, at: Path, began: float) -> None:
    ours = of_folder(make_image_tree(store, take(store, layout)))
    theirs = docker_export(tag, at)
    made = {p for p in theirs.seen if p in MOUNTED or p in ("dev", "etc", "proc", "sys")}
    assert differences(ours, theirs, began, frozenset(made)) == []


def check_umoci(store: Store, layout: Path, at: Path) -> None:
    image = take(store, layout)
    ours, began = of_folder(make_image_tree(store, image)), int(time.time())
    peer("umoci", "unpack", *(["--rootless"] if os.getuid() else []), "--image", f"{layout}:1", str(at))
    try:
        assert differences(ours, of_folder(at / "rootfs"), began) == []
    finally:
        call("chmod", "-R", "u+rwx", str(at))
        shutil.rmtree(at)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_of_docker(name: str, context: Path, store: Store, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"{SETUP}{DOCKERFILES[name]}\n")
    tag = f"{TAG}:{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    try:
        peer("docker", "build", "-q", "-t", tag, "-f", str(tmp_path / "Dockerfile"), str(context))
        peer("docker", "save", "-o", str(tmp_path / "saved.tar"), tag)
        layout = tmp_path / "layout"
        peer("skopeo", "copy", "-q", f"docker-archive:{tmp_path}/saved.tar", f"oci:{layout}:1")
        check_docker(store, layout, tag, tmp_path / "export.tar", math.inf)
        check_umoci(store, layout, tmp_path / "bundle")
    finally:
        call(shutil.which("docker", path=f"{PEERS}:{os.environ['PATH']}") or "docker", "rmi", "-f", tag)


@pytest.fixture(scope="module")
def base(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout of two layers, of our own making."""
    root = tmp_path_factory.mktemp("base")
    lower = [d("a"), E("a/b", b"1" * 100_000), E("a/c", b"2"), sym("l", "a"), E("e", mode=0o751)]
    upper = [d("a"), E("a/.wh.c"), E("a/b", b"3"), hard("a/h", "a/b")]
    return write_layout(root / "layout", [tar(lower), tar(upper)])


@pytest.mark.parametrize("name", SCRIPTS)
def test_images_of_other_tools(name: str, context: Path, base: Path, store: Store, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(context, work, symlinks=True)
    layout = tmp_path / "layout"
    program = "skopeo" if name.startswith(("zstd", "gzip")) else name.partition(":")[0]
    peer(program, "--version")
    done = subprocess.run(["sh", "-euc", SCRIPTS[name]], capture_output=True, text=True, timeout=300, check=False, env={
        **os.environ, "PATH": f"{PEERS}:{os.environ['PATH']}", "W": str(work), "OUT": str(layout), "BASE": str(base),
        "ROOTLESS": "--rootless" if os.getuid() else ""})
    assert done.returncode == 0, done.stderr
    check_umoci(store, layout, tmp_path / "bundle")


NOT_UMOCI = {  # what umoci 0.5 cannot read: Docker is asked alone
    "sparse gnu", "global comment", "global header"}
NOT_DOCKER = {  # what Docker refuses or does otherwise: umoci is asked alone
    "sparse gnu": "refused; the content is compared with the files it was made of",
    "a name twice": "refused", "a file over a directory": "refused as a name twice",
    "hard link into a lower layer": "its overlay driver unpacks each layer by itself",
    "below a link": "as above: lib becomes a directory, and what was in it is gone (a trap)",
    "below an absolute link": "as above"}


def check(name: str, store: Store, layout: Path, tmp_path: Path) -> None:
    if name not in NOT_UMOCI:
        check_umoci(store, layout, tmp_path / "bundle")
    if name not in NOT_DOCKER:
        archive, tag, began = tmp_path / "image.tar", f"{TAG}:hand", int(time.time())
        peer("skopeo", "copy", "-q", f"oci:{layout}:1", f"docker-archive:{archive}:{tag}")
        peer("docker", "load", "-i", str(archive))
        try:
            check_docker(store, layout, tag, tmp_path / "export.tar", began)
        finally:
            peer("docker", "rmi", "-f", tag)


@pytest.mark.parametrize("name", TARS)
def test_tars_of_gnu(name: str, context: Path, store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    if "xattrs" in name:
        shutil.copytree(context / "tree", tmp_path / "tree", symlinks=True)
        os.setxattr(tmp_path / "tree/one", "user.note", b"x")
        context = tmp_path
    done = call("tar", "-C", str(context / "tree"), "-cf", str(archive), *TARS[name].split(), ".")
    assert done.returncode == 0, done.stderr
    layout = write_layout(tmp_path / "layout", [archive.read_bytes()])
    check(name, store, layout, tmp_path)
    ours = of_folder(make_image_tree(store, take(store, layout)))
    assert {p: s.content for p, s in ours.seen.items()} == {
        p: s.content for p, s in of_folder(context / "tree").seen.items()}


GLOBAL = block(E("g", kind=b"g"), b"pax_global_header", b"", 19) + padded(b"19 comment=abcdefg\n")
HAND_MADE: dict[str, list[list[E | bytes]]] = {
    "no parents": [[E("a/b/c/d", b"1")], [E("a/b/e", b"2"), E("a/b/.wh.c")]],
    "directories after their content": [[E("a/b", b"1"), d("a", 0o711, mtime=7)]],
    "opaque before": [[d("a"), E("a/x")], [E("a/.wh..wh..opq"), d("a"), E("a/y")]],
    "opaque after": [[d("a"), E("a/x")], [d("a"), E("a/y"), E("a/.wh..wh..opq")]],
    "whiteout of nothing": [[E("a")], [E(".wh.b")]],
    "a name twice": [[E("a", b"1"), E("b", b"2"), E("a", b"3")]],
    "a file over a directory": [[d("a"), E("a/b"), E("a", b"1")]],
    "hard link to a link": [[sym("s", "/nowhere"), hard("h", "s")]],
    "hard link into a lower layer": [[E("a", b"1")], [hard("b", "a")]],
    "absolute hard link": [[E("x/a", b"1"), hard("b", "/x/a")]],
    "global header": [[GLOBAL, E("a", b"1")]],
    "below a link": [[d("usr"), d("usr/lib"), sym("lib", "usr/lib")], [E("lib/x", b"1"), E("lib/y/z", b"2")]],
    "below an absolute link": [[d("usr"), d("usr/lib"), sym("lib", "/usr/lib")], [E("lib/x", b"1")]],
    "a directory over a link": [[d("usr"), E("usr/a"), sym("lib", "usr")], [d("lib"), E("lib/b")]],
    "device numbers": [[E("dev/x", kind=b"3", mode=0o666), E("f", b"1")]],
    "nothing": [[]],
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_layers_by_hand(name: str, store: Store, tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", [tar(layer) for layer in HAND_MADE[name]])
    check(name, store, layout, tmp_path)


def test_the_comparison_sees_what_differs(tmp_path: Path) -> None:
    """The control: each of these changes to a tree is a difference."""
    def make(root: Path) -> Path:
        (root / "d").mkdir(parents=True)
        (root / "f").write_text("x")
        os.link(root / "f", root / "g")
        (root / "l").symlink_to("f")
        for path in (root / "d", root / "f"):
            os.utime(path, (1, 1))
        os.utime(root / "l", (1, 1), follow_symlinks=False)
        return root

    changes: list[Callable[[Path], object]] = [
        lambda r: (r / "f").write_text("y"), lambda r: os.chmod(r / "f", 0o600), lambda r: os.utime(r / "f", (2, 2)),
        lambda r: os.rmdir(r / "d"), lambda r: (r / "new").touch(), lambda r: os.mkfifo(r / "p"),
        lambda r: (os.unlink(r / "g"), shutil.copy2(r / "f", r / "g")),
        lambda r: (os.unlink(r / "l"), os.symlink("g", r / "l")), lambda r: os.chmod(r / "d", 0o711)]
    reference = of_folder(make(tmp_path / "reference"))
    assert differences(of_folder(make(tmp_path / "same")), reference, math.inf) == []
    for number, change in enumerate(changes):
        root = make(tmp_path / str(number))
        change(root)
        assert differences(of_folder(root), reference, math.inf), number
