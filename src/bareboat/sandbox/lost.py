"""What a program wrote to the thin layer, and what is therefore gone when it ends."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator

from bareboat.workload import Lost

NAMED = 5
SECONDS = 0.5  # a million files in the layer must not delay the end of a run
_NOISE_DIRECTORIES = frozenset({b"__pycache__", b".cache", b".ipynb_checkpoints"})
_NOISE = (b"/var/cache", b"/var/log", b"/var/tmp", b"/run", b"/tmp", b"/root")


def walk(upper: int, ours: frozenset[bytes], home: bytes, seconds: float = SECONDS) -> Lost:
    """Count the regular files in the layer that the program made, outside home, /tmp and caches.

    upper: a descriptor of the upper directory, which may belong to a namespace that is gone. ours: absolute paths that
    we made ourselves. Links are never followed; deletions (overlay's whiteouts) are not losses. What takes longer than
    so many seconds is not counted.
    """
    count, size = 0, 0
    first: list[str] = []
    end = time.monotonic() + seconds
    skip = (home, *_NOISE) if home != b"/" else _NOISE
    for path, status in _files(upper, b"", frozenset(skip)):
        if time.monotonic() > end:
            break
        if path in ours:
            continue
        count += 1
        size += status.st_size
        if len(first) < NAMED:
            first.append(os.fsdecode(path))
    return Lost(count, size, tuple(first))


def _files(directory: int, path: bytes, skip: frozenset[bytes]) -> Iterator[tuple[bytes, os.stat_result]]:
    try:
        names = sorted(map(os.fsencode, os.listdir(directory)))
    except OSError:
        return
    inner = []
    for name in names:
        full = path + b"/" + name
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            if full not in skip and name not in _NOISE_DIRECTORIES:
                inner.append((name, full))
        elif stat.S_ISREG(status.st_mode) and not name.endswith(b".pyc"):  # Python 2 writes them beside
            yield full, status
    for name, full in inner:
        try:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except OSError:
            continue
        try:
            yield from _files(below, full, skip)
        finally:
            os.close(below)
