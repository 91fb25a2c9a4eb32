"""Sockets in this machine's network, for containers that share it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Coroutine
from typing import Any

PATIENCE = 20.0  # seconds for a connection to be made


async def connect(host: str, port: int) -> socket.socket:
    """A TCP connection of this machine's network, to the first address that takes it. Raises OSError."""
    loop = asyncio.get_running_loop()
    failure = OSError(f"no address for {host}")
    for family, kind, number, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, number)
        sock.setblocking(False)
        try:
            await within(loop.sock_connect(sock, address))
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


async def within(what: Coroutine[Any, Any, object]) -> None:
    """Wait for something that the network does, and not for ever. Raises OSError."""
    try:
        await asyncio.wait_for(what, PATIENCE)
    except asyncio.TimeoutError:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket of this machine's network. host: an address. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return listening(socket.socket(family, socket.SOCK_STREAM), host, port)


def listening(sock: socket.socket, host: str, port: int) -> socket.socket:
    """A new socket, bound and listening, not blocking; closed where that cannot be. Raises OSError."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def address(host: str) -> str:
    """The address of a host that is reached without asking anybody: localhost or an address itself. Raises OSError."""
    if host in ("localhost", "", "*"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        raise OSError(f"there are no names in a container without a network, and {host!r} is no address") from None
