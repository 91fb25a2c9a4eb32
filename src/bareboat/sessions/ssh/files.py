"""SFTP and SCP: asyncssh speaks the protocols, the helper inside does what they ask for.

Nothing of a path is looked at here: it means what it means inside, to the container's user.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import asyncssh
from asyncssh import constants
from asyncssh.sftp import SFTPServer

from bareboat.errors import BareboatError
from bareboat.sessions.ssh.helper import Helper
from bareboat.sessions.ssh.inside import Inside

if TYPE_CHECKING:
    from asyncssh import SFTPAttrs, SFTPName, SFTPVFSAttrs, SSHServerChannel

_TYPES = {
    stat.S_IFREG: constants.FILEXFER_TYPE_REGULAR, stat.S_IFDIR: constants.FILEXFER_TYPE_DIRECTORY,
    stat.S_IFLNK: constants.FILEXFER_TYPE_SYMLINK, stat.S_IFIFO: constants.FILEXFER_TYPE_FIFO,
    stat.S_IFSOCK: constants.FILEXFER_TYPE_SOCKET, stat.S_IFCHR: constants.FILEXFER_TYPE_CHAR_DEVICE,
    stat.S_IFBLK: constants.FILEXFER_TYPE_BLOCK_DEVICE,
}
_NANO = 1_000_000_000


class Open:
    """An open file, by the helper's number."""

    def __init__(self, number: int) -> None:
        self.number = number


class Files(SFTPServer):
    """One channel's files. The helper is started when the first operation comes."""

    def __init__(self, channel: SSHServerChannel[bytes], inside: Inside) -> None:
        super().__init__(channel)
        self._inside = inside
        self._helper: asyncio.Task[Helper] | None = None

    async def _ready(self) -> Helper:
        if self._helper is None:
            self._helper = asyncio.get_running_loop().create_task(Helper.start(self._inside))
        try:
            return await asyncio.shield(self._helper)
        except BareboatError as error:
            self.channel.write_stderr(f"bareboat: {error}\n".encode())
            raise OSError(errno.EIO, error.what) from None

    async def _ask(self, operation: str, *words: object, data: bytes = b"") -> Any:
        return await (await self._ready()).ask(operation, *words, data=data)

    async def exit(self) -> None:
        """The client has done: its helper ends. scp looks at the exit status, and asyncssh gives none for sftp."""
        self.channel.exit(0)
        if self._helper is not None:
            try:
                helper = await self._helper
            except BareboatError:
                return
            await helper.close()

    async def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> object:
        """Open, by flags of version 3."""
        write, read = pflags & constants.FXF_WRITE, pflags & constants.FXF_READ
        flags = os.O_RDWR if read and write else os.O_WRONLY if write else os.O_RDONLY
        for asked, flag in ((constants.FXF_APPEND, os.O_APPEND), (constants.FXF_CREAT, os.O_CREAT),
                            (constants.FXF_TRUNC, os.O_TRUNC), (constants.FXF_EXCL, os.O_EXCL)):
            flags |= flag if pflags & asked else 0
        mode = 0o666 if attrs.permissions is None else attrs.permissions & 0o777
        return Open(_number(await self._ask("open", os.fsdecode(path), flags, mode)))

    async def close(self, file_obj: object) -> None:
        """Close; buffered by nobody."""
        await self._ask("close", _of(file_obj))

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Bytes, b"" at the end."""
        return await (await self._ready()).read(_of(file_obj), offset, size)

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """All of them."""
        await self._ask("write", _of(file_obj), offset, data=data)
        return len(data)

    async def stat(self, path: bytes) -> SFTPAttrs:
        """Attributes; links followed."""
        return _attrs(await self._ask("stat", os.fsdecode(path)))

    async def lstat(self, path: bytes) -> SFTPAttrs:
        """Attributes of a link itself."""
        return _attrs(await self._ask("lstat", os.fsdecode(path)))

    async def fstat(self, file_obj: object) -> SFTPAttrs:
        """Attributes of an open file."""
        return _attrs(await self._ask("fstat", _of(file_obj)))

    async def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Change attributes; links followed."""
        await self._ask("setstat", os.fsdecode(path), True, _wanted(attrs))

    async def lsetstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Change attributes of a link itself."""
        await self._ask("setstat", os.fsdecode(path), False, _wanted(attrs))

    async def fsetstat(self, file_obj: object, attrs: SFTPAttrs) -> None:
        """Change attributes of an open file."""
        await self._ask("setstat", _of(file_obj), True, _wanted(attrs))

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        """Names with their attributes, "." and ".." first."""
        number = _number(await self._ask("list", os.fsdecode(path)))
        try:
            while found := _list(await self._ask("next_names", number)):
                for name, attributes in map(_list, found):
                    yield asyncssh.SFTPName(os.fsencode(_text(name)), attrs=_attrs(attributes))
        finally:
            await self._ask("close", number)

    async def remove(self, path: bytes) -> None:
        """Remove a file or a link."""
        await self._ask("remove", os.fsdecode(path))

    async def mkdir(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Make a directory."""
        mode = 0o777 if attrs.permissions is None else attrs.permissions & 0o7777
        await self._ask("mkdir", os.fsdecode(path), mode)

    async def rmdir(self, path: bytes) -> None:
        """Remove an empty directory."""
        await self._ask("rmdir", os.fsdecode(path))

    async def realpath(self, path: bytes) -> bytes:
        """The absolute path, links followed."""
        return os.fsencode(_text(*_list(await self._ask("realpath", os.fsdecode(path or b".")))))

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename; an existing file is not replaced."""
        await self._ask("rename", os.fsdecode(oldpath), os.fsdecode(newpath), False)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename; an existing file is replaced."""
        await self._ask("rename", os.fsdecode(oldpath), os.fsdecode(newpath), True)

    async def readlink(self, path: bytes) -> bytes:
        """What a link says."""
        return os.fsencode(_text(*_list(await self._ask("readlink", os.fsdecode(path)))))

    async def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a symbolic link, with these words in it."""
        await self._ask("symlink", os.fsdecode(oldpath), os.fsdecode(newpath))

    async def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a hard link."""
        await self._ask("link", os.fsdecode(oldpath), os.fsdecode(newpath))

    async def statvfs(self, path: bytes) -> SFTPVFSAttrs:
        """Space of a file system."""
        return _space(await self._ask("statvfs", os.fsdecode(path)))

    async def fstatvfs(self, file_obj: object) -> SFTPVFSAttrs:
        """Space of an open file's file system."""
        return _space(await self._ask("fstatvfs", _of(file_obj)))

    async def fsync(self, file_obj: object) -> None:
        """Make durable."""
        await self._ask("fsync", _of(file_obj))

    def format_user(self, uid: int | None) -> str:
        """For long listings: the number, since names are the container's and not this machine's."""
        return "" if uid is None else str(uid)

    def format_group(self, gid: int | None) -> str:
        """As format_user."""
        return "" if gid is None else str(gid)


