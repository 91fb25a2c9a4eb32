"""cp: files between a running container and this machine, by a tar stream, whatever the engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

from bareboat.errors import UsageError
from bareboat.host import copying
from bareboat.verbs import containers
from bareboat.verbs.collaborators import Work
from bareboat.verbs.enter import entered
from bareboat.workload import Handle

STREAM = "-"


def copy(source: str, target: str, open_work: Callable[[str], Work]) -> None:
    """Copy from or to a container, written NAME:PATH. open_work: the collaborators for an engine, "" for the usual one.

    A target that is a directory gets the source into it; one that is not there becomes it; as cp -r. Raises
    UsageError "cp.*", "container.*", EngineError, CopyError.
    """
    (name, path), (other, there) = _parted(source), _parted(target)
    if bool(name) == bool(other):
        raise UsageError("cp.which", "one of both is in a container, written NAME:PATH",
                         where=f"{source} {target}"[:200],
                         hint="a file of this machine with a colon in its name is written ./a:b")
    work = open_work("")
    text = name or other
    seen = containers.find(work.store, text)
    if not seen.running:
        raise UsageError("container.not-running", f"container {text} is not running, and its writable layer is gone",
                         hint="what it wrote to its results folder is there")
    if seen.container.engine not in ("", work.engine.name):
        work = open_work(seen.container.engine)
    _, answer = entered(text, work.store)
    handle = Handle(str(answer.value.get("id", "")), answer.descriptor)
    try:
        if name:
            _out(handle, path, there, work)
        else:
            _in(handle, path, there, work)
    finally:
        if answer.descriptor >= 0:
            os.close(answer.descriptor)


def _parted(text: str) -> tuple[str, str]:
    """("", path) or (name, path)."""
    name, colon, path = text.partition(":")
    if not colon or "/" in name or name in ("", "."):
        return "", text
    return name, path or "/"


def _out(handle: Handle, path: str, target: str, work: Work) -> None:
    tar = work.engine.copy_out(handle, path)
    if target == STREAM:
        for chunk in tar:
            sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        return
    called = "" if os.path.isdir(target) else os.path.basename(target.rstrip("/"))
    folder = target if not called else os.path.dirname(target.rstrip("/")) or "."
    if target.endswith("/") and called:
        raise UsageError("cp.target", "there is no such directory", where=target)
    with _opened(folder) as directory:
        copying.unpack(directory, tar, folder, called)


def _in(handle: Handle, path: str, target: str, work: Work) -> None:
    if path == STREAM:
        work.engine.copy_in(handle, target, iter(lambda: sys.stdin.buffer.read(copying.CHUNK), b""))
        return
    if not os.path.lexists(path):
        raise UsageError("cp.source", "there is no such file or directory", where=path)
    absolute = os.path.abspath(path)
    parent, name = os.path.dirname(absolute), os.path.basename(absolute)
    into, called = target, name
    if not target.endswith("/") and not _is_directory(handle, target, work):
        into, _, called = target.rpartition("/")
    with _opened(parent) as directory:
        work.engine.copy_in(handle, into or "/", copying.pack(directory, name or ".", called or name))


def _is_directory(handle: Handle, path: str, work: Work) -> bool:
    """Whether there is a directory inside: what its tar begins with says so."""
    from bareboat.errors import EngineError

    tar: Iterator[bytes] = work.engine.copy_out(handle, path)
    try:
        return next(tar, b"")[156:157] == b"5"
    except EngineError as error:
        if error.code != "engine.no-file":
            raise
        return False
    finally:
        getattr(tar, "close", lambda: None)()


class _opened:
    """A directory of this machine."""

    def __init__(self, path: str) -> None:
        self._path, self._fd = path, -1

    def __enter__(self) -> int:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError("cp.target", f"cannot be opened: {error.strerror}", where=self._path) from None
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
