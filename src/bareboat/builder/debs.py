"""A Debian package as a tree of the store: unpacked once per machine, nothing executed.

The tree of a package holds `tree/` (its files, usr-merged, without documentation) and `deb.json` (what
merging, listing and packing need: control, entries, alternatives, what was left out).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bareboat.errors import ArchiveError, BareboatError, StoreError
from bareboat.image.deb import DebFile
from bareboat.image.maintainer import Alternative, parse_alternatives
from bareboat.image.tarstream import DIRECTORY, FILE, HARDLINK, OTHER, SYMLINK, Member
from bareboat.lock import Base, Deb
from bareboat.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bareboat.store.treewriter import TreeWriter

FORMAT = "2"  # part of the key: raised when the same package would give another tree
DROPPED = (
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bug/",
    "usr/share/doc-base/",
    "usr/share/linda/",
    "usr/share/groff/",
    "usr/share/gnome/help/",
    "usr/share/menu/",
)
_DOC = "usr/share/doc/"


@dataclass(frozen=True)
class Unpacked:
    """A package's tree. files: the directory that holds its files; entries: (path, kind, mode, link
    target)."""

    name: str
    root: Path
    control: str
    fields: dict[str, str]
    entries: tuple[tuple[str, str, int, str], ...]
    alternatives: tuple[Alternative, ...] = ()
    scripts: tuple[str, ...] = ()
    left_out: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        """Where the package's own files begin."""
        return self.root / "tree"


def deb_tree_key(sha256: str) -> str:
    """The key of a package's tree: a function of its bytes and of how bareboat unpacks."""
    return f"deb-{FORMAT}-{sha256}"


def is_kept(path: str) -> bool:
    """Whether a file stays: documentation goes, except for copyright files."""
    if path.startswith(_DOC):
        return path.endswith("/copyright") and path.count("/") == 4
    return not path.startswith(DROPPED)


class _Filling:
    """Writes one package into its tree and notes what is kept beside the files."""

    def __init__(self, writer: TreeWriter, deb: DebFile) -> None:
        self.writer, self.deb = writer, deb
        self.entries: dict[str, tuple[str, int, str]] = {}
        self.setuid: list[list[Any]] = []
        self.owners: list[list[Any]] = []
        self.devices: list[list[Any]] = []

    def run(self) -> None:
        self.writer.directory("tree")
        for member, chunks in self.deb.members():
            if not member.path or (member.kind != DIRECTORY and not is_kept(member.path)):
                continue
            if member.kind == OTHER:
                self.devices.append([member.path, member.mode])
                continue
            self._note_owner(member)
            self._write(member, chunks)
        self.writer.file("deb.json", 0o644, [self._document()])

    def _note_owner(self, member: Member) -> None:
        if member.kind in (FILE, DIRECTORY) and member.mode & 0o6000:
            self.setuid.append([member.path, member.mode])
        if member.kind != HARDLINK and (member.uid or member.gid):
            self.owners.append([member.path, member.uid, member.gid, member.owner, member.group])

    def _write(self, member: Member, chunks: Iterator[bytes]) -> None:
        path, kind = f"tree/{member.path}", member.kind
        if kind == DIRECTORY:
            mode = 0o1777 if member.mode & 0o1000 else 0o755
            if is_kept(member.path + "/x") and not f"{member.path}/".startswith(_DOC):
                self.writer.directory(path, mode)
                self.entries[member.path] = (DIRECTORY, mode, "")
            return
        if kind == SYMLINK:
            self.writer.symlink(path, member.link)
            self.entries[member.path] = (SYMLINK, 0o777, member.link)
            return
        if kind == HARDLINK:
            target = self.entries.get(member.link)
            if target is None or target[0] != FILE:
                raise ArchiveError(
                    "deb.link",
                    f"{member.path!r} is a hard link to {member.link!r}, which is no file "
                    "before it in this package",
                    where=self.deb.where,
                )
            self.writer.hardlink(path, f"tree/{member.link}")
            self.entries[member.path] = target
            return
        mode = 0o755 if member.mode & 0o111 else 0o644
        self.writer.file(path, mode, chunks)
        self.entries[member.path] = (FILE, mode, "")

    def _document(self) -> bytes:
        control = self.deb.control
        alternatives = parse_alternatives(control.texts.get("postinst", ""))
        return json.dumps(
            {
                "control": control.text,
                "fields": control.fields,
                "scripts": control.scripts,
                "conffiles": control.conffiles,
                "entries": [[p, *e] for p, e in sorted(self.entries.items())],
                "alternatives": [[a.link, a.name, a.path, a.priority, a.slaves] for a in alternatives],
                "setuid": self.setuid,
                "owners": self.owners,
                "devices": self.devices,
            },
            separators=(",", ":"),
            sort_keys=True,
        ).encode("utf-8", "surrogateescape")


