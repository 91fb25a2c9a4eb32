"""Forwarding of the client's agent, where both sides asked for it: ssh -A and bareboat ssh --agent."""

from __future__ import annotations

import asyncio
import base64
import struct

import asyncssh

from bareboat.errors import BareboatError
from bareboat.sessions.ssh import scripts
from bareboat.sessions.ssh.inside import Inside, Running
from bareboat.sessions.ssh.keys import public_key

HELLO = b"bareboat agent 1\n"
HEAD = struct.Struct("!I")
MOST = 1 << 18
PATIENCE = 3.0  # seconds for an agent of this machine to say which keys it has
FAILURE = HEAD.pack(1) + b"\x05"  # SSH_AGENT_FAILURE (draft-ietf-sshm-ssh-agent)


class Agent:
    """The agent of one connection's client, as a socket inside. path: SSH_AUTH_SOCK there."""

    def __init__(self, connection: asyncssh.SSHServerConnection, running: Running, reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter) -> None:
        self._connection, self._running, self._reader, self._writer = connection, running, reader, writer
        self.path = ""
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, connection: asyncssh.SSHServerConnection, inside: Inside) -> Agent:
        """Make the socket. Raises Unavailable "ssh.python", BareboatError "ssh.agent"."""
        running, reader, writer = await scripts.start(inside, "agent", HELLO, "the client's agent needs")
        agent = cls(connection, running, reader, writer)
        try:
            agent.path = (await reader.readline()).decode("utf-8").rstrip("\n")
        except (OSError, ValueError):
            pass
        if not agent.path:
            raise BareboatError("ssh.agent", "the client's agent cannot be made available inside")
        agent._task = asyncio.get_running_loop().create_task(agent._answer())
        return agent

    async def _answer(self) -> None:
        """Pass requests on until the other side is gone; a client that refuses is an agent that fails."""
        try:
            while True:
                request = await _frame(self._reader)
                try:
                    answer = await self._ask(request)
                except (asyncssh.Error, OSError, asyncio.IncompleteReadError):
                    answer = FAILURE
                self._writer.write(answer)
                await self._writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer.close()

    async def _ask(self, request: bytes) -> bytes:
        """One request by a channel of its own: a client does not leave while one is open."""
        reader, writer = await self._connection.open_agent_connection()
        try:
            writer.write(request)
            return await _frame(reader)
        finally:
            writer.close()

    def close(self) -> None:
        """The connection ended, and the socket with it."""
        self._writer.close()
        if self._task is not None:
            self._task.cancel()


async def keys_of(path: str) -> tuple[str, ...]:
    """The public keys that an agent of this machine has, as in authorized_keys; () where it does not answer."""
    if not path:
        return ()
    async def ask() -> list[bytes]:
        async with asyncssh.connect_agent(path) as agent:
            return [pair.public_data for pair in await agent.get_keys()]

    try:
        found = await asyncio.wait_for(ask(), PATIENCE)
    except (OSError, ValueError, asyncssh.Error, asyncio.TimeoutError):
        return ()
    lines = (_line(data) for data in found)
    return tuple(sorted(line for line in lines if public_key(line)))


def _line(data: bytes) -> str:
    size = int.from_bytes(data[:4], "big")
    return f"{data[4:4 + size].decode('ascii', 'replace')} {base64.b64encode(data).decode()}"


async def _frame(reader: asyncio.StreamReader | asyncssh.SSHReader[bytes]) -> bytes:
    head = await reader.readexactly(HEAD.size)
    size = HEAD.unpack(head)[0]
    if size > MOST:
        raise OSError(5, "too long for a message of an agent")
    return head + await reader.readexactly(size)
