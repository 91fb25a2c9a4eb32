"""Bytes by their sha256: visible only when complete and right, there after a crash once put has returned."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bareboat.errors import ArchiveError, StoreError
from bareboat.store.atomic import Draft, fsync_parent
from bareboat.store.disk_errors import check_room, disk_error
from bareboat.store.leases import Leases
from bareboat.store.locks import store_lock
from bareboat.store.paths import Layout, check_sha256
from bareboat.store.stamps import stamp

_CHUNK = 1 << 20


class Blobs:
    """The blobs of one store."""

    def __init__(self, layout: Layout, leases: Leases) -> None:
        self._layout, self._leases = layout, leases

    def find(self, sha256: str) -> Path | None:
        """The file of a complete blob, leased for this process, or None."""
        path = self._layout.blob(check_sha256(sha256))
        self._leases.keep(sha256)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise disk_error(error, path) from error
        stamp(path, status.st_mtime)
        return Path(path)

    def put(self, chunks: Iterable[bytes], sha256: str | None, size: int | None, where: str) -> str:
        """Store bytes; returns their sha256. Idempotent. See Store.put_blob."""
        import hashlib

        if sha256 is not None and self.find(check_sha256(sha256)) is not None:
            return self._acknowledge(sha256)
        if size is not None:
            check_room(self._layout.home, size)
        digest, count = hashlib.sha256(), 0
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

    def adopt(self, path: Path, sha256: str | None, size: int | None, where: str) -> str:
        """As put for a file in the store's own tmp/, which is renamed and not copied. When refused, it
        stays.
        """
        import hashlib

        if sha256 is not None and self.find(check_sha256(sha256)) is not None:
            return self._acknowledge(sha256)
        digest, count = hashlib.sha256(), 0
        for chunk in file_chunks(path):
            digest.update(chunk)
            count += len(chunk)
        _compare(digest.hexdigest(), sha256, count, size, where)
        target = self._layout.blob(digest.hexdigest())
        self._leases.keep(digest.hexdigest())
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.fchmod(fd, 0o444)
                os.fsync(fd)
                os.utime(fd)
                os.rename(path, target)
            finally:
                os.close(fd)
            fsync_parent(target)
        except OSError as error:
            raise disk_error(error, target, count) from error
        return digest.hexdigest()

    def _acknowledge(self, sha256: str) -> str:
        """Another process may have renamed it and not yet synced the name: what is acknowledged must be
        durable.
        """
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
        import hashlib

        digest = hashlib.sha256()
        path = self._layout.blob(check_sha256(sha256))
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
                os.unlink(self._layout.blob(check_sha256(sha256)))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise disk_error(error, self._layout.blob(sha256)) from error

    def all(self) -> list[str]:
        """Every digest, sorted."""
        return sorted(name for name in os.listdir(self._layout.at("blobs", "sha256")) if len(name) == 64)


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
