"""One more program in a pod that runs: the channels of pods/exec over a WebSocket.

Follows k8s.io/apimachinery/pkg/util/remotecommand (the channels and their numbers) and KEP-4006 (v5: how a client says
that its input has ended; v4, which 1.29 has, cannot be told).
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import socket
import ssl
import threading
import time

from bareboat.engine.base import Streams
from bareboat.engine.kubernetes.api import Api, core_path
from bareboat.engine.kubernetes.pod import CONTAINER, text
from bareboat.engine.kubernetes.points import quoted
from bareboat.engine.kubernetes.upgrade import Upgraded, upgrade
from bareboat.engine.kubernetes.websocket import BINARY, CLOSE, PING, PONG, Broken, Frames, frame
from bareboat.errors import BareboatError, EngineError
from bareboat.host import relay, terminal
from bareboat.workload import Exec, Outcome

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, ENDED = 0, 1, 2, 3, 4, 255
HELD = 1 << 18  # bytes on their way to the program, beyond which no more of the input is read
CHUNK = 1 << 15
PINGED, SILENT = 20.0, 60.0  # seconds: between two pings; without a word from the server, the connection is lost
LATE = 2.0  # seconds that the end of the output may come after the Status


def execute(api: Api, namespace: str, pod: str, call: Exec, streams: Streams) -> Outcome:
    """Run it to its end. Signals go to the program: ^C once asks, twice kills. Raises EngineError "kubernetes.refused",
    "kubernetes.exec", "kubernetes.unreachable".
    """
    began, executing = time.monotonic(), _Executing(api, (namespace, pod), call, streams)
    up = executing.connected(argv(call), streams.stdin is not None, call.tty)
    with up.socket, relay.Signals() as signals, terminal.Raw(streams.terminal if call.tty else None):
        code = executing.run(up, signals)
    return Outcome(code, seconds=time.monotonic() - began)


def argv(call: Exec) -> tuple[str, ...]:
    """What is started: a pod is told neither a folder nor variables, so a shell does that. Without a terminal it says
    its number first, since there is no channel for signals.
    """
    steps = [] if call.tty else ["echo $$"]
    if call.cwd:
        steps.append(f"cd -- {quoted(call.cwd)} || exit 126")
    steps += [f"export {quoted(f'{name}={value}')}" for name, value in call.env]
    return tuple(map(text, ("/bin/sh", "-c", "; ".join([*steps, 'exec "$@"']), "sh", *call.argv)))


def outcome(said: bytes) -> int:
    """The exit code in the Status that comes last. Raises EngineError "kubernetes.exec" where there is none."""
    try:
        status = json.loads(said)
        if status.get("status") == "Success":
            return 0
        causes = (status.get("details") or {}).get("causes") or ()
        code = next(str(cause.get("message")) for cause in causes if cause.get("reason") == "ExitCode")
        return int(code)
    except StopIteration:
        raise EngineError("kubernetes.exec", f"the program cannot be started: {str(status.get('message'))[:500]}"
                          ) from None
    except (ValueError, AttributeError, TypeError):
        raise EngineError("kubernetes.exec", "the cluster does not say how the program ended") from None


class _Executing:
    """One connection, from its first byte to its last."""

    def __init__(self, api: Api, where: tuple[str, str], call: Exec, streams: Streams) -> None:
        self.api, self.where, self.call, self.streams = api, where, call, streams
        self.frames, self.sending, self.ended = Frames(), bytearray(), b""
        # of stdout, until the process's number is known
        self.process, self.first = "", None if call.tty else b""
        self.interrupted, self.closed, self.left = 0, False, 0
        self.input = streams.stdin if streams.stdin is not None else -1
        self.v5 = True
        self.heard = self.pinged = time.monotonic()
        self.until = math.inf

    def run(self, up: Upgraded, signals: relay.Signals) -> int:
        """Until its end, or until we are told to go: the exit code."""
        self.v5 = up.protocol == V5
        self.streams.started()
        if self.call.tty:
            self._resize()
        self._take(up.rest)
        while not self.closed:
            self._turn(up.socket, signals)
        if self.left:
            return self.left
        if not self.ended:
            raise EngineError("kubernetes.unreachable", "the connection to the program was lost, and it may go on",
                              where="/".join(self.where), hint="see what runs there: bareboat exec RUN ps")
        return outcome(self.ended)

    def connected(self, words: tuple[str, ...], takes: bool, tty: bool) -> Upgraded:
        """A connection to a program that is started by it."""
        namespace, pod = self.where
        query = (("container", CONTAINER), *(("command", word) for word in words), ("stdout", "true"),
                 ("stderr", "false" if tty else "true"), ("stdin", str(takes).lower()), ("tty", str(tty).lower()))
        return upgrade(self.api, core_path(namespace, "pods", pod, "exec"), query, (V5, V4))

    def _turn(self, sock: socket.socket, signals: relay.Signals) -> None:
        poll = select.poll()
        poll.register(signals.read, select.POLLIN)
        poll.register(sock, select.POLLIN | (select.POLLOUT if self.sending else 0))
        if self.input >= 0 and len(self.sending) < HELD:
            poll.register(self.input, select.POLLIN)
        ready = dict(poll.poll(min(PINGED, max(self.until - time.monotonic(), 0.0)) * 1000))
        now = time.monotonic()
        if signals.read in ready:
            self._signals(signals.taken())
        if self.input in ready:
            self._typed()
        if sock.fileno() in ready:
            self._receive(sock)
            self.heard = self.pinged = now
        elif now - self.pinged >= PINGED:
            self._send(PING, b"")
            self.pinged = now
        self.closed = self.closed or now - self.heard > SILENT or now > self.until
        self._flush(sock)

    def _receive(self, sock: socket.socket) -> None:
        try:
            while not self.closed:
                data = sock.recv(CHUNK)
                self._take(data)
                self.closed = self.closed or not data
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.closed = True

    def _flush(self, sock: socket.socket) -> None:
        try:
            while self.sending:
                del self.sending[:sock.send(self.sending[:CHUNK])]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:  # nobody takes any more of it there; what has come is still to be read
            self.sending.clear()
            self.input = -1

    def _take(self, data: bytes) -> None:
        try:
            messages = self.frames.take(data)
        except Broken as error:
            raise EngineError("kubernetes.unreachable", f"what the cluster sends is no WebSocket: {error}") from None
        for message in messages:
            if message.kind == CLOSE:
                self.closed = True
            elif message.kind == PING:
                self._send(PONG, message.data)
            elif message.kind != PONG and message.data:
                self._channel(message.data[0], message.data[1:])

    def _channel(self, number: int, data: bytes) -> None:
        if number == STDOUT and self.first is not None:
            line, newline, data = (self.first + data).partition(b"\n")
            self.first = None if newline or len(line) > 20 else line
            if self.first is None and newline and line.isdigit():
                self.process = line.decode()
            elif self.first is None:
                data = line + newline + data  # no number of ours: there is no shell
        if not data:
            return
        if number == STDOUT:
            self.streams.stdout(data)
        elif number == STDERR:
            self.streams.stderr(data)
        elif number == ERROR:
            self.ended = data
            self.until = time.monotonic() + LATE

    def _send(self, kind: int, data: bytes) -> None:
        self.sending += frame(kind, data, os.urandom(4))

    def _typed(self) -> None:
        try:
            data = os.read(self.input, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._send(BINARY, bytes((STDIN,)) + data)
            return
        self.input = -1
        if self.v5:
            self._send(BINARY, bytes((ENDED, STDIN)))
        elif self.call.tty:
            self._send(BINARY, bytes((STDIN, 4)))
        else:
            self.streams.stderr(b"bareboat: the cluster cannot be told that the input has ended (before Kubernetes "
                                b"1.30): end the program by ^C\n")

    def _resize(self) -> None:
        window = relay.window(self.streams.terminal)
        if window is not None:
            size = json.dumps({"Width": window[1], "Height": window[0]}).encode()
            self._send(BINARY, bytes((RESIZE,)) + size)

    def _signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGWINCH:
                if self.call.tty:
                    self._resize()
                continue
            if number == signal.SIGCONT:
                continue
            self.interrupted += number == signal.SIGINT
            if not self.process or self.interrupted > 2:  # it cannot be reached, or does not hear: we go
                self.left = 128 + number
                self.closed = True
                return
            number = signal.SIGKILL if self.interrupted > 1 else number
            threading.Thread(target=self._signal, args=(number,), daemon=True).start()

    def _signal(self, number: int) -> None:
        """By another program there: this connection has nothing for it."""
        try:
            up = self.connected(("/bin/sh", "-c", f"kill -{int(number)} {self.process}"), False, False)
            up.socket.settimeout(10.0)
            with up.socket:
                while up.socket.recv(CHUNK):
                    pass
        except (BareboatError, OSError):
            pass  # who asks again finds out
