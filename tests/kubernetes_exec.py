"""pods/exec of the mock API server: the server's side of a WebSocket, its channels, and a real process behind them.

The frames are written after RFC 6455 for themselves, and the official client is held against them too.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import pty
import socket
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


@dataclass
class Socket:
    """One connection that was upgraded. protocol: "" where none of those asked for is known."""

    sock: socket.socket
    rfile: Any
    protocol: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def frame(self, first: int, data: bytes) -> None:
        size = len(data)
        length = (bytes((size,)) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 1 << 16
                  else b"\x7f" + struct.pack(">Q", size))
        with self.lock:
            self.sock.sendall(bytes((first,)) + length + data)

    def send(self, channel: int, data: bytes) -> None:
        """In two fragments where it is long, with a ping between them, as any server may."""
        whole = bytes((channel,)) + data
        if len(whole) < 1000:
            self.frame(0x82, whole)
            return
        self.frame(0x02, whole[:500])
        self.frame(0x89, b"are you there")
        self.frame(0x80, whole[500:])

    def messages(self) -> Iterator[bytes]:
        """What the client sends, until it goes."""
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            assert head[1] & 0x80, "a client masks"
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(self.rfile.read(2 if size == 126 else 8), "big")
            mask = self.rfile.read(4)
            masked = self.rfile.read(size)
            data = bytearray(masked)
            for lane in range(4):
                data[lane::4] = masked[lane::4].translate(bytes(byte ^ mask[lane] for byte in range(256)))
            if head[0] & 0x0F == 8:
                return
            if head[0] & 0x0F == 9:
                self.frame(0x8A, bytes(data))
            elif head[0] & 0x0F in (1, 2):
                yield bytes(data)


def answer(headers: Any, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The protocol that is taken, and the headers of the 101."""
    wanted = [word.strip() for word in (headers.get("Sec-WebSocket-Protocol") or "").split(",")]
    protocol = next((name for name in wanted if name in known), "")
    key = headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    said = {"Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Accept": base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()}
    return protocol, {**said, **({"Sec-WebSocket-Protocol": protocol} if protocol else {})}


def serve(connection: Socket, query: list[tuple[str, str]], start: Callable[..., subprocess.Popen[bytes]],
          cut: bool = False) -> None:
    """Run the program and carry its streams. start: as Popen, with what a container's process has; cut: lose the
    connection before its end.
    """
    said = dict(query)
    argv = [value for name, value in query if name == "command"]
    tty, takes = said.get("tty") == "true", said.get("stdin") == "true"
    leader = follower = -1
    try:
        if tty:
            leader, follower = pty.openpty()
            process = start(argv, stdin=follower, stdout=follower, stderr=follower, start_new_session=True, bufsize=0,
                            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
            os.close(follower)
        else:
            process = start(argv, stdin=subprocess.PIPE if takes else subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, bufsize=0)
    except OSError as error:
        connection.send(3, json.dumps({"status": "Failure", "reason": "InternalError", "message":
                                       f"error executing command in container: {error}"}).encode())
        connection.frame(0x88, b"")
        return
    typed = threading.Thread(target=_input, args=(connection, process, leader), daemon=True)
    typed.start()
    readers = [threading.Thread(target=_output, args=(connection, channel, descriptor), daemon=True)
               for channel, descriptor in (((1, leader),) if tty else (
                   (1, process.stdout.fileno()), (2, process.stderr.fileno())))]  # type: ignore[union-attr]
    for reader in readers:
        reader.start()
    if cut:
        connection.sock.shutdown(socket.SHUT_RDWR)
        process.kill()
    code = process.wait()
    for reader in readers:
        reader.join()
    code = 128 - code if code < 0 else code
    status: dict[str, object] = {"status": "Success"} if not code else {
        "status": "Failure", "reason": "NonZeroExitCode", "message": f"command terminated with exit code {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    try:
        connection.send(3, json.dumps({"metadata": {}, **status}).encode())
        connection.frame(0x88, b"\x03\xe8")
    except OSError:
        pass
    typed.join(10)
    if tty:
        os.close(leader)


def _output(connection: Socket, channel: int, descriptor: int) -> None:
    try:
        while data := os.read(descriptor, 32768):
            connection.send(channel, data)
    except OSError:
        pass  # the terminal's other side is gone, or the client


def _input(connection: Socket, process: subprocess.Popen[bytes], leader: int) -> None:
    sink = process.stdin
    try:
        for message in connection.messages():
            channel, data = message[0], memoryview(message)[1:]
            if channel == 0:
                while data and (leader >= 0 or sink):
                    data = data[os.write(leader if leader >= 0 else sink.fileno(), data):]  # type: ignore[union-attr]
            elif channel == 4 and leader >= 0:
                size = json.loads(bytes(data))
                fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", size["Height"], size["Width"], 0, 0))
            elif channel == 255 and connection.protocol == PROTOCOLS[0] and bytes(data) == b"\0" and sink:
                sink.close()
    except (OSError, ValueError):
        try:
            for _ in connection.messages():
                pass  # the program reads no more of it
        except (OSError, ValueError):
            pass
    finally:
        if sink:
            sink.close()
