"""The log of a run: what its program wrote, byte for byte, and beside it when and on which stream.

    log, log.1, log.2 …              the bytes, the newest in log
    log.index, log.1.index …         a row for each piece: end offset (u64), seconds since the epoch (f64), stream (u8)

The rows are little endian. A log without an index (an older run's, a taken-in run's) is all standard output. Where an
attempt of a queued run begins behind others, two rows end at the same offset: the number of the attempt in place of the
time with 4 as stream, then the time with 3.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bareboat.store.atomic import write_all
from bareboat.values import dataclass

NAME = "log"
OUT, ERR, MARK, _NUMBER = 1, 2, 3, 4
_ROW = struct.Struct("<QdB")
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_PIECE = 1 << 16
_LOOK = 0.05  # seconds between two looks at a log that is followed


@dataclass(frozen=True)
class Bounds:
    """When a log is rotated: bytes of one file, and how many older ones are kept."""

    size: int = 256 << 20
    keep: int = 3


@dataclass(frozen=True)
class Piece:
    """What came at once: when (seconds since the epoch), on which stream, and the bytes. stream MARK: nothing came, an
    attempt begins, whose number is in data.
    """

    time: float
    stream: int
    data: bytes


DEFAULT = Bounds()


class LogWriter:
    """Appends; one writer for a run. Raises OSError, a full disk's too, and then what was written stays readable."""

    def __init__(self, folder: Path, bounds: Bounds = DEFAULT) -> None:
        self._folder, self._bounds = os.fspath(folder), bounds
        self._open()

    def _open(self) -> None:
        self._log = os.open(f"{self._folder}/{NAME}", _FLAGS, 0o600)
        self._index = os.open(f"{self._folder}/{NAME}.index", _FLAGS, 0o600)
        self._size = os.fstat(self._log).st_size

    def write(self, data: bytes, stream: int) -> None:
        """Append a piece; rotates before it, where the file is full."""
        if self._size >= self._bounds.size:
            self._rotate()
        write_all(self._log, data)
        self._size += len(data)
        write_all(self._index, _ROW.pack(self._size, time.time(), stream))

    def mark(self, attempt: int) -> None:
        """What follows is another attempt's. The log's bytes stay what they are."""
        write_all(self._index, _ROW.pack(self._size, attempt, _NUMBER) + _ROW.pack(self._size, time.time(), MARK))

    def _rotate(self) -> None:
        self.close()
        for number in range(self._bounds.keep, 0, -1):
            for end in ("", ".index"):
                older = f"{self._folder}/{NAME}{f'.{number - 1}' if number > 1 else ''}{end}"
                if os.path.exists(older):
                    os.rename(older, f"{self._folder}/{NAME}.{number}{end}")
        self._open()

    def close(self) -> None:
        """Idempotent."""
        for descriptor in (self._log, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._log = self._index = -1


def files(folder: Path) -> list[Path]:
    """The files of a log, the oldest first; links are no logs."""
    older = []
    number = 1
    while (path := folder / f"{NAME}.{number}").is_file() and not path.is_symlink():
        older.append(path)
        number += 1
    newest = folder / NAME
    return [*reversed(older), *([newest] if newest.is_file() and not newest.is_symlink() else [])]


def pieces(folder: Path, *, since: float = 0.0, tail: int | None = None, marks: bool = False) -> Iterator[Piece]:
    """What the log holds, in order. since: not what came before, in seconds since the epoch; tail: only the last so
    many lines; marks: where attempts begin, too.
    """
    reader = _Reader(folder, marks)
    yield from reader.read(since, tail)
    yield from reader.more(rest=True)


def follow(folder: Path, alive: Callable[[], bool], *, since: float = 0.0, tail: int | None = None,
           marks: bool = False) -> Iterator[Piece]:
    """As pieces, and then what comes, until the run is over and all of it was read."""
    reader = _Reader(folder, marks)
    yield from reader.read(since, tail)
    while True:
        going = alive()
        found = False
        for piece in reader.more(rest=not going):
            found = True
            yield piece
        if not going:
            return
        if not found:
            time.sleep(_LOOK)


class _Reader:
    """Reads once to the end, and then what was added; a rotation meanwhile loses nothing."""

    def __init__(self, folder: Path, marks: bool) -> None:
        self._folder, self._marks = folder, marks
        self._inode, self._at, self._row = 0, 0, 0

    def read(self, since: float, tail: int | None) -> Iterator[Piece]:
        paths = files(self._folder)
        first, offset = (0, 0) if tail is None else _last_lines(paths, tail)
        for number, path in enumerate(paths):
            if number >= first:
                at = offset if number == first else 0
                yield from self._file(path, at, _row_behind(path, at), since)

    def more(self, *, rest: bool = False) -> Iterator[Piece]:
        """rest: what has no row too, of a writer that was killed between the two."""
        paths = files(self._folder)
        inodes = [_inode(path) for path in paths]
        start = inodes.index(self._inode) if self._inode in inodes else 0
        at, row = (self._at, self._row) if self._inode in inodes else (0, 0)
        for number, path in enumerate(paths[start:]):
            yield from self._file(path, at if number == 0 else 0, row if number == 0 else 0, 0.0, rest)

    def _file(self, path: Path, offset: int, row: int, since: float, rest: bool = False) -> Iterator[Piece]:
        try:
            log = open(path, "rb")  # noqa: SIM115  # closed below
        except FileNotFoundError:
            return
        with log:
            self._inode, self._at, self._row = os.fstat(log.fileno()).st_ino, offset, row
            log.seek(offset)
            attempt = 0
            for end, when, stream in _rows(path, row):
                if stream == _NUMBER:
                    attempt = int(when)
                elif stream == MARK and self._marks and when >= since:
                    yield Piece(when, MARK, b"%d" % attempt)
                self._row += 1
                while self._at < end and (data := log.read(min(_PIECE, end - self._at))):
                    self._at += len(data)
                    if when >= since:
                        yield Piece(when, stream, data)
            if rest or not path.with_name(f"{path.name}.index").exists():
                when = os.fstat(log.fileno()).st_mtime
                while when >= since and (data := log.read(_PIECE)):
                    self._at += len(data)
                    yield Piece(when, OUT, data)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _rows(path: Path, row: int) -> Iterator[tuple[int, float, int]]:
    """The rows from one on. A half-written one, of a writer that was killed, is not read."""
    try:
        with open(path.with_name(f"{path.name}.index"), "rb") as index:
            index.seek(row * _ROW.size)
            while len(data := index.read(_ROW.size)) == _ROW.size:
                yield _ROW.unpack(data)
    except FileNotFoundError:
        return


def _row_behind(path: Path, offset: int) -> int:
    """The first row of a piece that ends behind an offset; by bisection, since a long log has many."""
    if not offset:
        return 0
    try:
        with open(path.with_name(f"{path.name}.index"), "rb") as index:
            low, high = 0, os.fstat(index.fileno()).st_size // _ROW.size
            while low < high:
                middle = (low + high) // 2
                index.seek(middle * _ROW.size)
                if _ROW.unpack(index.read(_ROW.size))[0] <= offset:
                    low = middle + 1
                else:
                    high = middle
            return low
    except FileNotFoundError:
        return 0


def _last_lines(paths: list[Path], lines: int) -> tuple[int, int]:
    """The file and the offset in it where the last so many lines begin; reads backwards, no more than it must."""
    wanted = lines
    newest = True
    for number in range(len(paths) - 1, -1, -1):
        with open(paths[number], "rb") as log:
            at = log.seek(0, 2)
            if at and newest:
                newest = False
                log.seek(at - 1)
                wanted += log.read(1) == b"\n"  # a line that is ended begins none
            if lines <= 0:
                return number, at
            while at > 0:
                step = min(_PIECE, at)
                at -= step
                log.seek(at)
                data = log.read(step)
                count = data.count(b"\n")
                if count < wanted:
                    wanted -= count
                    continue
                place = len(data)
                for _ in range(wanted):
                    place = data.rindex(b"\n", 0, place)
                return number, at + place + 1
    return 0, 0
