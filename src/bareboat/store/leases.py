"""What living processes use: a locked file for each, naming keys; gc keeps what a held file names.

A process that gets a path out of the store holds a lease on it without asking (its session), so that
forgetting is impossible; a lease taken on purpose, before looking, covers many keys for the price of one. The
kernel frees the lock when the process dies, whatever the clock says.
"""

from __future__ import annotations

import errno
import fcntl
import os
from _thread import RLock
from collections.abc import Iterable
from types import TracebackType

from bareboat.store.disk_errors import disk_error
from bareboat.store.locks import store_lock
from bareboat.store.paths import Layout


class Lease:
    """One lease file, held until close (idempotent) or the process's end. Made by Leases only."""

    def __init__(self, leases: Leases, keys: tuple[str, ...]) -> None:
        self._leases, self.keys = leases, keys
        self._pid = os.getpid()
        self._path = leases.layout.at("leases", f"{self._pid}-{os.urandom(8).hex()}")
        self._fd = -1
        try:
            with store_lock(leases.layout):
                self._fd = os.open(
                    self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_APPEND, 0o600
                )
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.extend(keys)
        except OSError as error:
            self._let_go()
            if error.errno != errno.EROFS:  # read-only: nothing can be collected either
                raise disk_error(error, self._path) from error

    def extend(self, keys: Iterable[str]) -> None:
        """Name more keys; only under the store lock."""
        data = "".join(f"{key}\n" for key in keys).encode()
        while data and self._fd >= 0:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Let go. In a forked child only the descriptor goes: the lease is still the parent's."""
        if self._let_go():
            self._leases.released(self.keys)

    def _let_go(self) -> bool:
        """Whether this process held it until now."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return False
        mine = os.getpid() == self._pid
        if mine:
            try:
                os.unlink(self._path)
            except OSError:
                pass  # gc of a later day takes it
        os.close(fd)
        return mine

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Leases:
    """All leases of one Store object; thread-safe."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._counts: dict[str, int] = {}
        self._session: Lease | None = None
        self._pid = os.getpid()
        self._mutex = RLock()  # a lease that is garbage may close in the middle of another

    def hold(self, keys: Iterable[str]) -> Lease:
        """Lease keys, whether there or not. After this returns no gc removes them. Raises StoreError."""
        self._after_fork()
        lease = Lease(self, tuple(keys))
        with self._mutex:
            for key in lease.keys:
                self._counts[key] = self._counts.get(key, 0) + 1
        return lease

    def keep(self, *keys: str) -> None:
        """Lease keys for as long as this Store object lives. Cheap when they are leased already."""
        if self._pid == os.getpid() and all(key in self._counts for key in keys):
            return
        self._after_fork()
        with self._mutex:
            fresh = tuple(key for key in keys if key not in self._counts)
            if self._session is None:
                self._session = Lease(self, fresh)
            else:
                try:
                    with store_lock(self.layout):
                        self._session.extend(fresh)
                except OSError as error:
                    raise disk_error(error, self.layout.at("leases")) from error
            for key in fresh:
                self._counts[key] = 1

    def _after_fork(self) -> None:
        """In a forked child: the parent's session is not ours, and its mutex may be held by a thread that is not here.
        """
        if self._pid == os.getpid():
            return
        inherited, self._session = self._session, None
        self._mutex, self._counts, self._pid = RLock(), {}, os.getpid()
        if inherited is not None:
            inherited.close()  # its descriptor only, which would keep the lease after the parent's death

    def released(self, keys: Iterable[str]) -> None:
        with self._mutex:
            for key in keys:
                count = self._counts.get(key, 0) - 1
                if count > 0:
                    self._counts[key] = count
                else:
                    self._counts.pop(key, None)

    def close(self) -> None:
        """End the session: what was returned before may be collected from now on."""
        self._after_fork()
        with self._mutex:
            session, self._session = self._session, None
            self._counts.clear()
        if session is not None:
            session.close()


def leased_keys(layout: Layout, *, remove: bool = True) -> set[str]:
    """What living processes hold, dead leases removed. Only under the exclusive store lock, so that none
    is being made.
    """
    keys: set[str] = set()
    for name in os.listdir(layout.at("leases")):
        path = layout.at("leases", name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with os.fdopen(os.dup(fd), "rb") as file:
                    keys.update(file.read().decode("ascii", "replace").split("\n"))
            else:
                if remove:
                    try:
                        os.unlink(path)
                    except FileNotFoundError:
                        pass  # its owner has just closed it
        finally:
            os.close(fd)
    keys.discard("")
    return keys
