"""Forwarded TCP connections, both ways: each is a socket in the container's network and a channel to the client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import asyncssh
from asyncssh.listener import SSHListener

from bareboat.sessions.ssh.pipes import copy


def connected(sock: socket.socket) -> Callable[[Any, Any], Awaitable[None]]:
    """What serves a channel with a connected socket."""

    async def serve(reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        near_reader, near_writer = await asyncio.open_connection(sock=sock)
        await join(near_reader, near_writer, reader, writer)

    return serve


async def join(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter,
               far_reader: asyncssh.SSHReader[bytes], far_writer: asyncssh.SSHWriter[bytes]) -> None:
    """Copy both ways until both ended; each end is handed on by itself, so that half-closed connections work."""
    try:
        await asyncio.gather(copy(near_reader, far_writer), copy(far_reader, near_writer))
    finally:
        far_writer.close()
        near_writer.close()


class Listener(SSHListener):
    """A port inside whose connections go to the client."""

    def __init__(self, connection: asyncssh.SSHServerConnection, sock: socket.socket, host: str) -> None:
        super().__init__()
        self._connection, self._host, self._port = connection, host, int(sock.getsockname()[1])
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, connection: asyncssh.SSHServerConnection, sock: socket.socket, host: str) -> Listener:
        """Take connections of a listening socket. host: as the client wrote it, who knows the port by that."""
        listener = cls(connection, sock, host)
        listener._server = await asyncio.start_server(listener._accepted, sock=sock)
        return listener

    def get_port(self) -> int:
        """The port that was taken."""
        return self._port

    async def _accepted(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        origin = near_writer.get_extra_info("peername")
        try:
            far_reader, far_writer = await self._connection.open_connection(
                self._host, self._port, origin[0], origin[1], encoding=None)
        except (asyncssh.Error, OSError):
            near_writer.close()
            return
        await join(near_reader, near_writer, far_reader, far_writer)

    def close(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()

    async def wait_closed(self) -> None:
        """Until nobody is taken any more; connections go on."""
