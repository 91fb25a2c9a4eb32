"""A part of a file's bytes, bounded however large it is: whole where it is small, else pieces from all over it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

PIECES = 64  # that a large file is read in


def opened(path: str) -> tuple[int, int]:
    """A descriptor of a regular file, and its bytes. No link is followed and no pipe waited for. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise OSError(0, "no regular file", path)
    return fd, status.st_size


def places(size: int, piece: int) -> list[int]:
    """Where the pieces of a large file begin: evenly spread, the first one at its beginning, the last at its end."""
    return [(size - piece) * at // (PIECES - 1) for at in range(PIECES)]


def lines(fd: int, size: int, most: int) -> Iterator[tuple[int, str]]:
    """Whole lines of a file, with the offset where they begin: all of them where the file has at most so many bytes,
    else pieces that have about half as many together. A line that has no end yet is left out. Raises OSError.
    """
    piece = size if size <= most else most // PIECES // 2
    for at in [0] if size <= most else places(size, piece):
        data = os.pread(fd, piece, at)
        begin = data.find(b"\n") + 1 if at else 0
        end = data.rfind(b"\n") + 1
        if begin < end:
            text = data[begin:end].decode("utf-8", "replace")
            yield at + begin, text if at else text.removeprefix("\ufeff")