def _of(file_obj: object) -> int:
    assert isinstance(file_obj, Open)
    return file_obj.number


def _wrong() -> OSError:
    return OSError(errno.EIO, "the helper inside gave a wrong answer")


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong()
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _wrong()
    return value


def _numbers(value: object, count: int) -> list[int]:
    found = _list(value)
    if len(found) != count or not all(type(n) is int and 0 <= n < 1 << 64 for n in found):
        raise _wrong()
    return found


def _number(value: object) -> int:
    return _numbers(value, 1)[0]


def _attrs(value: object) -> SFTPAttrs:
    mode, size, uid, gid, links, atime, mtime = _numbers(value, 7)
    return asyncssh.SFTPAttrs(
        type=_TYPES.get(stat.S_IFMT(mode), constants.FILEXFER_TYPE_UNKNOWN), size=size, uid=uid & 0xFFFFFFFF,
        gid=gid & 0xFFFFFFFF, permissions=mode & 0xFFFFFFFF, nlink=links & 0xFFFFFFFF,
        atime=atime // _NANO & 0xFFFFFFFF, atime_ns=atime % _NANO,
        mtime=mtime // _NANO & 0xFFFFFFFF, mtime_ns=mtime % _NANO)


def _wanted(attrs: SFTPAttrs) -> list[int | None]:
    times = [None if seconds is None else seconds * _NANO + (more or 0)
             for seconds, more in ((attrs.atime, attrs.atime_ns), (attrs.mtime, attrs.mtime_ns))]
    return [attrs.size, attrs.uid, attrs.gid, attrs.permissions, *times]


def _space(value: object) -> SFTPVFSAttrs:
    return asyncssh.SFTPVFSAttrs(*_numbers(value, 11))
