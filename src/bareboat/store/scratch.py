"""Private directories for work in progress, on the store's own file system."""

from __future__ import annotations

import fcntl
import os
from types import TracebackType

from bareboat.store.disk_errors import disk_error
from bareboat.store.locks import store_lock
from bareboat.store.paths import Layout


class Scratch:
    """A directory tmp/NAME/dir beside a lock its maker holds. Removed on leaving, or by gc after the maker's
    death.

    The lock file is a sibling, not the directory itself: NFS cannot lock a directory.
    """

    def __init__(self, layout: Layout, prefix: str) -> None:
        safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in prefix)[:40] or "work"
        self._layout = layout
        self._wrapper = layout.at("tmp", f"{safe}-{os.getpid()}-{os.urandom(8).hex()}")
        self.path = f"{self._wrapper}/dir"
        self._fd = -1

    def __enter__(self) -> Scratch:
        try:
            with store_lock(self._layout):
                os.mkdir(self._wrapper, 0o700)
                self._fd = os.open(
                    f"{self._wrapper}/lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
                )
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.mkdir(self.path, 0o700)
        except OSError as error:
            self._remove()
            raise disk_error(error, self._wrapper) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        from bareboat.host.files import remove_tree

        try:
            remove_tree(self._wrapper)
        except OSError:
            pass  # gc takes what is left
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
