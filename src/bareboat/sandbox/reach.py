"""The root directory of a sandbox that runs, as a descriptor outside: what is inside is reached by name below it, and
links there mean what they mean inside.
"""

from __future__ import annotations

import _socket
import array
import os
from collections.abc import Iterable, Iterator

from bareboat.errors import EngineError
from bareboat.host import copying, kernel
from bareboat.sandbox.enter import tell


def open_root(pidfd: int) -> int:
    """A descriptor (O_PATH) of the sandbox's root directory. Raises EngineError "engine.gone"."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            kernel.setns(pidfd, kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
            tell(theirs.fileno(), b"root", fds=(os.open("/", os.O_PATH | os.O_DIRECTORY),))
        finally:
            os._exit(0)
    theirs.close()
    try:
        _, ancillary, _, _ = ours.recvmsg(64, _socket.CMSG_SPACE(8), _socket.MSG_CMSG_CLOEXEC)
    finally:
        ours.close()
        os.waitpid(pid, 0)
    fds = array.array("i")
    for _, _, payload in ancillary:
        fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if not fds:
        raise EngineError("engine.gone", "the container cannot be entered", hint="It may have just ended: bareboat ps")
    return fds[0]


def copy_out(pidfd: int, path: str) -> Iterator[bytes]:
    """See engine.base.Engine.copy_out."""
    root = open_root(pidfd)
    try:
        folder, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            folder, name = path, "."
        parent = _open(root, folder or "/", path)
        try:
            yield from copying.pack(parent, name, "" if name != "." else folder.strip("/").rpartition("/")[2] or "root")
        finally:
            os.close(parent)
    except OSError as error:
        raise _failed(error, path) from error
    finally:
        os.close(root)


def copy_in(pidfd: int, folder: str, tar: Iterable[bytes]) -> None:
    """See engine.base.Engine.copy_in."""
    root = open_root(pidfd)
    try:
        directory = _open(root, folder, folder)
        try:
            copying.unpack(directory, tar, folder)
        finally:
            os.close(directory)
    except OSError as error:
        raise _failed(error, folder) from error
    finally:
        os.close(root)


def _open(root: int, folder: str, path: str) -> int:
    try:
        return kernel.open_in_root(root, os.fsencode(folder), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _failed(error, path) from error


def _failed(error: OSError, path: str) -> EngineError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return EngineError("engine.no-file", "there is no such file or directory in the container", where=path)
    return EngineError("engine.copy", f"cannot be copied: {error.strerror}", where=path)
