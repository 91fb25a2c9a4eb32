"""Fingerprints of data: what they were by listing, and by content as far as time and budget go.

    f = Fingerprinter(store)                     no thread yet
    f.start([(target, source), …])               after the program has started; returns at once
    f.finish(timeout) -> tuple[DataSource, …]    at the end: what is known by then, for RunRecord.data;
    never raises

Contents that were hashed once are remembered by (size, mtime, ctime, inode), so that large data become
complete over several runs and small ones cost nothing the second time. A million files are one pass of stat
in a thread, one folder's names in memory at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

from bareboat.digests import sha256
from bareboat.errors import BareboatError
from bareboat.record.gathered import DataFile, DataFingerprint, DataSource
from bareboat.values import TYPE_CHECKING, dataclass, field

if TYPE_CHECKING:
    from bareboat.store import Store

LISTED = 100  # files that a record names one by one; the others are in its digests
REMEMBERED = 50_000  # digests that are remembered of one source
SETTLED = 2_000_000_000  # ns
BUDGET = 16 << 30  # bytes that one run reads for digests


@dataclass
class _State:
    """What a walk knows so far; written by one thread, read by another after it stopped."""

    count: int = 0
    bytes: int = 0
    hashed: int = 0
    walked: bool = False
    whole: bool = False
    listing: str = ""
    sizes: str = ""
    content: str = ""
    files: list[DataFile] = field(default_factory=list)
    known: dict[str, list[object]] = field(default_factory=dict)
    changed: bool = False

    def fingerprint(self) -> DataFingerprint:
        status = "complete" if self.whole else "stat-only" if self.walked else "partial"
        return DataFingerprint(
            status,
            self.count,
            self.bytes,
            self.hashed,
            self.listing if self.walked else "",
            self.sizes if self.walked else "",
            self.content if self.whole else "",
            tuple(self.files),
        )


@dataclass(frozen=True)
class _File:
    path: str
    status: os.stat_result
    link: str


class Fingerprinter:
    """Fingerprints data in the background of a run. budget: bytes to read for digests in all."""

    def __init__(self, store: Store | None, budget: int = BUDGET) -> None:
        self._store, self._left = store, budget
        self._stop = Event()
        self._sources: list[tuple[str, Path, _State]] = []
        self._thread: Thread | None = None

    def start(self, sources: Sequence[tuple[str, Path]]) -> None:
        """Begin. sources: (target inside, path on the host). Once."""
        self._sources = [(target, path, _State()) for target, path in sources]
        if sources:
            self._thread = Thread(target=self._work, daemon=True, name="fingerprint")
            self._thread.start()

    def finish(self, timeout: float) -> tuple[DataSource, ...]:
        """Stop within timeout (seconds; 0: at once) and say what is known. A stuck file system delays nothing
        more.
        """
        if self._thread is not None:
            self._thread.join(max(timeout, 0))
            self._stop.set()
            self._thread.join(0.2)
            if not self._thread.is_alive():
                self._remember()
        return tuple(DataSource(t, os.fspath(path), state.fingerprint()) for t, path, state in self._sources)

    def _work(self) -> None:
        try:  # all listings first: they are cheap and say the most
            for _, path, state in self._sources:
                self._list(path, state)
            for _, path, state in self._sources:
                self._hash(path, state)
        except OSError:
            return  # data that went away in the middle: what is known stays partial

    def _list(self, source: Path, state: _State) -> None:
        listing, sizes = sha256(), sha256()
        for file in walk(source):
            if self._stop.is_set():
                return
            name, size, mtime = os.fsencode(file.path), file.status.st_size, file.status.st_mtime_ns
            link = os.fsencode(file.link)
            listing.update(b"%s\0%d,%d,%s\n" % (name, size, mtime, link))
            sizes.update(b"%s\0%d,%s\n" % (name, size, link))
            state.count += 1
            state.bytes += size
            if len(state.files) < LISTED:
                state.files.append(DataFile(file.path, size, mtime))
        state.listing, state.sizes, state.walked = listing.hexdigest(), sizes.hexdigest(), True

    def _hash(self, source: Path, state: _State) -> None:
        state.known = self._recall(source)
        content = sha256()
        whole = True
        for number, file in enumerate(walk(source)):
            if self._stop.is_set():
                return
            digest = (
                sha256(os.fsencode(file.link)).hexdigest()
                if file.link
                else self._content(source, file, state)
            )
            if not digest:
                whole = False
                continue
            content.update(os.fsencode(file.path) + b"\0" + digest.encode() + b"\n")
            if number < len(state.files) and state.files[number].path == file.path:
                old = state.files[number]
                state.files[number] = DataFile(old.path, old.size, old.mtime, digest)
        state.content = content.hexdigest()
        state.whole = whole

    def _content(self, source: Path, file: _File, state: _State) -> str:
        s = file.status
        mark: list[object] = [s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino]
        row = state.known.get(file.path)
        if row is not None and row[:4] == mark:
            state.hashed += s.st_size
            return str(row[4])
        if s.st_size > self._left:
            return ""
        self._left -= s.st_size
        digest = self._read(f"{os.fspath(source)}/{file.path}" if file.path else os.fspath(source))
        if digest:
            state.hashed += s.st_size
            # A file changed just now may change again within its timestamps: it is hashed again next time.
            settled = time.time_ns() - s.st_ctime_ns > SETTLED
            if settled and (len(state.known) < REMEMBERED or file.path in state.known):
                state.known[file.path] = [*mark, digest]
                state.changed = True
        return digest

    def _read(self, path: str) -> str:
        import hashlib

        digest = hashlib.sha256()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return ""
        try:
            while chunk := os.read(fd, 1 << 20):
                digest.update(chunk)
                if self._stop.is_set():
                    return ""
        except OSError:
            return ""
        finally:
            os.close(fd)
        return digest.hexdigest()

    def _recall(self, source: Path) -> dict[str, list[object]]:
        try:
            known = self._store.get_json("cache", _key(source)) if self._store else None
        except BareboatError:
            return {}
        if not isinstance(known, dict):
            return {}
        return {path: row for path, row in known.items() if isinstance(row, list) and len(row) == 5}

    def _remember(self) -> None:
        for _, path, state in self._sources:
            if state.changed and self._store is not None:
                try:
                    self._store.put_json("cache", _key(path), state.known)
                except BareboatError:
                    pass  # a full disk: the digests will be computed again


def fingerprint(source: Path, store: Store | None = None) -> DataFingerprint:
    """The whole fingerprint, now, without a bound. Reads every byte that is not remembered."""
    worker = Fingerprinter(store, budget=1 << 62)
    worker.start([("", source)])
    return worker.finish(float(1 << 30))[0].fingerprint


def walk(source: Path) -> Iterator[_File]:
    """Regular files and symlinks below source (or source itself, path ""), each folder's names in byte order.

    Links are never followed, except that source may be one. What vanishes or cannot be listed is left out.
    Raises OSError when source itself is gone.
    """
    top = os.stat(source)
    if top.st_mode & 0o170000 == 0o100000:
        yield _File("", top, "")
        return
    yield from _folder(os.fspath(source), "")


def _folder(root: str, path: str) -> Iterator[_File]:
    here = f"{root}/{path}" if path else root
    try:
        names = os.listdir(here)
    except OSError:
        return
    names.sort(key=os.fsencode)
    for name in names:
        below = f"{path}/{name}" if path else name
        try:
            status = os.lstat(f"{root}/{below}")
            kind = status.st_mode & 0o170000
            link = os.readlink(f"{root}/{below}") if kind == 0o120000 else ""
        except OSError:
            continue
        if kind == 0o040000:
            yield from _folder(root, below)
        elif kind in (0o100000, 0o120000):
            yield _File(below, status, link)


def _key(source: Path) -> str:
    return "data-" + sha256(os.fsencode(source)).hexdigest()[:40]
