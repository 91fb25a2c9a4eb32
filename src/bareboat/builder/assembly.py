"""Assembling a base: packages merged, generated files added, written as trees of hard links."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bareboat.builder.debs import Unpacked, unpack_all
from bareboat.builder.merging import Merge, Node
from bareboat.image import ldcache
from bareboat.image.maintainer import Alternative, choose
from bareboat.image.tarstream import DIRECTORY, FILE, SYMLINK
from bareboat.lock import Base
from bareboat.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bareboat.store.treewriter import TreeWriter

ALIASES = ("bin", "sbin", "lib")  # made always; lib64 and its like when a package has files there
DIRECTORIES = (
    "app",
    "boot",
    "data",
    "dev",
    "etc",
    "home",
    "home/user",
    "media",
    "mnt",
    "opt",
    "proc",
    "results",
    "root",
    "run",
    "run/lock",
    "srv",
    "sys",
    "usr/local/bin",
    "usr/local/lib",
    "var/lib/dpkg",
)
OPEN_DIRECTORIES = ("tmp", "var/tmp")  # mode 1777
USER = "user:x:1000:1000::/home/user:/bin/bash\n"
GROUP = "user:x:1000:\n"
NSSWITCH = (
    "passwd: files\ngroup: files\nshadow: files\ngshadow: files\nhosts: files dns\nnetworks: files\n"
    "protocols: files\nservices: files\nethers: files\nrpc: files\nnetgroup: files\n"
)
HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
MOZILLA = "usr/share/ca-certificates/mozilla/"


@dataclass
class _Tree:
    """One tree to be written: merged packages, and generated files and links on them."""

    merge: Merge
    packages: list[Unpacked]
    files: dict[str, bytes] = field(default_factory=dict)

    def link(self, path: str, target: str) -> None:
        """A generated link, unless a package brings the path or the tree below has the very same."""
        path = self.merge.place(path)
        present, node = self.merge.find(path), Node(SYMLINK, 0o777, target)
        if present is None or (present.owner is None and present != node):
            self.merge.nodes[path] = node

    def file(self, path: str, content: bytes) -> None:
        """A generated file, unless a package of this tree brings the path."""
        path = self.merge.place(path)
        if path not in self.merge.nodes or self.merge.nodes[path].owner is None:
            self.files[path] = content
            self.merge.nodes[path] = Node(FILE, 0o644)


def assemble(store: Store, base: Base, keys: Sequence[str]) -> list[Path]:
    """Make the trees of a base under these keys, bottom to top. See builder.base.make_base_trees."""
    with store.lease([*keys, *(d.sha256 for d in base.packages)]):
        unpacked = dict(zip((d.sha256 for d in base.packages), unpack_all(store, base.packages), strict=True))
        core = [unpacked[d.sha256] for d in base.packages if not d.extra]
        extra = [unpacked[d.sha256] for d in base.packages if d.extra]
        arch = next((d.architecture for d in base.packages if d.architecture != "all"), "amd64")
        bottom = _core(core, base, arch)
        trees = [store.make_tree(keys[0], lambda writer: _write(writer, bottom))]
        if extra:
            top = _extra(extra, core, bottom, base, arch)
            trees.append(store.make_tree(keys[1], lambda writer: _write(writer, top)))
        return trees


def _same(first: Node, second: Node) -> bool:
    """Whether two packages bring the same thing at a path."""
    if first.kind != second.kind or first.mode != second.mode or first.link != second.link:
        return False
    if first.kind != FILE or first.owner is None or second.owner is None:
        return True
    paths = [n.owner.files / n.stored for n in (first, second) if n.owner is not None]
    return (
        paths[0].stat().st_size == paths[1].stat().st_size and paths[0].read_bytes() == paths[1].read_bytes()
    )


def _read(merge: Merge, path: str) -> bytes | None:
    _, node = merge.resolve(path)
    if node is None or node.owner is None or node.kind != FILE:
        return None
    return (node.owner.files / node.stored).read_bytes()


def _core(packages: list[Unpacked], base: Base, arch: str) -> _Tree:
    merge = Merge(_same)
    tree = _Tree(merge, packages)
    have = {
        e[0].split("/")[1] for p in packages for e in p.entries if e[0].startswith("usr/lib") and "/" in e[0]
    }
    for name in (*ALIASES, *sorted(n for n in have if n in ("lib32", "lib64", "libx32", "libo32"))):
        merge.nodes[name] = Node(SYMLINK, 0o777, f"usr/{name}")
    merge.add(packages)
    for path, mode in [*((p, 0o755) for p in DIRECTORIES), *((p, 0o1777) for p in OPEN_DIRECTORIES)]:
        merge.nodes[merge.place(path)] = Node(DIRECTORY, mode)
    passwd = _read(merge, "usr/share/base-passwd/passwd.master")
    group = _read(merge, "usr/share/base-passwd/group.master")
    tree.file("etc/passwd", _accounts(passwd, "root:*:0:0:root:/root:/bin/bash\n") + USER.encode())
    tree.file("etc/group", _accounts(group, "root:*:0:\n") + GROUP.encode())
    tree.file("etc/nsswitch.conf", NSSWITCH.encode())
    tree.file("etc/hosts", HOSTS.encode())
    tree.file("etc/resolv.conf", b"")  # the engine mounts the host's on it
    tree.file("etc/timezone", b"Etc/UTC\n")
    tree.link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    tree.link("var/run", "/run")
    tree.link("var/lock", "/run/lock")
    bundle = b"".join(
        _read(merge, p) or b"" for p in sorted(merge.nodes) if p.startswith(MOZILLA) and p.endswith(".crt")
    )
    if bundle:
        tree.file(BUNDLE, bundle)
        tree.link("etc/ssl/cert.pem", "certs/ca-certificates.crt")
        tree.link("usr/lib/ssl/cert.pem", "/" + BUNDLE)  # OpenSSL's own default: works without any variable
    _finish(tree, packages, packages, arch, "base")
    return tree


def _extra(packages: list[Unpacked], core: list[Unpacked], bottom: _Tree, base: Base, arch: str) -> _Tree:
    tree = _Tree(Merge(_same, bottom.merge), packages)
    tree.merge.add(packages)
    _finish(tree, packages, [*core, *packages], arch, "base-extra")
    return tree


def _accounts(master: bytes | None, fallback: str) -> bytes:
    """base-passwd's master file; "*" in the password field stays, so nobody can log in with one."""
    return master if master else fallback.encode()


