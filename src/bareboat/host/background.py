"""Start a process that outlives this one."""

from __future__ import annotations

import os
from collections.abc import Mapping


def start_detached(argv: tuple[str, ...], env: Mapping[str, str]) -> None:
    """A program in a session of its own, its streams on /dev/null; nobody waits for it. Raises OSError."""
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    os.posix_spawn(argv[0], argv, env, file_actions=null, setsid=True)
