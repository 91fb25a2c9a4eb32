"""The one durable-write routine: locked temporary file, bytes, fsync, rename, fsync of the directory, and
only then an acknowledgement. A failed fsync is final (the kernel may have dropped the pages): the draft
goes, nothing is retried.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from types import TracebackType

from bareboat.host.files import fsync, fsync_directory
from bareboat.store.disk_errors import disk_error
from bareboat.store.locks import store_lock
from bareboat.store.paths import Layout

_DRAFT = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def write_all(fd: int, data: bytes | memoryview) -> None:
    """write(2) until all is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Draft:
    """A file in the making, invisible and locked: gc removes it only after its maker died.

    As a context manager: leaving without publish removes it. OSError becomes StoreError with path and bytes
    needed.
    """

    def __init__(self, layout: Layout, *, needed: int | None = None) -> None:
        self._layout, self._needed = layout, needed
        self._path = layout.at("tmp", f"draft-{os.getpid()}-{os.urandom(8).hex()}")
        self._published = False
        self.fd = -1

    def __enter__(self) -> Draft:
        try:
            with store_lock(self._layout):  # gc never sees it between its making and its lock
                self.fd = os.open(self._path, _DRAFT, 0o600)
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._discard()
            raise disk_error(error, self._path, self._needed) from error
        return self

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes. Raises StoreError."""
        try:
            write_all(self.fd, data)
        except OSError as error:
            raise disk_error(error, self._path, self._needed) from error

    def publish(self, target: str, *, mode: int = 0o444, durable: bool = True) -> None:
        """Make it visible at target, replacing what is there. When this returns it survives a crash, if
        durable.
        """
        try:
            os.fchmod(self.fd, mode)
            if durable:
                fsync(self.fd)
            os.rename(self._path, target)
            self._published = True
            if durable:
                fsync_parent(target)
        except OSError as error:
            raise disk_error(error, target, self._needed) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._published:
            self._discard()
        elif self.fd >= 0:
            try:
                os.close(self.fd)
            except OSError:
                pass  # fsync has reported what close could; what was not synced has its digest

    def _discard(self) -> None:
        try:
            os.unlink(self._path)
        except OSError:
            pass  # gc takes it: its lock goes with this descriptor
        if self.fd >= 0:
            os.close(self.fd)


def fsync_parent(path: str) -> None:
    """Make a name durable."""
    fsync_directory(os.path.dirname(path))


def write_file(
    layout: Layout, target: str, chunks: Iterable[bytes], *, mode: int = 0o644, durable: bool = True
) -> None:
    """Replace target by these bytes: readers see the old or the new, never a part. Raises StoreError."""
    with Draft(layout) as draft:
        for chunk in chunks:
            draft.write(chunk)
        draft.publish(target, mode=mode, durable=durable)
