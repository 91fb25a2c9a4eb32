"""What a program that is still at work wrote last into its results."""

from __future__ import annotations

import heapq
import os
import stat
from itertools import islice
from pathlib import Path

from bareboat.store.results import walk
from bareboat.values import dataclass

SHOWN, LOOKED_AT = 5, 20_000  # files


@dataclass(frozen=True)
class Written:
    """A file. written: seconds since the epoch; path: below the folder; size: bytes."""

    written: float
    path: str
    size: int


def newest(folder: Path) -> tuple[Written, ...]:
    """The files that were written last, the newest first; () where there is none. No link is followed, and what cannot
    be read is passed over.
    """
    files = (Written(status.st_mtime, path, status.st_size)
             for path, status in islice(walk(os.fspath(folder), ""), LOOKED_AT) if stat.S_ISREG(status.st_mode))
    return tuple(heapq.nlargest(SHOWN, files, key=lambda file: (file.written, file.path)))
