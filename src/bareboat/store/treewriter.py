"""The one writer for every archive: wheels, debs, layers and merges all go through it into a directory.

It works by directory descriptors, never by a path with more than one part; never opens through a link; and
knows each name it made, so nothing it is told can leave the root or change what was there (SECURITY.md
findings 1 and 2).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from bareboat.errors import ArchiveError, BareboatError
from bareboat.image.plan import EPOCH
from bareboat.store.disk_errors import disk_error
from bareboat.store.manifest import Entry, crc32
from bareboat.values import dataclass

_TIMES = (EPOCH * 1_000_000_000, EPOCH * 1_000_000_000)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLE, _ZEROS = 1 << 16, bytes(1 << 18)  # a chunk of as many zeros is not written: images have gigabytes of them
_OPEN_DIRS = 128  # descriptors kept for parents
_TARGET_LENGTH = 4095
_PATH_LENGTH = 4095


def _times(mtime: int | None) -> tuple[int, int]:
    return _TIMES if mtime is None else (mtime * 1_000_000_000, mtime * 1_000_000_000)


@dataclass(frozen=True)
class Limits:
    """Where a bomb stops: bytes of content, entries, depth in parts, bytes of one name."""

    bytes: int = 64 << 30
    entries: int = 2_000_000
    depth: int = 64
    name: int = 255


class TreeWriter:
    """Fills one empty directory. Not thread-safe; finish() ends it.

    Paths are relative to the root, parts joined by "/". Refused with ArchiveError, before anything of that
    entry is written: absolute paths, "..", ".", empty parts, NUL, over-long names, whiteout names, a name
    that is there, a file where a directory is meant and the other way round, and what goes over a limit. Disk
    trouble is StoreError.
    """

    def __init__(self, root: Path, *, limits: Limits | None = None, where: str = "") -> None:
        self.bytes_written = 0
        self.entries = 0
        self._limits, self._where, self._root = limits or Limits(), where, os.fspath(root)
        self._times: dict[str, int] = {}  # of directories that have one of their own
        self._made: dict[str, Entry] = {"": Entry("d", 0o755, 0, 0)}
        try:
            self._fds: dict[str, int] = {"": os.open(self._root, _OPEN_DIR)}
        except OSError as error:
            raise disk_error(error, self._root) from error

    def directory(self, path: str, mode: int = 0o755, mtime: int | None = None) -> None:
        """Make a directory and its parents; one that is there takes the mode, and the time where one is given."""
        self._check(path)
        if mtime is not None:
            self._times[path] = mtime
        if path in self._made:
            if self._made[path].kind != "d":
                raise self._refuse("tree.clash", "a directory where a file is already", path)
            self._made[path] = Entry("d", mode & 0o7777, 0, 0)
            return
        self._parent(path)
        self._mkdir(path, mode & 0o7777)

    def opaque(self, path: str) -> None:
        """Let a directory that was made hide what lies under it in other trees, by overlay's own mark ("userxattr").

        Where the file system keeps no such marks, what is there stays seen.
        """
        if hasattr(os, "setxattr"):
            try:
                os.setxattr(self._fd(path), "user.overlay.opaque", b"y")
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENOSPC):
                    raise disk_error(error, f"{self._root}/{path}") from error

    def root(self, mode: int, mtime: int) -> None:
        """Give the root itself a mode and a time."""
        self._made[""], self._times[""] = Entry("d", mode & 0o7777, 0, 0), mtime

    def file(self, path: str, mode: int, chunks: Iterable[bytes], *, replace: bool = False,
             mtime: int | None = None) -> None:
        """Make a file from chunks of bytes, with its parents. replace: a file or link of that name goes
        first. mtime: seconds, where it matters (bytecode that others compiled); else EPOCH.
        """
        parent, name = self._place(path, replace)
        limit, size, checksum = self._limits.bytes - self.bytes_written, 0, 0
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
            try:
                for chunk in chunks:
                    size += len(chunk)
                    if size > limit:
                        raise self._refuse(
                            "tree.too-large", f"over {self._limits.bytes:,} bytes of content", path
                        )
                    checksum = crc32(chunk, checksum)
                    if len(chunk) >= _HOLE and chunk == _ZEROS[: len(chunk)]:
                        os.ftruncate(fd, size)
                        os.lseek(fd, 0, os.SEEK_END)
                        continue
                    written = os.write(fd, chunk)
                    while written < len(chunk):
                        written += os.write(fd, memoryview(chunk)[written:])
                os.fchmod(fd, mode & 0o7777)  # independent of umask and default ACLs
                os.utime(fd, ns=_times(mtime))
            finally:
                os.close(fd)
        except OSError as error:
            raise self._trouble(error, path, size) from error
        self.bytes_written += size
        self._add(path, Entry("f", mode & 0o7777, size, checksum))

    def symlink(self, path: str, target: str, *, replace: bool = False, mtime: int | None = None) -> None:
        """Make a symbolic link; its target is text, never followed here. 1 to 4095 bytes without NUL."""
        raw = os.fsencode(target)
        if not raw or len(raw) > _TARGET_LENGTH or b"\0" in raw:
            raise self._refuse("tree.bad-link", "a link target of 1 to 4095 bytes without NUL is meant", path)
        parent, name = self._place(path, replace)
        try:
            os.symlink(target, name, dir_fd=parent)
            os.utime(name, ns=_times(mtime), dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            raise self._trouble(error, path) from error
        self._add(path, Entry("l", 0o777, len(raw), crc32(raw, 0)))

    def hardlink(self, path: str, target: str) -> None:
        """Give a file of this tree a second name; target is relative to the root and must be there
        already.
        """
        self._check(target)
        entry = self._made.get(target)
        if entry is None or entry.kind == "d":
            raise self._refuse(
                "tree.bad-link", f"a hard link to {target!r}, which is no file of this archive", path
            )
        parent, name = self._place(path, False)
        source = self._fd(target.rpartition("/")[0])
        try:
            os.link(
                target.rpartition("/")[2], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
            )
        except OSError as error:
            raise self._trouble(error, path) from error
        self._add(path, entry)

    def link_file(self, source: Path, path: str, *, replace: bool = False) -> None:
        """Give a file (or symbolic link) of another tree of this store a name here: no bytes where links are
        possible.

        Where they are not (another file system, too many links, a file system without them) it is copied.
        """
        text = os.fspath(source)
        status = os.lstat(text)
        if stat.S_ISLNK(status.st_mode):
            self.symlink(path, os.readlink(text), replace=replace)
            return
        if not stat.S_ISREG(status.st_mode):
            raise self._refuse("tree.bad-link", "only files and links can be linked", path)
        parent, name = self._place(path, replace)
        try:
            os.link(text, name, dst_dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise self._trouble(error, path) from error
            with open(text, "rb") as file:
                self.file(path, stat.S_IMODE(status.st_mode), iter(lambda: file.read(1 << 20), b""),
                          mtime=int(status.st_mtime))
            return
        self._add(path, Entry("f", stat.S_IMODE(status.st_mode), status.st_size, None))

    def finish(self) -> dict[str, Entry]:
        """Set modes and times of the directories and close; returns what is in the tree, path → entry, ""
        the root.
        """
        try:
            for path in sorted((p for p, e in self._made.items() if e.kind == "d"), reverse=True):
                parent, _, name = path.rpartition("/")
                fd = self._fd(path) if not path else os.open(name, _OPEN_DIR, dir_fd=self._fd(parent))
                try:
                    os.fchmod(fd, self._made[path].mode)
                    os.utime(fd, ns=_times(self._times.get(path)))
                finally:
                    if path:
                        os.close(fd)
        except OSError as error:
            raise disk_error(error, self._root) from error
        finally:
            self.close()
        return self._made

    def close(self) -> None:
        """Let the descriptors go; idempotent."""
        fds, self._fds = self._fds, {}
        for fd in fds.values():
            os.close(fd)

    def __contains__(self, path: str) -> bool:
        return path in self._made

    def _place(self, path: str, replace: bool) -> tuple[int, str]:
        """The parent's descriptor and the last name, free to be made."""
        self._check(path)
        present = self._made.get(path)
        if present is not None and (present.kind == "d" or not replace):
            text = "a file where a directory is already" if present.kind == "d" else "the same name twice"
            raise self._refuse("tree.clash" if present.kind == "d" else "tree.duplicate", text, path)
        parent, name = self._parent(path), path.rpartition("/")[2]
        if present is not None:
            try:
                os.unlink(name, dir_fd=parent)
            except OSError as error:
                raise disk_error(error, f"{self._root}/{path}") from error
            del self._made[path]
            self.entries -= 1
        elif self.entries >= self._limits.entries:
            raise self._refuse("tree.too-many", f"over {self._limits.entries:,} entries", path)
        return parent, name

    def _check(self, path: str) -> None:
        if path in self._made and path:
            return
        if not path or path[0] == "/" or "\0" in path:
            raise self._refuse("tree.bad-path", "a relative path without NUL is meant", path)
        parts = path.split("/")
        if len(parts) > self._limits.depth:
            raise self._refuse("tree.too-deep", f"over {self._limits.depth} directories deep", path)
        for part in parts:
            if part in ("", ".", ".."):
                raise self._refuse("tree.bad-path", "empty parts, '.' and '..' are not allowed", path)
            if part.startswith(".wh."):
                raise self._refuse("tree.whiteout", "names beginning with .wh. mean removal in a layer", path)
            if len(part) * 4 > self._limits.name and len(os.fsencode(part)) > self._limits.name:
                raise self._refuse("tree.long-name", f"a name of over {self._limits.name} bytes", path)
        if len(path) * 4 > _PATH_LENGTH and len(os.fsencode(path)) > _PATH_LENGTH:
            raise self._refuse("tree.long-name", f"a path of over {_PATH_LENGTH} bytes", path)

    def _parent(self, path: str) -> int:
        """The descriptor of path's parent, made with all above it where missing."""
        parent = path.rpartition("/")[0]
        fd = self._fds.get(parent)
        if fd is not None:
            return fd
        entry = self._made.get(parent)
        if entry is None:
            self._parent(parent)
            self._mkdir(parent, 0o755)
        elif entry.kind != "d":
            raise self._refuse("tree.clash", f"{parent!r} is a file and cannot hold others", path)
        return self._fd(parent)

    def _mkdir(self, path: str, mode: int) -> None:
        if self.entries >= self._limits.entries:
            raise self._refuse("tree.too-many", f"over {self._limits.entries:,} entries", path)
        parent, _, name = path.rpartition("/")
        try:
            os.mkdir(name, 0o700, dir_fd=self._fd(parent))
        except OSError as error:
            raise self._trouble(error, path) from error
        self._add(path, Entry("d", mode, 0, 0))

    def _fd(self, path: str) -> int:
        """A directory's descriptor, opened from its parent's, part by part."""
        fd = self._fds.get(path)
        if fd is not None:
            return fd
        parent, _, name = path.rpartition("/")
        above = self._fd(parent)
        try:
            fd = os.open(name, _OPEN_DIR, dir_fd=above)
        except OSError as error:
            raise disk_error(error, f"{self._root}/{path}") from error
        if len(self._fds) >= _OPEN_DIRS:
            for old in [p for p in self._fds if p and not path.startswith(p + "/")][: _OPEN_DIRS // 2]:
                os.close(self._fds.pop(old))
        self._fds[path] = fd
        return fd

    def _add(self, path: str, entry: Entry) -> None:
        self._made[path] = entry
        self.entries += 1

    def _trouble(self, error: OSError, path: str, size: int = 0) -> BareboatError:
        """What the disk said. A name that is there and was not made by that name: the file system takes two for one."""
        if isinstance(error, FileExistsError):
            return ArchiveError(
                "tree.folded", "a name that differs from another only by case or by its form in Unicode, which this"
                " file system takes for the same", where=f"{self._root}/{path}",
                hint="set BAREBOAT_HOME to a file system that tells them apart (on macOS a case-sensitive volume)",
            )
        return disk_error(error, f"{self._root}/{path}", size or None)

    def _refuse(self, code: str, what: str, path: str) -> ArchiveError:
        where = f"{self._where}: {path!r}" if self._where else repr(path)
        return ArchiveError(
            code, what, where=where, hint="the archive is malformed or malicious; nothing of it is kept"
        )
