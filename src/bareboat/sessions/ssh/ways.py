"""The two ways in: standard input and output, for ssh's ProxyCommand, where nothing listens; and a port of loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import stat

from bareboat.sessions.ssh.gateway import Gateway
from bareboat.sessions.ssh.pipes import copy, reader_of, writer_of


async def through_stdio(gateway: Gateway, stdin: int = 0, stdout: int = 1) -> None:
    """One connection over two descriptors, which are closed at its end."""
    if _is_socket(stdin) and os.path.samestat(os.fstat(stdin), os.fstat(stdout)):
        await gateway.serve(socket.socket(fileno=stdin))
        return
    ours, theirs = socket.socketpair()
    reader, writer = await reader_of(stdin), await writer_of(stdout)
    near_reader, near_writer = await asyncio.open_connection(sock=ours)
    loop = asyncio.get_running_loop()
    into = loop.create_task(copy(reader, near_writer))
    out = loop.create_task(copy(near_reader, writer))
    try:
        await gateway.serve(theirs)
        await out  # what was said last is still on its way
    finally:
        into.cancel()
        near_writer.close()
        writer.close()


def _is_socket(descriptor: int) -> bool:
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)


async def through_port(gateway: Gateway, listening: socket.socket, idle: float) -> None:
    """Every connection to a listening socket, until the container ended or nobody was connected for so many seconds."""
    listening.setblocking(False)
    loop = asyncio.get_running_loop()
    serving: set[asyncio.Task[None]] = set()
    gone = loop.create_task(gateway.inside.gone())
    accepting: asyncio.Task[tuple[socket.socket, object]] | None = None
    try:
        while not gone.done():
            accepting = accepting or loop.create_task(loop.sock_accept(listening))
            done, _ = await asyncio.wait({gone, accepting, *serving}, timeout=None if serving else idle,
                                         return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            serving -= done
            if accepting in done:
                try:
                    sock, _ = accepting.result()
                except OSError:
                    await asyncio.sleep(0.1)  # out of descriptors: others may close theirs
                else:
                    serving.add(loop.create_task(gateway.serve(sock)))
                accepting = None
        if serving:
            await asyncio.wait(serving)
    finally:
        gone.cancel()
        if accepting is not None:
            accepting.cancel()
        listening.close()
