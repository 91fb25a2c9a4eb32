"""Waking the worker: a pipe with a name in the queue's directory, and the lock that says whether there is one."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import time
from pathlib import Path

LOCK, WAKE, HELD = "worker.lock", "wake", "held"


def is_held(folder: Path) -> bool:
    """Whether a worker is at work."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def hold(folder: Path) -> int:
    """Become the worker: the descriptor of its lock, which the kernel frees however it dies; -1 when there is one."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return -1
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d" % os.getpid(), 0)
    return lock


def end_worker(folder: Path, seconds: float = 10.0) -> bool:
    """Ask the worker to end, and wait until it has; attempts go on. Whether there is none now."""
    end = time.monotonic() + seconds
    while is_held(folder):
        if time.monotonic() > end:
            return False
        try:
            pidfd = os.pidfd_open(int((folder / LOCK).read_bytes()))
        except (OSError, ValueError, AttributeError):
            time.sleep(0.01)
            continue
        try:
            if is_held(folder):  # whoever has it is who wrote its number, and the number is its own while it lives
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            select.select((pidfd,), (), (), 0.5)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)
    return True


def set_held(folder: Path, held: bool) -> None:
    """Whether the worker starts anything; the directory is there. Idempotent."""
    if held:
        os.close(os.open(folder / HELD, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    else:
        (folder / HELD).unlink(missing_ok=True)


def starts_nothing(folder: Path) -> bool:
    """Whether somebody said so."""
    return os.path.lexists(folder / HELD)


def ring(folder: Path) -> bool:
    """Wake the worker; False where nobody listens."""
    try:
        pipe = os.open(folder / WAKE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        os.write(pipe, b"!")
    except BlockingIOError:
        pass  # it is full: it will look
    except OSError:
        return False
    finally:
        os.close(pipe)
    return True


def listen(folder: Path) -> int:
    """A descriptor that polls readable when it was rung; -1 on a file system without pipes."""
    path = folder / WAKE
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            return -1
        raise
    # open to write too, so that it is never at its end
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def drain(descriptor: int) -> None:
    """Forget what was rung."""
    try:
        while len(os.read(descriptor, 4096)) == 4096:
            pass
    except BlockingIOError:
        pass
