"""Reading the code that a snapshot does not know yet: contents into a pack, entries into an index.

Apart from snapshots.py because most runs find their code unchanged and never need this.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from bareboat.digests import hasher, sha256
from bareboat.record.values import CodeSnapshot
from bareboat.store.codewalk import Found
from bareboat.store.packs import Pack
from bareboat.values import TYPE_CHECKING, Any, dataclass, replace

if TYPE_CHECKING:
    from bareboat.store import Store

FORMAT = 1
HUGE = 50 << 20  # a file worth a warning: it is probably data
BOUND = 1 << 30  # contents beyond this sum are named by digest and not kept
MANY_PACKS = 100  # then everything small goes into one new pack
RACY = (
    2_000_000_000  # ns: a file changed this shortly before it was read may change again within its timestamps
)
_NEW = "new"  # stands for the digest of the pack until all of it has been read
Cached = tuple[int, int, int, int, str, str, int]  # size, mtime, ctime, inode, sha256, pack, offset


@dataclass(frozen=True)
class Entry:
    """A file ("f": mode, sha256, size, pack and offset of its content; pack "" when not kept), a symlink
    ("l":
    target) or an empty directory ("d")."""

    kind: str
    path: str
    mode: int = 0
    sha256: str = ""
    target: str = ""
    size: int = 0
    pack: str = ""
    offset: int = 0

    def canonical(self) -> list[object]:
        """What identity is made of."""
        if self.kind == "f":
            return ["f", self.path, self.mode, self.sha256]
        return ["l", self.path, self.target] if self.kind == "l" else ["d", self.path]


@dataclass(frozen=True)
class Packed:
    """Code that was read. files: the cache of next time; racy: it holds files too young to be trusted."""

    snapshot: CodeSnapshot
    warnings: tuple[str, ...]
    racy: bool
    files: dict[str, Cached]
    index: bytes
    pack: Pack
    new_pack: str


def pack_code(store: Store, root: Path, found: list[Found], cache: object, now: int) -> Packed:
    """Read what the cache of last time does not know. now: ns since the epoch, before the walk.

    A file that cannot be read is left out with a warning; one that vanished silently.
    """
    known: dict[str, list[Any]] = {}
    if isinstance(cache, dict):
        known = {path: row for path, row in cache.items() if isinstance(row, list) and len(row) == 7}
    packs = {str(row[5]) for row in known.values()}
    present = {pack for pack in packs if pack and store.blob(pack)} if len(packs) <= MANY_PACKS else set()
    contents = {row[4]: (row[5], row[6]) for row in known.values() if row[5] in present}
    pack = Pack(store.home)
    entries: list[Entry] = []
    files: dict[str, Cached] = {}
    warnings: list[str] = []
    left_out: list[str] = []
    total = 0
    racy = False
    for f in found:
        if f.kind != "f":
            entries.append(Entry(f.kind, f.path, target=f.target))
            continue
        row = known.get(f.path)
        if (
            row is not None
            and row[:4] == [f.size, f.mtime, f.ctime, f.inode]
            and (row[5] in present or not f.size or (not row[5] and total + f.size > BOUND))
        ):
            entry = Entry("f", f.path, f.mode, row[4], size=f.size, pack=row[5], offset=row[6])
            young = False
        else:
            try:
                entry, young = _content(root, f, contents, pack, total)
            except FileNotFoundError:
                continue  # gone between the walk and now
            except OSError as error:
                left_out.append(f.path)
                warnings.append(f"{f.path} cannot be read ({error.strerror}) and is not kept with the run")
                continue
        young = young or max(f.mtime, f.ctime) > now - RACY
        racy = racy or young
        # A young file is remembered for its content alone: its times cannot yet tell a later edit.
        times = (0, 0, 0, 0) if young else (f.size, f.mtime, f.ctime, f.inode)
        files[f.path] = (*times, entry.sha256, entry.pack, entry.offset)
        total += entry.size if entry.pack else 0
        if entry.size > HUGE:
            warnings.append(
                f"{f.path} ({entry.size / 1e6:.0f} MB) is kept with the code of each run that changes it; "
                "data belong in data/"
            )
        if not entry.pack and entry.size:
            left_out.append(f.path)
        entries.append(entry)
    return _finish(entries, files, pack, (tuple(warnings), tuple(left_out), racy))


def _finish(
    entries: list[Entry],
    files: dict[str, Cached],
    pack: Pack,
    notes: tuple[tuple[str, ...], tuple[str, ...], bool],
) -> Packed:
    warnings, left_out, racy = notes
    new = pack.sha256() if pack.size else ""
    if new:
        entries = [replace(e, pack=new) if e.pack == _NEW else e for e in entries]
        files = {path: (*row[:5], new, row[6]) if row[5] == _NEW else row for path, row in files.items()}
    packs = tuple(dict.fromkeys(e.pack for e in entries if e.pack))
    index = index_bytes(entries, packs)
    code = CodeSnapshot(
        digest=canonical_digest(entries),
        index=sha256(index).hexdigest(),
        packs=packs,
        files=sum(e.kind == "f" for e in entries),
        bytes=sum(e.size for e in entries),
        left_out=left_out[:100],
    )
    return Packed(code, warnings, racy, files, index, pack, new)


def index_bytes(entries: Iterable[Entry], packs: tuple[str, ...]) -> bytes:
    """The index of a snapshot: every entry, and in which of the packs a content is."""
    numbers = {digest: number for number, digest in enumerate(packs)}
    rows = [
        [*e.canonical(), e.size, numbers.get(e.pack, -1), e.offset] if e.kind == "f" else e.canonical()
        for e in entries
    ]
    return _json({"format": FORMAT, "packs": packs, "entries": rows})


def canonical_digest(entries: Iterable[Entry]) -> str:
    """The identity of a snapshot: "sha256:" of its canonical manifest."""
    return "sha256:" + sha256(_json([e.canonical() for e in entries])).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _content(
    root: Path, f: Found, contents: dict[str, tuple[str, int]], pack: Pack, total: int
) -> tuple[Entry, bool]:
    """Read one file: its entry, and whether it changed meanwhile."""
    fd = os.open(f"{root}/{f.path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(fd)
        if before.st_mode & 0o170000 != 0o100000:
            raise FileNotFoundError(f.path)  # replaced by something that is no file
        start = pack.size
        digest = hasher(total + before.st_size)
        size = 0
        keep_it = total + before.st_size <= BOUND
        while chunk := os.read(fd, 1 << 20 if before.st_size > 65536 else 65537):
            digest.update(chunk)
            size += len(chunk)
            if keep_it:
                pack.append(chunk)
            if total + size > BOUND:
                keep_it = False
        after = os.fstat(fd)
    finally:
        os.close(fd)
    sha256 = digest.hexdigest()
    young = (
        (before.st_mtime_ns, before.st_ctime_ns, before.st_size, before.st_ino)
        != (f.mtime, f.ctime, f.size, f.inode)
        or after.st_mtime_ns != f.mtime
        or after.st_ctime_ns != f.ctime
    )
    where: tuple[str, int] = contents.get(sha256, (_NEW, start)) if size else ("", 0)
    if not keep_it:
        where = ("", 0)
    if where != (_NEW, start) or not size:
        pack.truncate(start)
    else:
        contents[sha256] = where
    return Entry("f", f.path, f.mode, sha256, size=size, pack=where[0], offset=where[1]), young
