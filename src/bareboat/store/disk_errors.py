"""What the disk's errors mean for a user: the one place where errno becomes a StoreError."""

from __future__ import annotations

import errno
import os

from bareboat.errors import StoreError

_ELSEWHERE = "set BAREBOAT_HOME to a directory that can be written to"
_MEANING: dict[int, tuple[str, str, str]] = {
    errno.ENOSPC: ("store.full", "the disk is full",
                   "make room: bareboat gc --older-than 0; or set BAREBOAT_HOME to a directory on another disk"),
    errno.EDQUOT: ("store.quota", "the disk quota is used up",
                   "make room: bareboat gc --older-than 0; or set BAREBOAT_HOME to a directory without that quota"),
    errno.EROFS: ("store.read-only", "the file system is read-only",
                  "nothing can be added: set BAREBOAT_HOME to a writable directory"),
    errno.EACCES: ("store.permission", "permission denied", "check owner and mode, or set BAREBOAT_HOME"),
    errno.EPERM: ("store.permission", "not permitted", "check owner and mode, or set BAREBOAT_HOME"),
    errno.EMFILE: ("store.descriptors", "too many open files", "raise the limit: ulimit -n 4096"),
    errno.ENFILE: ("store.descriptors", "too many open files on this machine", "ask the administrator"),
    errno.EIO: ("store.io", "the disk reported an error; what was being written is not kept",
                "look at the kernel's log (dmesg), and copy the store to another disk"),
    errno.ENOTDIR: ("store.not-a-directory", "a file stands where a directory is meant", "see what it is"),
    errno.ESTALE: ("store.io", "the network file system lost the file", "try again"),
}  # fmt: skip


def disk_error(error: OSError, path: str, needed: int | None = None) -> StoreError:
    """The StoreError for an OSError at a path of the store; needed: bytes that had to fit, where known."""
    code, what, hint = _MEANING.get(error.errno or 0, ("store.failed", str(error.strerror or error), _ELSEWHERE))
    if needed is not None and code in ("store.full", "store.quota"):
        what = f"{what}: {needed:,} bytes are needed{_free(path)}"
    return StoreError(code, what, where=path, hint=hint)


def _free(path: str) -> str:
    while path and path != "/":
        try:
            status = os.statvfs(path)
        except OSError:
            path = os.path.dirname(path)
            continue
        return f", {status.f_bavail * status.f_frsize:,} are free"
    return ""


def check_room(path: str, needed: int) -> None:
    """Refuse before the first byte what cannot fit: raises StoreError store.full. A guess: others write
    too.
    """
    status = os.statvfs(path)
    if needed > status.f_bavail * status.f_frsize:
        raise disk_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), path, needed)
