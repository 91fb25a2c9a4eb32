"""What goes over a control socket: frames of a kind, a length (u32, network order) and so many bytes.

A conversation is one JSON frame from the client, a JSON frame back (with a descriptor, where the answer is one), and
after "attach" streams both ways until one side closes.
"""

from __future__ import annotations

import _socket
import array
import os
import struct
from collections.abc import Iterator

from bareboat.values import Any

NAME = "control"
JSON, OUT, ERR, IN, EOF, WINDOW, END = b"j", b"o", b"e", b"i", b"f", b"w", b"x"
HEAD = struct.Struct("!cI")
MOST = 1 << 20  # bytes of one frame
_SHORT = 103  # bytes of an address on macOS and the BSDs


class Broken(ValueError):
    """What came is no frame of ours."""


def frame(kind: bytes, data: bytes) -> bytes:
    """One frame."""
    return HEAD.pack(kind, len(data)) + data


def document(value: dict[str, Any]) -> bytes:
    """A JSON frame."""
    import json  # a run that nobody asks anything does without it

    return frame(JSON, json.dumps(value).encode())


def parse(buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Take whole frames out of a buffer. Raises Broken."""
    while len(buffer) >= HEAD.size:
        kind, length = HEAD.unpack_from(buffer)
        if length > MOST or kind not in (JSON, OUT, ERR, IN, EOF, WINDOW, END):
            raise Broken(f"a frame of kind {kind!r} and {length} bytes")
        if len(buffer) < HEAD.size + length:
            return
        data = bytes(buffer[HEAD.size:HEAD.size + length])
        del buffer[:HEAD.size + length]
        yield kind, data


def read_document(data: bytes) -> dict[str, Any]:
    """The value of a JSON frame. Raises Broken."""
    import json

    try:
        value = json.loads(data)
    except ValueError:
        raise Broken("not JSON") from None
    if not isinstance(value, dict):
        raise Broken("not an object")
    return value


def send_with(sock: _socket.socket, data: bytes, descriptor: int) -> int:
    """Send the beginning of data, with a descriptor when there is one (not below 0); returns how much went."""
    if descriptor < 0:
        return sock.send(data)
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    return sock.sendmsg([data], rights)


def receive(sock: _socket.socket, most: int = 1 << 16) -> tuple[bytes, list[int]]:
    """What is there, b"" at the end, with the descriptors that came."""
    data, ancillary, _, _ = sock.recvmsg(most, _socket.CMSG_SPACE(4 * 4), getattr(_socket, "MSG_CMSG_CLOEXEC", 0))
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    for descriptor in fds:
        os.set_inheritable(descriptor, False)  # where the flag is not known
    return data, list(fds)


class Door:
    """The address of a socket in a directory, however long its path is: by a descriptor of the directory, since an
    address of the kernel's ends at 107 bytes; by a short link to it where there is no /proc.
    """

    def __init__(self, folder: str) -> None:
        self._folder, self._short = -1, ""
        if hasattr(os, "O_PATH"):
            self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self.address = f"/proc/self/fd/{self._folder}/{NAME}"
            return
        self.address = f"{folder}/{NAME}"
        if len(os.fsencode(self.address)) > _SHORT:
            import tempfile

            self._short = tempfile.mkdtemp(prefix="bb-", dir="/tmp")  # 0700: nobody else can put another link there
            os.symlink(os.path.abspath(folder), f"{self._short}/d")
            self.address = f"{self._short}/d/{NAME}"

    def close(self) -> None:
        """Idempotent."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
        if self._short:
            os.unlink(f"{self._short}/d")
            os.rmdir(self._short)
            self._short = ""
