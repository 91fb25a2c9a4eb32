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


@dataclass(frozen=True)
class Started:
    """A supervisor to start: it reads its task from descriptor 0, answers once on descriptor 3, and logs to a file."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    task: bytes
    log: Path


def start_supervisor(what: Started, seconds: float) -> bytes:
    """Start it in a session of its own and wait for its answer; b"" when it ended without one, or was silent for so
    long. Raises OSError.
    """
    import select

    take, give = os.pipe()
    hear, tell = os.pipe()
    log = os.open(what.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        high = fcntl.fcntl(tell, fcntl.F_DUPFD_CLOEXEC, 16)
        actions = [(os.POSIX_SPAWN_DUP2, take, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2),
                   (os.POSIX_SPAWN_DUP2, high, 3)]
        os.posix_spawn(what.argv[0], what.argv, what.env, file_actions=actions, setsid=True)
        os.close(high)
    finally:
        for descriptor in (take, tell, log):
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
