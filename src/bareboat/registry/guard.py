"""Connections that are too slow to ever end are ended: a server that sends a byte now and then keeps every socket
timeout content.

Only time spent waiting for the network counts: who reads slowly, because the disk is slow, is left alone.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from typing import Any


class Guard:
    """Watches one request and its response from a thread of its own, until done()."""

    def __init__(self, floor: int, window: float) -> None:
        self._floor, self._window = floor, window
        self._sock: Any = None
        self._waiting = False
        self._moved = 0
        self._done = threading.Event()
        self.fired = False
        threading.Thread(target=self._watch, name="bareboat-guard", daemon=True).start()

    def attach(self, sock: object) -> None:
        """The connection that is used from now on."""
        self._sock = sock

    def wait(self) -> None:
        """From here on we wait for the network."""
        self._waiting = True

    def moved(self, count: int) -> None:
        """The network did something."""
        self._waiting = False
        self._moved += count

    def done(self) -> None:
        """It is over. Idempotent."""
        self._done.set()

    def _watch(self) -> None:
        began, moved = time.monotonic(), 0
        while not self._done.wait(self._window / 8):
            now = time.monotonic()
            if not self._waiting:
                began, moved = now, self._moved
            elif now - began >= self._window:
                if self._moved - moved < self._floor * self._window:
                    self.fired = True
                    self._cut()
                    return
                began, moved = now, self._moved

    def _cut(self) -> None:
        sock = self._sock
        try:
            if isinstance(sock, socket.socket):
                # not SSLSocket's own, which would pull the TLS object away under the thread that reads
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            elif sock is not None:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class WholeHead(http.client.HTTPResponse):
    """A response whose head must end: http.client takes one that was cut for a short one, and its status for meant."""

    def begin(self) -> None:
        file: Any = self.fp
        lines: Any = _Lines(file)
        self.fp = lines
        super().begin()
        if self.fp is lines:
            self.fp = file
        if lines.last not in (b"\r\n", b"\n"):
            self.close()
            raise http.client.RemoteDisconnected("the connection ended in the middle of the response's head")


class _Lines:
    """A file that remembers its last line."""

    def __init__(self, file: Any) -> None:
        self.file, self.last = file, b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.file.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class Watched:
    """Which guard watches the requests that this thread makes, and urllib3's pools that tell it their sockets."""

    def __init__(self) -> None:
        self._here = threading.local()

    def use(self, guard: Guard | None) -> None:
        """For this thread's next request."""
        self._here.guard = guard

    def pools(self) -> dict[str, Any]:
        """Pool classes by scheme, for Transport."""
        from urllib3.connection import HTTPConnection, HTTPSConnection
        from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

        here = self._here

        class Http(HTTPConnection):
            response_class = WholeHead
            send = _send(HTTPConnection, here)
            getresponse = _getresponse(HTTPConnection, here)

        class Https(HTTPSConnection):
            response_class = WholeHead
            send = _send(HTTPSConnection, here)
            getresponse = _getresponse(HTTPSConnection, here)

        class HttpPool(HTTPConnectionPool):
            ConnectionCls = Http

        class HttpsPool(HTTPSConnectionPool):
            ConnectionCls = Https

        return {"http": HttpPool, "https": HttpsPool}


def _send(kind: Any, here: threading.local) -> Any:
    def send(self: Any, data: Any) -> None:
        guard: Guard | None = getattr(here, "guard", None)
        if guard is None:
            kind.send(self, data)
            return
        if self.sock is None:  # http.client connects at the first bytes
            self.connect()
        guard.attach(self.sock)
        guard.wait()
        kind.send(self, data)
        guard.moved(len(data))

    return send


def _getresponse(kind: Any, here: threading.local) -> Any:
    def getresponse(self: Any) -> Any:
        guard: Guard | None = getattr(here, "guard", None)
        if guard is None:
            return kind.getresponse(self)
        guard.attach(self.sock)
        guard.wait()
        response = kind.getresponse(self)
        guard.moved(0)
        return response

    return getresponse
