"""The seam between the SSH gateway and a container: start a program in it, connect in it, listen in it."""

from __future__ import annotations

import socket
from typing import Protocol

from bareboat.errors import EngineError
from bareboat.values import dataclass


@dataclass(frozen=True)
class Person:
    """Who works in the container, and where: names and paths inside; env is complete for a new program."""

    user: str
    home: str
    cwd: str
    env: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Program:
    """A program to start inside. env is complete; window: (rows, columns) of its terminal, which it has with tty."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    tty: bool = False
    window: tuple[int, int] = (24, 80)


@dataclass(frozen=True)
class Ended:
    """How a program ended: its code as a shell says it, and the signal's name without SIG where one is known."""

    code: int
    signal: str = ""


class Running(Protocol):
    """A program inside. stdin, stdout, stderr: descriptors for who started it to write to and to read from, which
    belong to it and who closes them; with a terminal stdin and stdout lead there, and stderr is -1.
    """

    @property
    def stdin(self) -> int: ...
    @property
    def stdout(self) -> int: ...
    @property
    def stderr(self) -> int: ...

    def signal(self, number: int) -> None:
        """Signal the program; one that ended is fine."""

    def resize(self, window: tuple[int, int]) -> None:
        """Set (rows, columns) of its terminal and tell it; without one nothing happens."""

    async def wait(self) -> Ended:
        """Until it ended."""

    def leave(self) -> None:
        """Who started it went away: hang up its terminal. One without a terminal goes on, its streams at their end."""


class Inside(Protocol):
    """A container that runs, for one user of it."""

    @property
    def person(self) -> Person: ...

    async def start(self, program: Program) -> Running:
        """Start a program. Raises EngineError, ProgramError (126, 127)."""

    async def connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection made in the container's network, not blocking. Raises OSError, Unavailable."""

    async def listen(self, host: str, port: int) -> socket.socket:
        """A TCP socket that listens in the container's network, on this address of its own; port 0 for any. Raises
        OSError, Unavailable.
        """

    async def gone(self) -> None:
        """Until the container ended."""


class Unavailable(EngineError):
    """What was asked for is not to be had from this container ("ssh.forward", "ssh.files")."""
