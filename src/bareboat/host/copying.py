"""Files as a tar stream and back, through descriptors of directories: no name ever leads out of one.

A tar is read by the reader that images are read with; written by the standard library's headers.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator

from bareboat.errors import BareboatError
from bareboat.image import tarstream

CHUNK = 1 << 18
MOST = 1 << 62  # bytes of one copy: the disk is the bound
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_DIRECTORY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY


class CopyError(BareboatError):
    """What was to be copied cannot be: "copy.kind", "copy.clash", "copy.failed"."""


def pack(parent: int, name: str, called: str = "") -> Iterator[bytes]:
    """A tar of one entry of a directory and all below it, links as links. called: what it is named in the tar.

    Sockets are left out, devices and fifos too; a file that shrinks meanwhile is filled with zeros. Raises OSError.
    """
    yield from _entry(parent, name, called or name)
    yield bytes(2 * tarstream.BLOCK)


def _entry(parent: int, name: str, path: str) -> Iterator[bytes]:
    import tarfile

    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    info = tarfile.TarInfo(path)
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=parent)
        yield _header(info)
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        yield _header(info)
        directory = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            for below in sorted(os.listdir(directory)):
                yield from _entry(directory, below, f"{path}/{below}")
        finally:
            os.close(directory)
    elif stat.S_ISREG(status.st_mode):
        info.size = status.st_size
        file = os.open(name, _OPEN, dir_fd=parent)
        try:
            yield _header(info)
            left = info.size
            while left:
                data = os.read(file, min(CHUNK, left)) or bytes(min(CHUNK, left))
                left -= len(data)
                yield data
            yield bytes(-info.size % tarstream.BLOCK)
        finally:
            os.close(file)


def _header(info: object) -> bytes:
    import tarfile

    assert isinstance(info, tarfile.TarInfo)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


class Source:
    """What a tar is read from: chunks of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._left = iter(chunks), b""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; b"" at the end."""
        if not self._left:
            self._left = next((chunk for chunk in self._chunks if chunk), b"")
        data, self._left = self._left[:size], self._left[size:]
        return data


def unpack(folder: int, chunks: Iterable[bytes], where: str, called: str = "") -> None:
    """Write a tar into a directory: what is there is written over, a directory is filled, and no link on the way is
    followed. Set-user-ID and its like are dropped. called: another name for what the tar's first name is. Raises
    CopyError, ArchiveError, OSError.
    """
    stream = tarstream.TarStream(Source(chunks), where, MOST, tarstream.LAYER)
    late: list[tuple[str, int, int]] = []  # modes of directories, when they need not be written to any more
    for member in stream:
        if not member.path:
            continue
        path = member.path
        if called:
            _, slash, below = path.partition("/")
            path = f"{called}{slash}{below}"
        parent, _, name = path.rpartition("/")
        directory = _walk(folder, parent, where)
        try:
            _write(directory, name, member, stream)
            if member.kind == tarstream.DIRECTORY:
                late.append((path, member.mode & 0o777, member.mtime))
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            raise CopyError("copy.clash", "a directory is in the way of a file, or a file in that of a directory",
                            where=f"{where}: {path}") from None
        finally:
            os.close(directory)
    for path, mode, mtime in reversed(late):
        directory = _walk(folder, path, where)
        try:
            os.fchmod(directory, mode)
            os.utime(directory, (mtime, mtime))
        finally:
            os.close(directory)


def _walk(folder: int, path: str, where: str) -> int:
    current = os.dup(folder)
    for part in filter(None, path.split("/")):
        try:
            try:
                below = os.open(part, _DIRECTORY, dir_fd=current)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=current)
                below = os.open(part, _DIRECTORY, dir_fd=current)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise CopyError("copy.clash", "a link or a file is where a directory is meant, and links are not "
                                "followed", where=f"{where}: {path}") from None
            raise
        finally:
            os.close(current)
        current = below
    return current


def _write(directory: int, name: str, member: tarstream.Member, stream: tarstream.TarStream) -> None:
    if member.kind == tarstream.DIRECTORY:
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                raise
        return
    if member.kind not in (tarstream.FILE, tarstream.SYMLINK, tarstream.HARDLINK):
        return
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    if member.kind == tarstream.SYMLINK:
        os.symlink(member.link, name, dir_fd=directory)
        return
    if member.kind == tarstream.HARDLINK:
        raise CopyError("copy.kind", "a hard link in what is copied", where=member.path)
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    try:
        for chunk in stream.chunks():
            view = memoryview(chunk)
            while view:
                view = view[os.write(file, view):]
        os.fchmod(file, member.mode & 0o777)
        os.utime(file, (member.mtime, member.mtime))
    finally:
        os.close(file)