def _finish(tree: _Tree, own: list[Unpacked], everything: list[Unpacked], arch: str, name: str) -> None:
    """What each tree of a stack has: alternatives, the package lists, the loader's cache, the account of
    it all."""
    _alternatives(tree, choose(a for p in everything for a in p.alternatives if _exists(tree.merge, a)))
    for p in own:
        tree.file(f"var/lib/dpkg/status.d/{p.fields['Package']}", _status(p).encode())
    tree.file(
        "var/lib/dpkg/status",
        "\n".join(_status(p) for p in sorted(everything, key=lambda p: p.name)).encode(),
    )
    if arch in ldcache.ARCHITECTURES:
        tree.file("etc/ld.so.cache", ldcache.build(_libraries(tree.merge, arch), arch))
    account = {
        "packages": [f"{p.fields['Package']} {p.fields['Version']}" for p in own],
        "scripts_not_run": {p.name: list(p.scripts) for p in own if p.scripts},
        "left_out": {p.name: p.left_out for p in own if p.left_out},
        "overlaps": tree.merge.overlaps,
    }
    text = json.dumps(account, indent=1, sort_keys=True).encode("utf-8", "surrogateescape")
    tree.file(f"usr/share/bareboat/{name}.json", text + b"\n")


def _exists(merge: Merge, alternative: Alternative) -> bool:
    return merge.resolve(alternative.path)[1] is not None


def _alternatives(tree: _Tree, chosen: list[Alternative]) -> None:
    for one in chosen:
        for link, name, path in ((one.link, one.name, one.path), *one.slaves):
            if tree.merge.resolve(path)[1] is not None:  # documentation may be gone
                tree.link(f"etc/alternatives/{name}", f"/{path}")
                tree.link(link, f"/etc/alternatives/{name}")


def _status(package: Unpacked) -> str:
    lines = package.control.rstrip("\n").split("\n")
    return "\n".join([lines[0], "Status: install ok installed", *lines[1:]]) + "\n"


def _library_directories(merge: Merge, arch: str) -> list[str]:
    """As ldconfig visits them: ld.so.conf.d by name, then the defaults."""
    triplet = ldcache.TRIPLETS[arch]
    confs = {
        p
        for m in (merge, merge.below)
        if m
        for p in m.nodes
        if p.startswith("etc/ld.so.conf.d/") and p.endswith(".conf")
    }
    found: list[str] = []
    for conf in sorted(confs):
        for line in (_read(merge, conf) or b"").decode("utf-8", "replace").splitlines():
            path = line.partition("#")[0].strip()
            if path.startswith("/"):
                found.append(merge.place(path.strip("/") + "/x").rpartition("/")[0])
    return list(dict.fromkeys([*found, f"usr/lib/{triplet}", "usr/lib", "usr/lib64"]))


def _libraries(merge: Merge, arch: str) -> list[tuple[str, str]]:
    wanted = _library_directories(merge, arch)
    inside: dict[str, set[str]] = {d: set() for d in wanted}
    for level in (merge.below, merge):
        for path in level.nodes if level else ():
            folder, _, name = path.rpartition("/")
            if folder in inside and ldcache.is_library(name):
                inside[folder].add(name)
    found: list[tuple[str, str]] = []
    for folder in wanted:
        for name in sorted(inside[folder]):
            path, node = merge.resolve(f"{folder}/{name}")
            if node is None or node.kind != FILE or node.owner is None:
                continue
            is_link = path != f"{folder}/{name}"
            declared = _soname(node.owner.files / node.stored, arch, wanted=not is_link)
            if declared is not None and (is_link or declared in ("", name)):
                found.append((name, f"/{folder}/{name}"))
    return found


def _soname(file: Path, arch: str, *, wanted: bool) -> str | None:
    """A library's soname, "" where it has none or it is not wanted; None when it is not one of this
    architecture."""
    import mmap

    with file.open("rb") as opened:
        if not ldcache.is_native(opened.read(20), arch):
            return None
        if not wanted:
            return ""
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return ldcache.soname(data)  # type: ignore[arg-type]


def _write(writer: TreeWriter, tree: _Tree) -> None:
    """The decided tree on disk: packages' files as hard links, the rest written; sorted, so parents come
    first."""
    for path in sorted(tree.merge.nodes):
        node = tree.merge.nodes[path]
        if path in tree.files:
            writer.file(path, 0o644, [tree.files[path]])
        elif node.kind == SYMLINK:
            writer.symlink(path, node.link)
        elif node.kind == DIRECTORY:
            writer.directory(path, node.mode)
        elif node.owner is not None:
            writer.link_file(node.owner.files / node.stored, path)
