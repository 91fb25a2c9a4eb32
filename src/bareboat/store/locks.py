"""The store's two locks. Both are files that are never removed, opened without following links.

- the store lock (flock): shared while a process takes hold of something (a lease and a look), exclusive
  while gc decides and makes things invisible. Nobody holds it for longer than that takes.
- the make lock (byte ranges of one file, one byte a key): who makes a tree; others of that key wait and find
  it made. Where the system has no locks of open files (macOS) each key has a file of its own while it is held.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bareboat.digests import sha256
from bareboat.errors import StoreError
from bareboat.store.paths import Layout

PATIENCE = 60.0  # seconds: a holder that takes longer is stopped, not slow
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def store_lock(layout: Layout, *, exclusive: bool = False, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the store lock. Raises StoreError store.busy when nobody lets go in time; OSError when it cannot
    be opened.

    On a read-only file system nothing can be removed, so there is nothing to hold.
    """
    path = layout.at("locks", "store")
    try:
        fd = _open(path)
    except OSError as error:
        if error.errno == errno.EROFS and not exclusive:
            yield
            return
        raise
    try:
        mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        _patiently(lambda: fcntl.flock(fd, mode | fcntl.LOCK_NB), path, patience)
        yield
    finally:
        os.close(fd)


def _open(path: str) -> int:
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:  # a copy that left out empty files
        return os.open(path, _FLAGS | os.O_CREAT, 0o600)


def _patiently(attempt: Callable[[], None], path: str, patience: float) -> None:
    pause, end = 0.0005, None
    while True:
        try:
            attempt()
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                raise
        now = time.monotonic()
        end = end or now + patience
        if now > end:
            raise StoreError(
                "store.busy",
                f"another bareboat holds the store for over {patience:.0f} s",
                where=path,
                hint="see who: fuser -v on this file; a stopped process (Ctrl-Z) must go on or end",
            )
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


@contextmanager
def making(layout: Layout, key: str, *, wait: bool = True) -> Iterator[bool]:
    """Be the only maker of this key on every machine that shares the store; waits for as long as another
    makes it. wait=False: the value is False at once where another is at it.

    An open file description lock: freed by the kernel when the maker dies, held per call and not per process,
    so threads exclude each other too. Where the file system has no such locks makers run side by side, and
    one wins.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):
        with _making_by_file(layout, key, wait) as mine:
            yield mine
        return
    import struct

    offset = int.from_bytes(sha256(key.encode()).digest()[:8], "big") >> 2
    fd = _open(layout.at("locks", "make"))
    try:
        record = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        pause, mine = 0.001, True
        while True:
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, record)
                break
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOLCK, errno.ENOSYS):
                    break
                if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                    raise
            if not wait:
                mine = False
                break
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        yield mine
    finally:
        os.close(fd)


@contextmanager
def _making_by_file(layout: Layout, key: str, wait: bool) -> Iterator[bool]:
    """As making, by flock on a file that goes with its holder. Who waited on a file that has gone begins again."""
    path = layout.at("locks", f"make-{sha256(key.encode()).hexdigest()[:32]}")
    pause = 0.001
    while True:
        fd = os.open(path, _FLAGS | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    yield False
                    return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                    raise
                yield True  # no locks on this file system: makers run side by side, and one wins
                return
            else:
                if _names(path, fd):
                    try:
                        yield True
                    finally:
                        os.unlink(path)
                    return
        finally:
            os.close(fd)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _names(path: str, fd: int) -> bool:
    """Whether the path is still this file's."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
