"""A file that arrives in the store in several goes: locked while somebody writes it, and known by its digest."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.store import Store


class Partial:
    """What has arrived of a file: tmp/partial-SHA256 in the store, locked while somebody writes it.

    A plain locked file like every draft, so gc takes it when nobody has come back for it. size: in bytes, 0 where it is
    not known; wait: between two looks at what another has, and raises when there is no more to wait for. fd: -1 where
    the file was brought by another meanwhile.
    """

    def __init__(self, store: Store, sha256: str, size: int, wait: Callable[[], None]) -> None:
        self._store, self._sha256, self._size, self._wait = store, sha256, size, wait
        self.path = store.home / "tmp" / f"partial-{sha256}"
        self.fd = -1
        self._state, self._hashed = hashlib.sha256(), 0  # of the first so many bytes: hashed as they go by

    def __enter__(self) -> Partial:
        while True:
            try:
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except PermissionError:  # already made read-only, and about to be renamed: by a process, or by a dead one
                self._drop_abandoned()
                if self._store.blob(self._sha256) is not None:
                    return self
                self._wait()
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_ino == os.stat(self.path).st_ino:
                    self.fd = fd
                    return self
            except (BlockingIOError, FileNotFoundError):
                pass  # another process is at it, or has just finished, or gc took it
            os.close(fd)
            if self._store.blob(self._sha256) is not None:
                self._remove()
                return self
            self._wait()

    def _drop_abandoned(self) -> None:
        """Remove a read-only partial that nobody holds: its maker died between the last two steps."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        except PermissionError:
            from bareboat.store.disk_errors import disk_error

            raise disk_error(PermissionError(errno.EACCES, "Permission denied"), str(self.path)) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_ino == os.stat(self.path).st_ino:
                self._remove()
        except (BlockingIOError, FileNotFoundError):
            pass  # it is being finished
        finally:
            os.close(fd)

    def __exit__(self, *_: object) -> None:
        if self.fd >= 0:
            if self.size() == 0:
                self._remove()
            os.close(self.fd)

    def size(self) -> int:
        """How much there is, in bytes."""
        return os.fstat(self.fd).st_size

    def empty(self) -> None:
        """Begin anew."""
        os.ftruncate(self.fd, 0)
        self._state, self._hashed = hashlib.sha256(), 0

    def append(self, data: bytes) -> None:
        """More of it. Raises StoreError."""
        view = memoryview(data)
        at = self.size()
        if at == self._hashed:
            self._state.update(data)
            self._hashed += len(data)
        while view:
            try:
                n = os.pwrite(self.fd, view, at)
            except OSError as error:
                from bareboat.store.disk_errors import disk_error

                raise disk_error(error, str(self.path), self._size) from error
            at, view = at + n, view[n:]

    def publish(self) -> bool:
        """Into the store, if it is the file that was asked for: its digest is of the very bytes that were written."""
        size = self._hash_rest()
        if self._state.hexdigest() != self._sha256 or (self._size and size != self._size):
            return False
        self._store.adopt_fresh(self.path, self._sha256)
        self._remove()
        return True

    def sha256(self) -> str:
        """The digest of what arrived, which is then dropped."""
        self._hash_rest()
        found = self._state.hexdigest()
        self.empty()
        return found

    def _hash_rest(self) -> int:
        """Bring the digest up to the end of the file, past what an earlier attempt left; returns the size."""
        while data := os.pread(self.fd, 1 << 20, self._hashed):
            self._state.update(data)
            self._hashed += len(data)
        return self._hashed

    def _remove(self) -> None:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
