"""The seam over a container that runs: each program is a process of ours that enters it, and ends with it."""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
from collections.abc import Mapping

from bareboat.host.process import Child, Command, start
from bareboat.sessions.ssh import network
from bareboat.sessions.ssh.inside import Person, Program, Unavailable
from bareboat.sessions.ssh.programs import Process, spawn
from bareboat.values import dataclass

REQUEST = "BAREBOAT_INSIDE"  # the variable by which a program to start is handed on: argv is for everybody to see


@dataclass(frozen=True)
class Target:
    """A container, and how it is entered. program, sockets: argv of the processes that enter it to start a program and
    to make sockets (() where nobody outside can); env: their environment. network: "host" or "none".
    """

    person: Person
    network: str
    program: tuple[str, ...]
    sockets: tuple[str, ...]
    env: Mapping[str, str]


class ContainerInside:
    """Inside, over a target. end: a descriptor that becomes readable when the container ended."""

    def __init__(self, target: Target, end: int) -> None:
        self.person = target.person
        self._target = target
        self._gone = asyncio.Event()
        self._end = end
        self._maker: _Maker | None = None
        asyncio.get_running_loop().add_reader(end, self._over)

    def _over(self) -> None:
        asyncio.get_running_loop().remove_reader(self._end)
        self._gone.set()

    async def start(self, program: Program) -> Process:
        """See Inside.start. That a program is not there is said by the process that enters, and by its exit code."""
        known = dict(self.person.env)
        more = [[name, value] for name, value in program.env if known.get(name) != value]
        text = json.dumps({"argv": program.argv, "env": more, "cwd": program.cwd, "tty": program.tty})
        return spawn(Command(self._target.program, env={**self._target.env, REQUEST: text}),
                     program.window if program.tty else None)

    async def connect(self, host: str, port: int) -> socket.socket:
        """See Inside.connect."""
        if self._target.network == "host":
            return await network.connect(host, port)
        sock = await self._socket(host)
        try:
            await network.within(asyncio.get_running_loop().sock_connect(sock, (network.address(host), port)))
        except BaseException:
            sock.close()
            raise
        return sock

    async def listen(self, host: str, port: int) -> socket.socket:
        """See Inside.listen."""
        if self._target.network == "host":
            return network.listen(host, port)
        return network.listening(await self._socket(host), host, port)

    async def _socket(self, host: str) -> socket.socket:
        """A new socket that belongs to the container's network. A name must be one that needs nobody to ask."""
        family = socket.AF_INET6 if ":" in network.address(host) else socket.AF_INET
        if not self._target.sockets:
            raise Unavailable("ssh.forward", "the network of this container cannot be entered from here",
                              hint="start it with --network host, or publish a port with -p")
        if self._maker is None:
            self._maker = _Maker(Command(self._target.sockets, env=self._target.env))
        sock = await self._maker.make(family)
        sock.setblocking(False)
        return sock

    async def gone(self) -> None:
        """Until it ended."""
        await self._gone.wait()

    def close(self) -> None:
        """Let go of what is held beside programs. Idempotent."""
        asyncio.get_running_loop().remove_reader(self._end)
        if self._maker is not None:
            self._maker.close()
            self._maker = None


class _Maker:
    """A process inside the container's network, asked for sockets over a socket of its own."""

    def __init__(self, command: Command) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._lock = asyncio.Lock()
        try:
            self._child: Child = start(command, (theirs.fileno(), -1, -1))
        finally:
            theirs.close()

    async def make(self, family: int) -> socket.socket:
        """A socket. Raises OSError where the container is gone."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(self._ours, b"6" if family == socket.AF_INET6 else b"4")
            readable = asyncio.Event()
            loop.add_reader(self._ours, readable.set)
            try:
                await network.within(readable.wait())
            finally:
                loop.remove_reader(self._ours)
            _, ancillary, _, _ = self._ours.recvmsg(1, socket.CMSG_SPACE(4), getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        found = array.array("i")
        for _, _, payload in ancillary:
            found.frombytes(payload[: len(payload) - len(payload) % found.itemsize])
        if not found:
            raise OSError(5, "the container has ended")
        return socket.socket(fileno=found[0])

    def close(self) -> None:
        self._ours.close()
        self._child.kill()
        self._child.wait()


def send_descriptor(channel: socket.socket, descriptor: int) -> None:
    """The answer of a maker: a socket, which stays the caller's to close."""
    channel.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])


def person_of(facts: Mapping[str, object]) -> Person:
    """Who works in a container, by what its supervisor tells."""
    found = facts["env"]
    assert isinstance(found, list)
    env = {str(name): str(value) for name, value in found}
    home = env.get("HOME") or "/"
    user = env.get("USER") or ("root" if facts["uid"] == 0 else "user")
    return Person(user, home, os.fspath(str(facts["cwd"])), tuple(sorted(env.items())))
