"""A session channel: the client's shell or command as a program inside."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asyncssh.process import SSHServerProcess

from bareboat.errors import BAREBOAT_FAILED, NOT_FOUND, BareboatError, ProgramError
from bareboat.sessions.ssh import carried
from bareboat.sessions.ssh.inside import Ended, Inside, Person, Program, Running
from bareboat.sessions.ssh.pipes import copy, reader_of, writer_of
from bareboat.values import replace

# As sshd's AcceptEnv where distributions set it, and what tells programs how the terminal looks.
ACCEPTED = ("LANG", "LANGUAGE", "COLORTERM", "NO_COLOR", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TZ")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
LONGEST = 4096  # bytes of such a variable
SHELL = 'exec "$(command -v bash || echo /bin/sh)"'
COMMAND = 's=$(command -v bash || echo /bin/sh); exec "$s" -c "$1"'
KILLED = 128 + 9
MOMENT = 0.5  # seconds between the end of a container and that of its programs, as they are seen here
LINGER = 2.0  # seconds for the output of a terminal whose program ended: others may hold it


class Session(SSHServerProcess[bytes]):
    """One session channel; asyncssh serves sftp and scp on it by itself. agent: gives the path of the client's agent
    inside; None where that is not allowed.
    """

    def __init__(self, inside: Inside, files: Callable[[Any], Any],
                 agent: Callable[[], Awaitable[str]] | None) -> None:
        super().__init__(self._serve, files, 3, True)
        self._inside, self._agent = inside, agent
        self._running: Running | None = None
        self._early: list[int] = []  # signals that came before there was a program

    def signal_received(self, signal: str) -> None:
        """A signal by its name without SIG; unknown ones are passed over, as by sshd."""
        number = signal_number(signal)
        if number and self._running is not None:
            self._running.signal(number)
        elif number:
            self._early.append(number)

    def break_received(self, msec: int) -> bool:
        """A break is nothing to a program here."""
        return False

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """The client's window has another size."""
        if self._running is not None:
            self._running.resize((height, width))

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed, by whoever: a program that still runs is left alone, or its terminal hung up."""
        if self._running is not None:
            self._running.leave()
        super().connection_lost(exc)

    async def _serve(self, process: SSHServerProcess[bytes]) -> None:
        try:
            self._running = await self._inside.start(await self._program(process))
        except (BareboatError, OSError) as error:
            process.stderr.write(f"bareboat: {error}\r\n".encode())
            process.exit(error.exit_code if isinstance(error, BareboatError) else BAREBOAT_FAILED)
            return
        for number in self._early:
            self._running.signal(number)
        await self._pass_on(process, self._running)

    async def _program(self, process: SSHServerProcess[bytes]) -> Program:
        program = program_of(self._inside.person, process)
        if self._agent is not None and process.channel.get_agent_path():
            program = with_variable(program, "SSH_AUTH_SOCK", await self._agent())
        if process.command and carried.wanted(process.command) and await carried.missing(self._inside, "rsync"):
            found = carried.find()
            if found is None:
                raise ProgramError("ssh.rsync", "there is no rsync in the image, nor one on its machine to lend it",
                                   exit_code=NOT_FOUND, hint='put rsync into the image: apt = ["rsync"]')
            path = dict(program.env).get("PATH", DEFAULT_PATH)
            program = with_variable(program, "PATH", f"{await carried.bring(self._inside, found)}:{path}")
        return program

    async def _pass_on(self, process: SSHServerProcess[bytes], running: Running) -> None:
        loop = asyncio.get_running_loop()
        terminal = running.stderr < 0
        writer = await writer_of(running.stdin)
        # no end is said of either: it would be the whole channel's, and the other may have more
        outputs = [loop.create_task(copy(await reader_of(running.stdout), process.stdout, end=False))]
        if not terminal:
            outputs.append(loop.create_task(copy(await reader_of(running.stderr), process.stderr, end=False)))
        into = loop.create_task(copy(process.stdin, writer))
        try:
            ended = await self._end_of(running, process)
            _, late = await asyncio.wait(outputs, timeout=LINGER if terminal else None)
            for task in late:
                task.cancel()
        finally:
            into.cancel()
            writer.close()
        if ended.signal:
            process.exit_with_signal(ended.signal)
        else:
            process.exit(ended.code)

    async def _end_of(self, running: Running, process: SSHServerProcess[bytes]) -> Ended:
        """Until the program ended. One that was killed with its container is told of as that."""
        loop = asyncio.get_running_loop()
        ended, gone = loop.create_task(running.wait()), loop.create_task(self._inside.gone())
        await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not gone.done() and ended.result().code == KILLED:
            await asyncio.wait({gone}, timeout=MOMENT)
        if gone.done():
            process.stderr.write(b"bareboat: the container ended\r\n")
            await asyncio.wait({ended}, timeout=MOMENT)
        gone.cancel()
        return ended.result() if ended.done() else Ended(KILLED)


def program_of(person: Person, process: SSHServerProcess[bytes]) -> Program:
    """What a channel asks for. Raises BareboatError "ssh.subsystem"."""
    if process.subsystem:
        raise BareboatError("ssh.subsystem", f"there is no subsystem {process.subsystem!r} but sftp")
    env = dict(person.env)
    env.update(accepted(process.env))
    env.update({"SSH_CONNECTION": "127.0.0.1 0 127.0.0.1 0", "SSH_CLIENT": "127.0.0.1 0 0"})
    columns, rows, _, _ = process.term_size
    terminal = process.term_type is not None
    if terminal:
        env["TERM"] = process.term_type or "dumb"
    command = process.command
    argv = ("/bin/sh", "-c", SHELL) if command is None else ("/bin/sh", "-c", COMMAND, "sh", command)
    return Program(argv, tuple(sorted(env.items())), person.cwd, terminal, (rows or 24, columns or 80))


def with_variable(program: Program, name: str, value: str) -> Program:
    """The program with a variable more."""
    return replace(program, env=tuple(sorted({**dict(program.env), name: value}.items())))


def accepted(wanted: Mapping[str, str]) -> dict[str, str]:
    """The client's variables that are taken: how things look, never what is run."""
    return {name: value for name, value in wanted.items()
            if (name in ACCEPTED or name.startswith("LC_")) and name.isidentifier()
            and len(value) <= LONGEST and value.isprintable()}


def signal_number(name: str) -> int:
    """RFC 4254's names and the system's others; 0 for none of them."""
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError:
        return 0
