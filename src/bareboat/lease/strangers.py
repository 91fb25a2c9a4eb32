"""Files of others in a directory that everybody may write to: nothing is followed, nothing blocks, and each is believed
only as far as its descriptor says whose it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress

from bareboat.values import dataclass

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True)
class Found:
    """A file that was read. living: a process has it locked; inode: which file it was."""

    data: bytes
    living: bool
    inode: int


def read(directory: int, name: str, uid: int, most: int) -> Found | None:
    """A file that belongs to this uid, as it is now; None when it is gone. Raises ValueError with what is wrong with
    it, in words. Never blocks: what is no regular file is not read.
    """
    try:
        descriptor = os.open(name, _READ, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError("is a symbolic link" if error.errno == errno.ELOOP else
                         f"cannot be opened ({error.strerror})") from None
    try:
        status = os.fstat(descriptor)
        _check(status, uid, most)
        data = os.pread(descriptor, most + 1, 0)
        if len(data) > most:
            raise ValueError(f"has more than {most} bytes")
        return Found(data, is_locked(descriptor), status.st_ino)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    finally:
        os.close(descriptor)


def _check(status: os.stat_result, uid: int, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is no regular file")
    if status.st_uid != uid:
        raise ValueError(f"belongs to uid {status.st_uid}")
    if status.st_nlink > 1:  # 0: it was replaced since, and is what its owner had written
        raise ValueError("has another name")
    if status.st_mode & 0o022:
        raise ValueError(f"can be written by others (mode {stat.S_IMODE(status.st_mode):04o})")
    if status.st_size > most:
        raise ValueError(f"has {status.st_size} bytes")


def is_locked(descriptor: int) -> bool:
    """Whether another open file has an exclusive flock on it. Two who look at once do not see each other."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def open_lock(directory: int, name: str) -> int:
    """A lock file that all users share, made where it is missing; only ever opened to read, so that no right to write
    is needed, and never with O_CREAT, which a sticky directory forbids for files of others (fs.protected_regular).
    Raises OSError, with ELOOP or EINVAL for what is no plain file.
    """
    while True:
        try:
            descriptor = os.open(name, _READ, dir_fd=directory)
            break
        except FileNotFoundError:
            _make(directory, name)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", name)
    return descriptor


def _make(directory: int, name: str) -> None:
    """It appears with its mode, whatever the umask and whenever this process is killed."""
    draft = f".{os.geteuid()}-{os.urandom(8).hex()}"
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                         dir_fd=directory)
    try:
        os.fchmod(descriptor, 0o444)
        os.link(draft, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except (FileExistsError, FileNotFoundError):
        pass  # another made it at this moment; or the draft was taken for one that a dead process had left
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=directory)


def names(directory: int, name: str, descriptor: int) -> bool:
    """Whether the name is still this open file's."""
    try:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))
