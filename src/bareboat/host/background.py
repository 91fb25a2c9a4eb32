"""Start a process that outlives this one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from bareboat.values import dataclass


def start_detached(argv: tuple[str, ...], env: Mapping[str, str]) -> None:
    """A program in a session of its own, its streams on /dev/null; nobody waits for it. Raises OSError."""
    start_child(argv, env)


def start_child(argv: tuple[str, ...], env: Mapping[str, str]) -> int:
    """As start_detached, and its pid, for the caller to wait for. Raises OSError."""
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    return os.posix_spawn(argv[0], argv, env, file_actions=null, setsid=True)


def start_heard(argv: tuple[str, ...], env: Mapping[str, str]) -> tuple[int, int]:
    """As start_child, and a descriptor that gives what it writes, without waiting. Raises OSError."""
    hear, say = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 2)]
    try:
        return os.posix_spawn(argv[0], argv, env, file_actions=[*null, (os.POSIX_SPAWN_DUP2, say, 1)],
                              setsid=True), hear
    except OSError:
        os.close(hear)
        raise
    finally:
        os.close(say)


def reap() -> None:
    """Let go of children of this process that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


@dataclass(frozen=True)
class Started:
    """A supervisor to start: it reads its task from descriptor 0, answers once on descriptor 3, and logs to a file.
    descriptors are its from 4 on, in their order.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    task: bytes
    log: Path
    descriptors: tuple[int, ...] = ()


def start_supervisor(what: Started, seconds: float) -> bytes:
    """Start it in a session of its own and wait for its answer; b"" when it ended without one, or was silent for so
    long. Raises OSError.
    """
    import select

    take, give = os.pipe()
    hear, tell = os.pipe()
    log = os.open(what.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    copies: list[int] = []
    try:
        actions = [(os.POSIX_SPAWN_DUP2, take, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        for number, descriptor in enumerate((tell, *what.descriptors), 3):  # by copies above them all
            copies.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(16, 4 + len(what.descriptors))))
            actions.append((os.POSIX_SPAWN_DUP2, copies[-1], number))
        os.posix_spawn(what.argv[0], what.argv, what.env, file_actions=actions, setsid=True)
    finally:
        for descriptor in (take, tell, log, *copies):
            os.close(descriptor)
    answer = b""
    try:
        left = memoryview(what.task)
        while left:
            left = left[os.write(give, left):]
        os.close(give)
        give = -1
        while select.select((hear,), (), (), seconds)[0] and (data := os.read(hear, 1 << 16)):
            answer += data
    except BrokenPipeError:
        pass  # it ended
    finally:
        os.close(hear)
        if give >= 0:
            os.close(give)
    return answer


@dataclass(frozen=True)
class Handed:
    """A process to start that nobody waits for: its task is a file on descriptor 0, and descriptors are its from 3 on,
    in their order.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    task: bytes
    log: Path
    descriptors: tuple[int, ...] = ()


def start_handed(what: Handed) -> int:
    """Start it in a session of its own; its pid, for the caller to wait for. Raises OSError."""
    task = in_memory(what.task)
    opened = [task]
    try:
        log = os.open(what.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        opened.append(log)
        actions = [(os.POSIX_SPAWN_DUP2, task, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        first = 3 + len(what.descriptors)
        for number, descriptor in enumerate(what.descriptors, 3):  # by copies above them all: none is overwritten
            opened.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(first, 64)))
            actions.append((os.POSIX_SPAWN_DUP2, opened[-1], number))
        return os.posix_spawn(what.argv[0], what.argv, what.env, file_actions=actions, setsid=True)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def in_memory(data: bytes) -> int:
    """A file without a name that holds this, to be read from its beginning; above the numbers that a child gets."""
    low = os.memfd_create("task") if hasattr(os, "memfd_create") else os.open(_unnamed(), os.O_RDWR | os.O_CLOEXEC)
    try:
        with open(os.dup(low), "wb") as file:
            file.write(data)
        os.lseek(low, 0, os.SEEK_SET)
        return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 64)
    finally:
        os.close(low)


def _unnamed() -> str:
    import tempfile

    return tempfile.mkstemp()[1]
