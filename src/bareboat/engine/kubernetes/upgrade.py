"""From a request to a connection of frames: the handshake of a WebSocket with an API server."""

from __future__ import annotations

import http.client
import io
import os
import socket
from urllib.parse import urlencode, urlsplit

from bareboat.engine.kubernetes.api import Api, Refused, refused
from bareboat.engine.kubernetes.websocket import accepted, request
from bareboat.transport import reason
from bareboat.values import Any, cast, dataclass

HEAD_MOST, BODY_MOST = 1 << 16, 1 << 20
RIGHTS = "your account needs get and, from Kubernetes 1.35 on, create of pods/exec"


@dataclass(frozen=True)
class Upgraded:
    """A connection that is a WebSocket by now, and does not block. protocol: of those asked for; rest: what has come.
    """

    socket: socket.socket
    protocol: str
    rest: bytes


def upgrade(api: Api, path: str, query: tuple[tuple[str, str], ...], protocols: tuple[str, ...]) -> Upgraded:
    """Ask once: what is asked for may have begun though no answer came. Raises Refused; EngineError
    "kubernetes.unreachable".
    """
    sock, host, headers = api.connect()
    try:
        key = os.urandom(16)
        target = f"{urlsplit(api.access.server).path}{path}?{urlencode(query)}"
        sock.sendall(request(host, target, key, protocols, headers))
        seen = b""
        while b"\r\n\r\n" not in seen:
            more = sock.recv(4096)
            if not more or len(seen) > HEAD_MOST:
                raise api.unreachable("what it answers is not HTTP")
            seen += more
        response = http.client.HTTPResponse(cast(Any, _Replayed(seen, sock)))
        response.begin()
        told = {name.lower(): value for name, value in response.headers.items()}
        if response.status != 101:
            error = refused(response.status, response.read(BODY_MOST), path)
            raise Refused(error.status, error.kind, error.what, where=path, hint=RIGHTS if error.status == 403 else "")
        if not accepted(key, told):
            raise api.unreachable("what it answers is no WebSocket")
        sock.setblocking(False)
        return Upgraded(sock, told.get("sec-websocket-protocol", ""), seen.partition(b"\r\n\r\n")[2])
    except (OSError, http.client.HTTPException) as error:
        sock.close()
        raise api.unreachable(reason(error)) from None
    except BaseException:
        sock.close()
        raise


class _Replayed(io.RawIOBase):
    """What was read of a socket, and then the socket, as http.client wants it."""

    def __init__(self, seen: bytes, sock: socket.socket) -> None:
        self._seen, self._socket = seen, sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._seen or self._socket.recv(len(buffer))
        part, self._seen = data[:len(buffer)], data[len(buffer):] if self._seen else b""
        buffer[:len(part)] = part
        return len(part)
