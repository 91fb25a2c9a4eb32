"""Unpacked layers: made once under a temporary name, visible as a whole, read-only by convention.

A tree can be made again from its source, so nobody waits for the disk: it is used at once while the kernel
that wrote it is running (its boot id is noted), and for good once it was synced. After a crash an unsynced
tree counts as absent. docs/decisions/0010 has the reasons. On a file system that is not local a tree is
synced before it is visible.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from bareboat.host import files
from bareboat.store.disk_errors import disk_error
from bareboat.store.leases import Leases
from bareboat.store.locks import making, store_lock
from bareboat.store.paths import Layout, check_key
from bareboat.store.scratch import Scratch
from bareboat.store.stamps import stamp

TYPE_CHECKING = False  # typing itself costs 3 ms at every start
if TYPE_CHECKING:
    from bareboat.store.treewriter import Limits, TreeWriter


class Trees:
    """The trees of one store."""

    def __init__(self, layout: Layout, leases: Leases) -> None:
        self._layout, self._leases = layout, leases
        self._boot: str | None = None
        self._local: bool | None = None

    def find(self, key: str) -> Path | None:
        """The root of a complete tree, leased for this process, or None."""
        self._leases.keep(check_key(key))
        return Path(f"{self._layout.tree(key)}/root") if self._is_complete(key) else None

    def find_all(self, keys: Iterable[str]) -> list[Path | None]:
        """As find for many, leased in one go."""
        checked = [check_key(key) for key in keys]
        self._leases.keep(*checked)
        return [Path(f"{self._layout.tree(k)}/root") if self._is_complete(k) else None for k in checked]

    def _is_complete(self, key: str) -> bool:
        wrapper = self._layout.tree(key)
        marker = f"{wrapper}/synced"
        try:
            modified = os.stat(marker).st_mtime
        except FileNotFoundError:
            marker = f"{wrapper}/boot"
            try:
                with open(marker, encoding="ascii") as file:
                    boot = file.read()
                    modified = os.fstat(file.fileno()).st_mtime
            except FileNotFoundError:
                return False
            except (OSError, UnicodeDecodeError):
                return False  # what is not sure is made again
            if not boot or boot != self._boot_id():
                return False
        except OSError as error:
            raise disk_error(error, marker) from error
        stamp(marker, modified)
        return True

    def make(self, key: str, fill: Callable[[TreeWriter], None], limits: Limits | None = None) -> Path:
        """Make a tree unless it is there. See Store.make_tree."""
        found = self.find(key)
        if found is not None:
            return found
        try:
            with making(self._layout, key):
                found = self.find(key)
                return found if found is not None else self._make(key, fill, limits)
        except OSError as error:
            raise disk_error(error, self._layout.tree(key)) from error

    def _make(self, key: str, fill: Callable[[TreeWriter], None], limits: Limits | None) -> Path:
        from bareboat.store import manifest
        from bareboat.store.treewriter import Limits, TreeWriter

        with Scratch(self._layout, "tree") as scratch:
            wrapper = f"{scratch.path}/wrapper"
            os.mkdir(wrapper, 0o700)
            os.mkdir(f"{wrapper}/root", 0o755)
            writer = TreeWriter(Path(wrapper, "root"), limits=limits or Limits(), where=key)
            try:
                fill(writer)
                entries = writer.finish()
            finally:
                writer.close()
            _write(f"{wrapper}/manifest", manifest.dump(entries))
            if self._layout.lent:
                from bareboat.store.lending import lend_tree

                lend_tree(wrapper, entries)
            unsettled = self._layout.at("unsettled", key)
            if self._is_local() and self._boot_id():
                self._mark(f"{wrapper}/boot", self._boot_id().encode())
                _write(unsettled, b"")
            else:
                files.syncfs(wrapper)
                self._mark(f"{wrapper}/synced", b"")
            self._publish(wrapper, key, scratch.path)
        return Path(f"{self._layout.tree(key)}/root")

    def _publish(self, wrapper: str, key: str, aside: str) -> None:
        """Rename into place. What is there already is the same tree by another maker, or one that counts
        as absent.
        """
        target = self._layout.tree(key)
        for attempt in range(10):
            try:
                os.rename(wrapper, target)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if self._is_complete(key):
                return
            with store_lock(self._layout):
                try:
                    os.rename(target, f"{aside}/old-{attempt}")
                except FileNotFoundError:
                    pass
        raise OSError(errno.EEXIST, "others keep making the same tree", target)

    def settle(self) -> int:
        """Make every unsynced tree durable with one sync; returns how many. Raises StoreError store.io.

        When the disk reports an error, those trees are taken out of sight: they are made again when needed.
        """
        try:
            keys = os.listdir(self._layout.at("unsettled"))
            if not keys:
                return 0
            try:
                files.syncfs(self._layout.at("trees"))
            except OSError:
                for key in keys:
                    self._distrust(key)
                raise
            for key in keys:
                self._mark_synced(key)
            files.syncfs(self._layout.at("trees"))  # the marks themselves; there is little left to write
            return len(keys)
        except OSError as error:
            raise disk_error(error, self._layout.at("trees")) from error

    def _mark_synced(self, key: str) -> None:
        """Only what this kernel wrote was synced just now: a tree from before a crash stays absent."""
        wrapper = self._layout.tree(key)
        try:
            with open(f"{wrapper}/boot", encoding="ascii") as file:
                if file.read() == self._boot_id():
                    self._mark(f"{wrapper}/synced", b"")
        except FileNotFoundError:
            pass
        _unlink(self._layout.at("unsettled", key))

    def _mark(self, path: str, data: bytes) -> None:
        _write(path, data)
        if self._layout.lent:
            os.chmod(path, 0o644)

    def _distrust(self, key: str) -> None:
        _unlink(f"{self._layout.tree(key)}/boot")
        _unlink(self._layout.at("unsettled", key))

    def hide(self, key: str) -> None:
        """Make a tree invisible at once; gc removes what is left. Those who use it keep their files."""
        for name in ("synced", "boot"):
            _unlink(f"{self._layout.tree(check_key(key))}/{name}")

    def unsettled(self) -> list[str]:
        """Keys of trees that a crash would undo."""
        return sorted(os.listdir(self._layout.at("unsettled")))

    def all(self) -> list[str]:
        """Every complete tree's key, sorted."""
        return sorted(key for key in os.listdir(self._layout.at("trees")) if self._is_there(key))

    def _is_there(self, key: str) -> bool:
        wrapper = self._layout.tree(key)
        return os.path.exists(f"{wrapper}/synced") or _boot_of(wrapper) == (self._boot_id() or None)

    def differences(self, key: str, *, content: bool = True) -> Iterable[str]:
        """What of a tree differs from what was written. Raises StoreError store.damaged for its manifest."""
        from bareboat.store import manifest

        wrapper = self._layout.tree(check_key(key))
        try:
            with open(f"{wrapper}/manifest", "rb") as file:
                data = file.read()
        except OSError as error:
            raise disk_error(error, f"{wrapper}/manifest") from error
        return manifest.differences(
            f"{wrapper}/root", manifest.parse(data, f"{wrapper}/manifest"), content=content
        )

    def _boot_id(self) -> str:
        if self._boot is None:
            self._boot = files.boot_id()
        return self._boot

    def _is_local(self) -> bool:
        if self._local is None:
            self._local = files.filesystem(Path(self._layout.home)).local
        return self._local


def _boot_of(wrapper: str) -> str | None:
    try:
        with open(f"{wrapper}/boot", encoding="ascii") as file:
            return file.read() or None
    except (OSError, UnicodeDecodeError):
        return None


def _write(path: str, data: bytes) -> None:
    from bareboat.store.atomic import write_all

    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
