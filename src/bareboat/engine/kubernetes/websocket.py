"""The client's side of RFC 6455, as far as the channels of a cluster need it: handshake and frames as bytes. Pure.

Whose socket it is, and when it is read, is the caller's: input and output must flow at once, and neither may wait for
the other (decision 0173). Held against websocket-client, which the official client speaks with, in the tests.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from bareboat.values import dataclass

CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MESSAGE_MOST = 16 << 20  # bytes; what comes from the program is 32 KiB at a time
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3


class Broken(Exception):
    """What came is not what the protocol has."""


@dataclass(frozen=True)
class Message:
    """A whole message, or a control frame."""

    kind: int
    data: bytes


def request(host: str, target: str, key: bytes, protocols: tuple[str, ...], headers: Mapping[str, str]) -> bytes:
    """The request for a connection (section 4.1). key: 16 random bytes; target: path and query."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
             f"Sec-WebSocket-Key: {base64.b64encode(key).decode()}", "Sec-WebSocket-Version: 13",
             f"Sec-WebSocket-Protocol: {', '.join(protocols)}",
             *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def accepted(key: bytes, headers: Mapping[str, str]) -> bool:
    """Whether an answer of 101 is one to this request (section 4.2.2): a cache's or a stranger's is not. headers: by
    their names in lower case.
    """
    said = hashlib.sha1(base64.b64encode(key) + _GUID.encode(), usedforsecurity=False).digest()
    return (headers.get("sec-websocket-accept", "").strip() == base64.b64encode(said).decode()
            and headers.get("upgrade", "").lower() == "websocket")


def frame(kind: int, data: bytes, mask: bytes) -> bytes:
    """One frame from a client: whole and masked (section 5.2). mask: 4 random bytes."""
    size = len(data)
    if size < 126:
        head = bytes((0x80 | kind, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + mask + _masked(data, mask)


def _masked(data: bytes, mask: bytes) -> bytes:
    """Each byte by one of the mask's; as one large number, which is fast."""
    whole = (mask * (len(data) // 4 + 1))[:len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(data), "big")


class Frames:
    """What a server sends, put together: bytes go in as they come, whole messages come out."""

    def __init__(self) -> None:
        self._left, self._kind, self._parts = bytearray(), 0, bytearray()

    def take(self, data: bytes) -> list[Message]:
        """The messages that are whole with these bytes. Raises Broken."""
        self._left += data
        found = []
        while (one := self._frame()) is not None:
            final, kind, content = one
            if kind >= CLOSE:
                if not final or len(content) > 125:
                    raise Broken("a control frame in parts")
                found.append(Message(kind, content))
                continue
            if (kind == CONTINUED) == (not self._kind):
                raise Broken("a part of no message" if kind == CONTINUED else "a message within another")
            self._kind = kind or self._kind
            self._parts += content
            if len(self._parts) > MESSAGE_MOST:
                raise Broken("a message that is too large")
            if final:
                found.append(Message(self._kind, bytes(self._parts)))
                self._kind, self._parts = 0, bytearray()
        return found

    def _frame(self) -> tuple[bool, int, bytes] | None:
        left = self._left
        if len(left) < 2:
            return None
        if left[0] & 0x70 or left[1] & 0x80 or left[0] & 0x0F not in (CONTINUED, TEXT, BINARY, CLOSE, PING, PONG):
            raise Broken("a frame that no server may send")
        size, at = left[1] & 0x7F, 2
        if size > 125:
            at = 4 if size == 126 else 10
            if len(left) < at:
                return None
            size = int.from_bytes(left[2:at], "big")
        if size > MESSAGE_MOST:
            raise Broken("a frame that is too large")
        if len(left) < at + size:
            return None
        content = bytes(left[at:at + size])
        final, kind = bool(left[0] & 0x80), left[0] & 0x0F
        del left[:at + size]
        return final, kind, content
