"""Told of changes in a directory, by inotify(7) through ctypes."""

from __future__ import annotations

import os
from pathlib import Path

_CLOSE_WRITE, _MOVED_TO, _DELETE, _ONLYDIR = 0x8, 0x80, 0x200, 0x1000000


def watch_directory(path: Path) -> int:
    """A descriptor that polls readable when a file there was replaced, removed, or let go of by a process that had it
    open to write, as every death does; not when one was looked at. Non-blocking, close-on-exec; -1 where it cannot be
    had.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    try:
        descriptor = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    except AttributeError:
        return -1  # no Linux
    if descriptor < 0:
        return -1  # too many of them
    mask = ctypes.c_uint32(_CLOSE_WRITE | _MOVED_TO | _DELETE | _ONLYDIR)
    if libc.inotify_add_watch(descriptor, os.fsencode(path), mask) < 0:
        os.close(descriptor)
        return -1
    return descriptor
