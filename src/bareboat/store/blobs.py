"""Bytes by their sha256: visible only when complete and right, there after a crash once put has returned.

What can be fetched again need not wait for the disk: it is fresh, kept under a name that carries the kernel's boot
id, so that after a crash it counts as absent; settle() makes it durable. docs/decisions/0035 has the reasons.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bareboat.digests import LARGE, hasher
from bareboat.errors import ArchiveError, StoreError
from bareboat.host import files
from bareboat.store.atomic import Draft, fsync_parent
from bareboat.store.disk_errors import check_room, disk_error
from bareboat.store.leases import Leases
from bareboat.store.locks import store_lock
from bareboat.store.paths import Layout, check_sha256
from bareboat.store.stamps import stamp

FRESH = "fresh"  # beside sha256/: HEX-BOOTID
_CHUNK = 1 << 20


class Blobs:
    """The blobs of one store."""

    def __init__(self, layout: Layout, leases: Leases) -> None:
        self._layout, self._leases = layout, leases
        self._boot: str | None = None

    def find(self, sha256: str) -> Path | None:
        """The file of a complete blob, leased for this process, or None."""
        path = self._layout.blob(check_sha256(sha256))
        self._leases.keep(sha256)
        try:
            try:
                status = os.stat(path)
            except FileNotFoundError:
                path = self._fresh(sha256)
                status = os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise disk_error(error, path) from error
        stamp(path, status.st_mtime)
        return Path(path)

    def put(self, chunks: Iterable[bytes], sha256: str | None, size: int | None, where: str) -> str:
        """Store bytes; returns their sha256. Idempotent. See Store.put_blob."""

        if sha256 is not None and self.find(check_sha256(sha256)) is not None:
            return self._acknowledge(sha256)
        if size is not None:
            check_room(self._layout.home, size)
        digest, count = hasher(LARGE if size is None else size), 0
        with Draft(self._layout, needed=size) as draft:
            for chunk in chunks:
                count += len(chunk)
                if size is not None and count > size:
                    raise ArchiveError(
                        "blob.size",
                        f"more than the {size:,} bytes it should have",
                        where=where,
                        hint="nothing of it was kept; the source may have changed",
                    )
                digest.update(chunk)
                draft.write(chunk)
            found = digest.hexdigest()
            _compare(found, sha256, count, size, where)
            self._leases.keep(found)
            draft.publish(self._layout.blob(found))
        return found

    def adopt_fresh(self, path: Path, sha256: str) -> None:
        """Rename a file in the store's own tmp/ whose bytes have this sha256, as its writer saw them go by. Atomic.

        It can be used at once and is durable only after settle(). Where the kernel's boot id says nothing about
        unsynced files (a file system of several machines) it is durable when this returns.
        """
        if self.find(sha256) is not None:
            return
        target = self._fresh(sha256)
        if not self._boot_id() or not files.filesystem(Path(self._layout.home)).local:
            target = self._layout.blob(sha256)
            self._rename(path, target)
            return
        try:
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            os.chmod(path, 0o444)
            os.utime(path)
            os.rename(path, target)
        except OSError as error:
            raise disk_error(error, target) from error

    def settle(self) -> int:
        """Make fresh blobs durable with one sync; returns how many. Those of another boot are dropped.

        The fresh name stays, since somebody may be about to open it: tidy() removes it.
        """
        names = self._fresh_names()
        if not names:
            return 0
        count, boot = 0, self._boot_id()
        try:
            waiting = [n for n in names if n[65:] == boot and not os.path.exists(self._layout.blob(n[:64]))]
            if waiting:
                try:
                    files.syncfs(self._layout.at("blobs"))
                except OSError:
                    for name in waiting:  # the kernel may have dropped their pages
                        _unlink(self._layout.at("blobs", FRESH, name))
                    raise
            for name in waiting:
                try:
                    os.link(self._layout.at("blobs", FRESH, name), self._layout.blob(name[:64]))
                    count += 1
                except (FileExistsError, FileNotFoundError):
                    pass  # another process settles too
            if waiting:
                fsync_parent(self._layout.blob("0" * 64))
            for name in names:
                if name[65:] != boot:
                    _unlink(self._layout.at("blobs", FRESH, name))
        except OSError as error:
            raise disk_error(error, self._layout.at("blobs")) from error
        return count

    def fresh(self) -> list[str]:
        """Digests of blobs that a crash would undo."""
        boot = self._boot_id() if (names := self._fresh_names()) else ""
        return sorted(n[:64] for n in names if n[65:] == boot and not os.path.exists(self._layout.blob(n[:64])))

    def tidy(self) -> None:
        """Settle, and take away the second names of what nobody uses, so that removing a blob frees its bytes."""
        self.settle()
        if not self._fresh_names():
            return
        from bareboat.store.leases import leased_keys

        with store_lock(self._layout, exclusive=True):
            leased = leased_keys(self._layout, remove=False)
            for name in self._fresh_names():
                if name[:64] not in leased and os.path.exists(self._layout.blob(name[:64])):
                    _unlink(self._layout.at("blobs", FRESH, name))

    def _fresh(self, sha256: str) -> str:
        return self._layout.at("blobs", FRESH, f"{sha256}-{self._boot_id()}")

    def _fresh_names(self) -> list[str]:
        try:
            return os.listdir(self._layout.at("blobs", FRESH))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk_error(error, self._layout.at("blobs", FRESH)) from error

    def _boot_id(self) -> str:
        if self._boot is None:
            self._boot = files.boot_id()
        return self._boot

    def adopt(self, path: Path, sha256: str | None, size: int | None, where: str) -> str:
        """As put for a file in the store's own tmp/, which is renamed and not copied. When refused, it
        stays.
        """

        if sha256 is not None and self.find(check_sha256(sha256)) is not None:
            return self._acknowledge(sha256)
        digest, count = hasher(LARGE), 0
        for chunk in file_chunks(path):
            digest.update(chunk)
            count += len(chunk)
        _compare(digest.hexdigest(), sha256, count, size, where)
        target = self._layout.blob(digest.hexdigest())
        self._leases.keep(digest.hexdigest())
        self._rename(path, target, count)
        return digest.hexdigest()

    def _rename(self, path: Path, target: str, count: int | None = None) -> None:
        """Bytes durable, then the name, then the name durable."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.fchmod(fd, 0o444)
                files.fsync(fd)
                os.utime(fd)
                os.rename(path, target)
            finally:
                os.close(fd)
            fsync_parent(target)
        except OSError as error:
            raise disk_error(error, target, count) from error

    def _acknowledge(self, sha256: str) -> str:
        """Another process may have renamed it and not yet synced the name, or it is fresh: what is acknowledged
        must be durable.
        """
        if not os.path.exists(self._layout.blob(sha256)):
            self.settle()
        try:
            fsync_parent(self._layout.blob(sha256))
        except OSError as error:
            raise disk_error(error, self._layout.blob(sha256)) from error
        return sha256

    def verified(self, sha256: str) -> Path | None:
        """As find, read through and compared first. A blob that rotted is removed and not returned."""
        path = self.find(sha256)
        if path is None or self.is_right(sha256):
            return path
        self.remove(sha256)
        return None

    def is_right(self, sha256: str) -> bool:
        """Whether the bytes still have their digest. Raises StoreError when they cannot be read."""

        digest = hasher(LARGE)
        path = self._layout.blob(check_sha256(sha256))
        if not os.path.lexists(path):
            path = self._fresh(sha256)
        try:
            for chunk in file_chunks(Path(path)):
                digest.update(chunk)
        except OSError as error:
            raise disk_error(error, path) from error
        return digest.hexdigest() == sha256

    def remove(self, sha256: str) -> None:
        """Make a blob invisible; its readers keep what they opened."""
        try:
            with store_lock(self._layout):
                _unlink(self._layout.blob(check_sha256(sha256)))
                _unlink(self._fresh(sha256))
        except OSError as error:
            raise disk_error(error, self._layout.blob(sha256)) from error

    def drop(self, digests: Iterable[str]) -> int:
        """See Store.drop_blobs. Under the exclusive lock, so that nobody takes hold of one in between."""
        from bareboat.store.leases import leased_keys

        count = 0
        try:
            with store_lock(self._layout, exclusive=True):
                leased = leased_keys(self._layout)
                for digest in digests:
                    paths = [self._layout.blob(check_sha256(digest)), self._fresh(digest)]
                    if digest not in leased and any(map(os.path.lexists, paths)):
                        for path in paths:
                            _unlink(path)
                        count += 1
        except OSError as error:
            raise disk_error(error, self._layout.home) from error
        return count

    def all(self) -> list[str]:
        """Every digest, sorted."""
        settled = {name for name in os.listdir(self._layout.at("blobs", "sha256")) if len(name) == 64}
        return sorted(settled.union(self.fresh()))


def _compare(found: str, sha256: str | None, count: int, size: int | None, where: str) -> None:
    if size is not None and count != size:
        raise ArchiveError(
            "blob.size",
            f"{count:,} bytes instead of {size:,}",
            where=where,
            hint="nothing of it was kept; the transfer may have been cut short: try again",
        )
    if sha256 is not None and found != sha256:
        raise ArchiveError(
            "blob.digest",
            f"sha256 {found} instead of {sha256}",
            where=where,
            hint="nothing of it was kept; the source is not what was locked",
        )


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def file_chunks(path: Path) -> Iterator[bytes]:
    """A regular file's bytes; a link, a fifo or a directory is refused."""
    import stat

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise StoreError("store.not-a-file", "a regular file is meant", where=str(path))
        while chunk := os.read(fd, _CHUNK):
            yield chunk
    finally:
        os.close(fd)