def make_deb_tree(store: Store, deb: Deb) -> Path:
    """The tree of a package whose blob is in the store. Idempotent, atomic.

    ArchiveError: "deb.*", "tar.*", "tree.*"; "deb.digest" when the blob is not the package it should be;
    StoreError "debian.missing-deb" when the blob is not there.
    """
    key = deb_tree_key(deb.sha256)
    found = store.tree(key)
    if found is not None:
        return found
    path = store.blob(deb.sha256)
    if path is None:
        raise StoreError(
            "debian.missing-deb",
            f"{deb.name} {deb.version} is not in the store",
            where=deb.path,
            hint="it is fetched when the machine is online",
        )
    where = f"{deb.name} {deb.version}"
    with path.open("rb") as file:
        _check_digest(file, deb, where)

        def fill(writer: TreeWriter) -> None:
            package = DebFile(file, where)
            named = package.control.fields.get("Package"), package.control.fields.get("Version")
            if named != (deb.name, deb.version):
                raise ArchiveError(
                    "deb.identity", f"the package says it is {named[0]} {named[1]}", where=where
                )
            _Filling(writer, package).run()

        return store.make_tree(key, fill)


def _check_digest(file: Any, deb: Deb, where: str) -> None:
    """Verified again before anything is decompressed, since the file may have lain on a disk for years."""
    import hashlib

    digest = hashlib.sha256()
    while data := file.read(1 << 20):
        digest.update(data)
    if digest.hexdigest() != deb.sha256 or file.tell() != deb.size:
        raise ArchiveError(
            "deb.digest",
            "the package is not what the lock says it is",
            where=where,
            hint="remove it with `bareboat gc` or a fresh store, and run again",
        )


def read_unpacked(name: str, root: Path) -> Unpacked:
    """What is known of a package's tree."""
    doc: dict[str, Any] = json.loads((root / "deb.json").read_bytes().decode("utf-8", "surrogateescape"))
    return Unpacked(
        name,
        root,
        doc["control"],
        doc["fields"],
        tuple((p, k, m, t) for p, k, m, t in doc["entries"]),
        tuple(
            Alternative(a, n, p, i, tuple((x, y, z) for x, y, z in s))
            for a, n, p, i, s in doc["alternatives"]
        ),
        tuple(doc["scripts"]),
        {k: doc[k] for k in ("setuid", "owners", "devices") if doc[k]},
    )


def unpack_all(store: Store, debs: Iterable[Deb]) -> list[Unpacked]:
    """Every package's tree, made in parallel where missing, in the order given."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    listed = list(debs)
    largest_first = sorted(listed, key=lambda d: -d.size)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        jobs = {d.sha256: pool.submit(make_deb_tree, store, d) for d in largest_first}
        return [read_unpacked(d.name, jobs[d.sha256].result()) for d in listed]


@contextmanager
def unpacking(store: Store, base: Base) -> Iterator[Callable[[str], None]]:
    """Unpack each package as it arrives: the value is what fetch_debs calls with a sha256.

    A package that cannot be unpacked is passed over here: make_base_trees meets it again and says why.
    Leaving waits for what has begun; on an error it does not begin more.
    """
    import os
    from concurrent.futures import ThreadPoolExecutor

    debs = {d.sha256: d for d in base.packages}

    def unpack(sha256: str) -> None:
        try:
            make_deb_tree(store, debs[sha256])
        except BareboatError:
            pass

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    def arrived(sha256: str) -> None:
        pool.submit(unpack, sha256)

    try:
        yield arrived
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
