"""The fake beside the seam: programs are processes of this machine, its network is this machine's."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from pathlib import Path

from bareboat.errors import NOT_FOUND, ProgramError
from bareboat.host.process import Command
from bareboat.sessions.ssh import network
from bareboat.sessions.ssh.inside import Person, Program
from bareboat.sessions.ssh.programs import Process, spawn

# As an engine's exec does: takes the terminal it was given as its own, ignores no signal that its parent ignored (as
# whatever a script started behind &), and becomes the program.
_TAKE = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class LocalInside:
    """Inside without a container: nothing is kept apart. home: the person's, and where programs start."""

    def __init__(self, home: Path, env: tuple[tuple[str, str], ...] = ()) -> None:
        path = os.environ.get("PATH", os.defpath)
        self.person = Person("user", os.fspath(home), os.fspath(home),
                             (("HOME", os.fspath(home)), ("PATH", path), ("USER", "user"), *env))
        self.started: list[Program] = []
        self._running: list[Process] = []
        self._gone = asyncio.Event()

    async def start(self, program: Program) -> Process:
        """See Inside.start."""
        env = dict(program.env)
        found = shutil.which(program.argv[0], path=env.get("PATH", ""))
        if found is None:
            raise ProgramError("program.not-found", "not found", exit_code=NOT_FOUND, where=program.argv[0])
        self.started.append(program)
        argv = (found, *program.argv[1:])
        if program.tty:
            argv = (sys.executable, "-ISc", _TAKE, *argv)
        process = spawn(Command(argv, env=env, cwd=Path(program.cwd)), program.window if program.tty else None)
        self._running.append(process)
        return process

    async def connect(self, host: str, port: int) -> socket.socket:
        """See Inside.connect."""
        return await network.connect(host, port)

    async def listen(self, host: str, port: int) -> socket.socket:
        """See Inside.listen."""
        return network.listen(host, port)

    async def gone(self) -> None:
        """Until end() was called."""
        await self._gone.wait()

    def end(self) -> None:
        """As if the container had ended: its programs are killed."""
        for process in self._running:
            process.signal(9)
        self._gone.set()
