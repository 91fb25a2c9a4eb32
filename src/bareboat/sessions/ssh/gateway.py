"""The gateway: an SSH server for one container, with keys only, for one user."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable
from typing import Any

import asyncssh
from asyncssh.stream import SSHTCPStreamSession

from bareboat.errors import BareboatError
from bareboat.sessions.ssh.agent import Agent
from bareboat.sessions.ssh.files import Files
from bareboat.sessions.ssh.forwarding import Listener, connected
from bareboat.sessions.ssh.inside import Inside
from bareboat.sessions.ssh.serving import Session
from bareboat.values import dataclass

TRIES = 6  # keys that may be offered and are not ours, as OpenSSH's MaxAuthTries
FREE = 3  # of them without a delay: an agent offers what it has
DELAY = 0.5  # seconds more for each of the others
LOGIN = 30.0  # seconds until somebody has shown a key
GOODBYE = 2.0  # seconds for the other side to read the last words
UNKNOWN = 10  # connections at a time that have not
# None of them rests on SHA-1, which asyncssh would still take.
SIGNATURES = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
              "ecdsa-sha2-nistp521", "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256")


@dataclass(frozen=True)
class Doors:
    """Who may come in, and to what. keys: public keys as in authorized_keys, without options; host_key: the private
    key's file content; users: names that may be asked for; agent: whether ssh -A is taken.
    """

    keys: tuple[str, ...]
    host_key: bytes
    users: tuple[str, ...]
    agent: bool = False


class Gateway:
    """Connections to one container, whose programs it starts."""

    def __init__(self, inside: Inside, doors: Doors) -> None:
        self.inside, self.doors = inside, doors
        self.keys = frozenset(asyncssh.import_public_key(line).public_data for line in doors.keys)
        self.unknown = 0  # connections that have not shown a key yet
        self._options = asyncssh.SSHServerConnectionOptions(
            server_factory=lambda: Door(self), server_host_keys=[asyncssh.import_private_key(doors.host_key)],
            server_version="bareboat", encoding=None, line_editor=False, allow_scp=True, login_timeout=LOGIN,
            agent_forwarding=doors.agent, x11_forwarding=False, gss_host=None, host_based_auth=False,
            password_auth=False, kbdint_auth=False, public_key_auth=True, compression_algs=["none"],
            signature_algs=list(SIGNATURES), keepalive_interval=60, keepalive_count_max=10, rdns_lookup=False)

    async def serve(self, sock: socket.socket) -> None:
        """One connection on a connected socket, to its end, which is also the container's."""
        last = sock.dup()
        try:
            await self._serve(sock)
        finally:
            await _hear_out(last)

    async def _serve(self, sock: socket.socket) -> None:
        try:
            connection = await asyncssh.run_server(sock, options=self._options)
        except (OSError, asyncssh.Error):
            return  # it did not get in; the other side was told what may be told
        loop = asyncio.get_running_loop()
        gone, closed = loop.create_task(self.inside.gone()), loop.create_task(connection.wait_closed())
        await asyncio.wait({gone, closed}, return_when=asyncio.FIRST_COMPLETED)
        if not closed.done():
            await asyncio.wait({closed}, timeout=GOODBYE)  # its programs ended with it; each channel says so
        if not closed.done():
            connection.disconnect(asyncssh.DISC_BY_APPLICATION, "the container ended")
            await closed
        gone.cancel()


async def _hear_out(sock: socket.socket) -> None:
    """Close a connection so that what was said last arrives: with bytes unread, the kernel would take it back."""
    loop = asyncio.get_running_loop()
    try:
        sock.setblocking(False)
        sock.shutdown(socket.SHUT_WR)
        end = loop.time() + GOODBYE
        while (left := end - loop.time()) > 0:
            if not await asyncio.wait_for(loop.sock_recv(sock, 1 << 16), left):
                return
    except (OSError, asyncio.TimeoutError):
        pass
    finally:
        sock.close()


class Door(asyncssh.SSHServer):
    """One connection: who it is, and what it asks for."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway, self.connection = gateway, None
        self.offered: set[bytes] = set()
        self.agent: asyncio.Task[Agent] | None = None
        self.entered = False

    connection: asyncssh.SSHServerConnection | None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Somebody is there."""
        self.connection = conn
        self.gateway.unknown += 1
        if self.gateway.unknown > UNKNOWN:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """And gone."""
        if not self.entered:
            self.gateway.unknown -= 1
        if self.agent is not None:
            self.agent.add_done_callback(_close)

    def begin_auth(self, username: str) -> bool:
        """Everybody has to show a key."""
        return True

    def auth_completed(self) -> None:
        """A key of ours was shown."""
        self.entered = True
        self.gateway.unknown -= 1

    def public_key_auth_supported(self) -> bool:
        """Keys, and nothing else."""
        return True

    def password_auth_supported(self) -> bool:
        """Never."""
        return False

    def kbdint_auth_supported(self) -> bool:
        """Never."""
        return False

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether a key is ours; strange ones cost time, and too many the connection."""
        if username in self.gateway.doors.users and key.public_data in self.gateway.keys:
            return True
        self.offered.add(key.public_data)
        if len(self.offered) >= TRIES:
            assert self.connection is not None
            self.connection.disconnect(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many keys were tried")
        elif len(self.offered) > FREE:
            await asyncio.sleep(DELAY * (len(self.offered) - FREE))
        return False

    def session_requested(self) -> Any:
        """A program, a shell, or files."""
        inside = self.gateway.inside
        return Session(inside, lambda channel: Files(channel, inside),
                       self._agent_path if self.gateway.doors.agent else None)

    async def _agent_path(self) -> str:
        """Where the client's agent is inside; made when first asked for, once for a connection."""
        assert self.connection is not None
        if self.agent is None:
            self.agent = asyncio.get_running_loop().create_task(Agent.start(self.connection, self.gateway.inside))
        return (await asyncio.shield(self.agent)).path

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
        """ssh -L, -D, -W: a connection made inside."""
        return self._connect(dest_host, dest_port)

    async def _connect(self, host: str, port: int) -> SSHTCPStreamSession[bytes]:
        try:
            sock = await self.gateway.inside.connect(host, port)
        except (OSError, BareboatError) as error:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, _why(error)) from None
        return SSHTCPStreamSession(connected(sock))

    def server_requested(self, listen_host: str, listen_port: int) -> Awaitable[Any]:
        """ssh -R: a port inside, on loopback whatever was asked for, as OpenSSH without GatewayPorts."""
        return self._listen(listen_host, listen_port)

    async def _listen(self, host: str, port: int) -> Listener | bool:
        assert self.connection is not None
        address = "::1" if _is_v6(host) else "127.0.0.1"
        try:
            sock = await self.gateway.inside.listen(address, port)
        except (OSError, BareboatError) as error:
            self.connection.send_debug(f"bareboat: port {port} cannot be listened on: {_why(error)}")
            return False
        return await Listener.start(self.connection, sock, host)


def _close(task: asyncio.Task[Agent]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _why(error: OSError | BareboatError) -> str:
    return error.what if isinstance(error, BareboatError) else error.strerror or str(error)


def _is_v6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).version == 6
    except ValueError:
        return False
