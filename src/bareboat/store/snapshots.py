"""Snapshots of code: content-addressed, deduplicated between runs, an unchanged folder for the price of its
walk.

    take(store, root, CodeRules(…)) -> Taken                 before the start: reads, hashes; writes nothing
    keep(store, taken) -> None                               after the start (any thread): makes it durable
    snapshot(store, root, rules) -> Taken                    both at once
    taken.snapshot -> record.values.CodeSnapshot             for RunRecord.code; known before keep
    taken.warnings -> tuple[str, ...]                        for the user

Reading is in store/codetree.py:

    materialise(store, code: CodeSnapshot) -> Path           read-only tree of the code, made once
    listing(store, code) -> tuple[Entry, ...]                what is in it
    content(store, entry) -> bytes                           one file of it

A snapshot is an index blob (entries in byte order of their paths, with the pack and offset of each content)
and packs: blobs of concatenated contents, one for each snapshot that brought new ones. Small files thus
cost no inode and no fsync each. The digest is of the canonical manifest alone, so it does not depend on how
contents are packed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bareboat.errors import RecordError
from bareboat.record.values import CodeSnapshot
from bareboat.store.codewalk import CodeRules, Found, walk
from bareboat.store.packs import Pack

if TYPE_CHECKING:
    from bareboat.store import Store

FORMAT = 1
HUGE = 50 << 20  # a file worth a warning: it is probably data
BOUND = 1 << 30  # contents beyond this sum are named by digest and not kept
MANY_PACKS = 100  # then everything small goes into one new pack
RACY = (
    2_000_000_000  # ns: a file changed this shortly before it was read may change again within its timestamps
)

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
class Taken:
    """A snapshot that has been read. pending: what keep must write, None when everything is there already."""

    snapshot: CodeSnapshot
    warnings: tuple[str, ...] = ()
    pending: Pending | None = field(default=None, compare=False)
    new_pack: str = ""


@dataclass(frozen=True)
class Pending:
    """Bytes and caches that are not in the store yet."""

    cache_key: str
    head: dict[str, object]
    files: dict[str, Cached]
    index: bytes
    pack: Pack


def snapshot(store: Store, root: Path, rules: CodeRules) -> Taken:
    """Take and keep at once."""
    taken = take(store, root, rules)
    keep(store, taken)
    return taken


def take(store: Store, root: Path, rules: CodeRules, now: float | None = None) -> Taken:
    """Read the code under root as it is now. Writes nothing; keep makes it durable.

    A file that changes while it is read is recorded as it was read; one that vanishes is left out. Sockets,
    fifos and devices are skipped. now: seconds since the epoch, for files too young to trust their
    timestamps. Raises RecordError record.code when root cannot be read at all.
    """
    found, unreadable = walk(root, rules)
    started = _clock(now)
    key = "code-" + hashlib.sha256(os.fsencode(root) + repr(rules.scope).encode()).hexdigest()[:40]
    signature = _signature(found)
    head = store.get_json("cache", key + "-head")
    if isinstance(head, dict) and head.get("signature") == signature and not head.get("racy"):
        known = _known(store, head)
        if known is not None:
            return Taken(known, tuple(str(w) for w in _list(head.get("warnings"))))
    return _read(store, root, found, _Reading(key, signature, started, unreadable))


@dataclass(frozen=True)
class _Reading:
    key: str
    signature: str
    started: int
    unreadable: tuple[str, ...]


def _clock(now: float | None) -> int:
    import time

    return int((time.time() if now is None else now) * 1e9)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _signature(found: list[Found]) -> str:
    digest = hashlib.sha256()
    for f in found:
        digest.update(
            f"{f.path}\0{f.kind}{f.size},{f.mtime},{f.ctime},{f.inode},{f.mode},{f.target}\n".encode(
                "utf-8", "surrogateescape"
            )
        )
    return digest.hexdigest()


def _known(store: Store, head: dict[str, Any]) -> CodeSnapshot | None:
    """The snapshot of a cache head, when all its blobs are still there."""
    from bareboat.record.codec import decode

    try:
        code = decode(CodeSnapshot, head.get("snapshot"), "cache")
    except RecordError:
        return None
    return code if all(store.blob(digest) for digest in (code.index, *code.packs)) else None


def _read(store: Store, root: Path, found: list[Found], reading: _Reading) -> Taken:
    cache = store.get_json("cache", reading.key + "-files")
    known: dict[str, Any] = cache if isinstance(cache, dict) else {}
    packs = {str(row[5]) for row in known.values() if isinstance(row, list) and len(row) == 7}
    present = {pack for pack in packs if pack and store.blob(pack)} if len(packs) <= MANY_PACKS else set()
    contents = {
        row[4]: (row[5], row[6]) for row in known.values() if isinstance(row, list) and row[5] in present
    }
    pack = Pack(store.home)
    entries: list[Entry] = []
    files: dict[str, Cached] = {}
    warnings: list[str] = []
    left_out = list(reading.unreadable)
    total = 0
    racy = False
    for f in found:
        if f.kind != "f":
            entries.append(Entry(f.kind, f.path, target=f.target))
            continue
        row = known.get(f.path)
        if (
            isinstance(row, list)
            and row[:4] == [f.size, f.mtime, f.ctime, f.inode]
            and (row[5] in present or (not row[5] and total + f.size > BOUND))
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
        young = young or max(f.mtime, f.ctime) > reading.started - RACY
        racy = racy or young
        # A young file is remembered for its content alone: its times cannot yet tell a later edit.
        times = (0, 0, 0, 0) if young else (f.size, f.mtime, f.ctime, f.inode)
        files[f.path] = (*times, entry.sha256, entry.pack, entry.offset)
        total += entry.size
        if entry.size > HUGE:
            warnings.append(
                f"{f.path} ({entry.size / 1e6:.0f} MB) is kept with the code of each run that changes it; "
                "data belong in data/"
            )
        if not entry.pack and entry.size:
            left_out.append(f.path)
        entries.append(entry)
    return _finish(entries, files, pack, reading, (tuple(warnings), tuple(left_out), racy))


def _finish(
    entries: list[Entry],
    files: dict[str, Cached],
    pack: Pack,
    reading: _Reading,
    notes: tuple[tuple[str, ...], tuple[str, ...], bool],
) -> Taken:
    warnings, left_out, racy = notes
    new = pack.sha256() if pack.size else ""
    entries = [
        Entry(e.kind, e.path, e.mode, e.sha256, e.target, e.size, new, e.offset) if e.pack == _NEW else e
        for e in entries
    ]
    files = {path: (*row[:5], new, row[6]) if row[5] == _NEW else row for path, row in files.items()}
    packs = tuple(dict.fromkeys(e.pack for e in entries if e.pack))
    numbers = {digest: number for number, digest in enumerate(packs)}
    index = _json(
        {
            "format": FORMAT,
            "packs": packs,
            "entries": [
                [*e.canonical(), e.size, numbers.get(e.pack, -1), e.offset]
                if e.kind == "f"
                else e.canonical()
                for e in entries
            ],
        }
    )
    code = CodeSnapshot(
        digest=canonical_digest(entries),
        index=hashlib.sha256(index).hexdigest(),
        packs=packs,
        files=sum(e.kind == "f" for e in entries),
        bytes=sum(e.size for e in entries),
        left_out=left_out[:100],
    )
    from bareboat.record.codec import encode

    head: dict[str, object] = {
        "signature": reading.signature,
        "racy": racy,
        "snapshot": encode(code),
        "warnings": list(warnings),
    }
    return Taken(code, warnings, Pending(reading.key, head, files, index, pack), new)


def canonical_digest(entries: Iterable[Entry]) -> str:
    """The identity of a snapshot: "sha256:" of its canonical manifest."""
    return "sha256:" + hashlib.sha256(_json([e.canonical() for e in entries])).hexdigest()


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
        digest = hashlib.sha256()
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


_NEW = "new"  # stands for the pack's digest until all of it has been read


def keep(store: Store, taken: Taken) -> None:
    """Write what is new, contents first: a snapshot whose index is there is whole. Idempotent; any thread.

    Raises StoreError when the disk is full.
    """
    pending = taken.pending
    if pending is None:
        return
    if pending.pack.size:
        store.put_blob(
            pending.pack.chunks(), sha256=taken.new_pack, size=pending.pack.size, where="code snapshot"
        )
    pending.pack.close()
    if not store.blob(taken.snapshot.index):
        store.put_blob(
            [pending.index], sha256=taken.snapshot.index, size=len(pending.index), where="code snapshot"
        )
    store.put_json("cache", pending.cache_key + "-files", pending.files)
    store.put_json("cache", pending.cache_key + "-head", pending.head)
