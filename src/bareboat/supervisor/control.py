"""The listening end of a control socket, in the loop of the process that has the container."""

from __future__ import annotations

import _socket
import os
import select
import struct
import sys
from collections.abc import Callable

from bareboat.host.loop import Loop
from bareboat.supervisor import wire
from bareboat.values import Any

BACKLOG = 64
BEHIND = 8 << 20  # bytes that a client may be behind; one that is slower is let go, and the program never waits
_SO_PEERCRED, _UCRED = 17, struct.Struct("iII")


class Peer:
    """One client. take: called with the frames that follow its request; closed: called once when it is gone."""

    def __init__(self, control: Control, sock: _socket.socket) -> None:
        self._control, self._sock = control, sock
        self._in, self._out = bytearray(), bytearray()
        self._descriptor = -1
        self._last = False
        self._held = False
        self.asked = False
        self.take: Callable[[bytes, bytes], None] = lambda _kind, _data: None
        self.closed: Callable[[], None] = lambda: None

    def answer(self, value: dict[str, Any], descriptor: int = -1, *, last: bool = True) -> None:
        """Send a JSON frame, with a descriptor that is closed afterwards. last: nothing follows."""
        self._descriptor = descriptor
        self._last = last
        self.send(wire.document(value))

    def end(self) -> None:
        """Close it when all was sent."""
        self._last = True
        self.flush()

    def send(self, data: bytes) -> None:
        """Queue frames; one who does not read is let go."""
        if self._sock.fileno() < 0:
            return
        self._out += data
        self.flush()
        if len(self._out) > BEHIND:
            self.close()

    def flush(self) -> bool:
        """Send what can be sent now."""
        loop = self._control.loop
        if self._sock.fileno() < 0:
            return False
        try:
            while self._out:
                sent = wire.send_with(self._sock, bytes(self._out[:1 << 18]), self._descriptor)
                self._drop_descriptor()
                del self._out[:sent]
        except BlockingIOError:
            if loop is not None:
                loop.drop(self._sock.fileno())
                loop.add(self._sock.fileno(), self._ready, select.POLLIN | select.POLLOUT)
            return True
        except OSError:
            self.close()
            return False
        if self._last:
            self.close()
            return False
        self.listen()
        return True

    def listen(self) -> None:
        """Wait for what it sends, in the loop that turns now."""
        loop = self._control.loop
        if loop is not None and self._sock.fileno() >= 0:
            loop.drop(self._sock.fileno())
            if not self._held:
                loop.add(self._sock.fileno(), self._ready)

    def hold(self, held: bool) -> None:
        """Whether what it sends is left with it for a while."""
        if held != self._held:
            self._held = held
            self.listen()

    def _ready(self) -> bool:
        if self._out and not self.flush():
            return False
        try:
            data = self._sock.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self._in += data
        try:
            for kind, content in wire.parse(self._in):
                if self.asked:
                    self.take(kind, content)
                else:
                    self.asked = True
                    self._control.asked(self, wire.read_document(content))
        except wire.Broken:
            self.close()
        return self._sock.fileno() >= 0

    def _drop_descriptor(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def close(self) -> None:
        """Let it go. Idempotent."""
        number = self._sock.fileno()
        if number < 0:
            return
        if self._control.loop is not None:
            self._control.loop.drop(number)
        self._drop_descriptor()
        self._sock.close()
        self._control.peers.discard(self)
        self.closed()


def _peer_uid(sock: _socket.socket) -> int:
    """Whose the other side is; -1 where it cannot be told. macOS: unix(4), LOCAL_PEERCRED, a struct xucred."""
    try:
        if sys.platform == "darwin":
            return int(struct.unpack_from("II", sock.getsockopt(0, 1, 76))[1])
        return int(_UCRED.unpack(sock.getsockopt(_socket.SOL_SOCKET, _SO_PEERCRED, _UCRED.size))[1])
    except (OSError, struct.error):
        return -1


class Control:
    """Listens in a directory of ours; served by whatever loop it was last given. asked: called with each request."""

    def __init__(self, folder: str, asked: Callable[[Peer, dict[str, Any]], None]) -> None:
        self._door = wire.Door(folder)
        self._file = f"{folder}/{wire.NAME}"
        self.asked = asked
        self.peers: set[Peer] = set()
        self.loop: Loop | None = None
        self._sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            if os.path.lexists(self._file):
                os.unlink(self._file)  # of an owner that died: the run is ours now
            self._sock.bind(self._door.address)
            self._sock.listen(BACKLOG)
            self._sock.setblocking(False)
        except OSError:
            self._sock.close()
            self._door.close()
            raise

    def serve(self, loop: Loop | None) -> None:
        """Be served by this loop from now on; None: by none, for a while."""
        if self.loop is not None:
            for number in (self._sock.fileno(), *(peer._sock.fileno() for peer in self.peers)):
                self.loop.drop(number)
        self.loop = loop
        if loop is not None:
            loop.add(self._sock.fileno(), self._accept)
            for peer in list(self.peers):
                peer.flush()

    def _accept(self) -> bool:
        try:
            number, _ = self._sock._accept()  # type: ignore[attr-defined]  # as socket.accept does it
        except OSError:
            return True
        sock = _socket.socket(fileno=number)
        sock.setblocking(False)
        uid = _peer_uid(sock)
        if uid not in (0, os.geteuid()):
            sock.close()
            return True
        peer = Peer(self, sock)
        self.peers.add(peer)
        peer.listen()
        return True

    def close(self) -> None:
        """Let everybody go, and take the socket away. Idempotent."""
        self.serve(None)
        for peer in list(self.peers):
            peer.close()
        if self._sock.fileno() >= 0:
            self._sock.close()
            self._door.close()
            try:
                os.unlink(self._file)
            except OSError:
                pass
