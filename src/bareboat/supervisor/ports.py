"""Ports of this machine that lead into a container: a process that listens outside and connects inside.

A socket belongs to the network namespace in which it was made: the listening ones are made first, then the process
enters the container's, where every connection is made from then on. Under the host's network it stays where it is.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys

from bareboat.errors import EngineError
from bareboat.host import kernel
from bareboat.host.loop import Loop
from bareboat.workload import Handle, Port

HELD = 1 << 16  # bytes of one direction that wait for a slow end
BACKLOG = 128


class Forwards:
    """The listening ends; made before the container, so that a port in use hinders its start. network: the container's.

    Raises EngineError "ports.in-use", "ports.denied", "ports.linux".
    """

    def __init__(self, ports: tuple[Port, ...], network: str) -> None:
        self._network = network
        self._listening: list[tuple[socket.socket, int]] = []
        self._pid = 0
        self.shown: tuple[str, ...] = ()
        if ports and sys.platform != "linux":
            raise EngineError("ports.linux", "a port is led into a container on Linux only", where="-p",
                              hint="the container's network is inside the engine's own Linux: use its -p there")
        for port in ports:
            same = network == "host" and port.host == port.inside
            number = port.host if same else self._listen(port)
            shown = f"[{port.address}]" if ":" in port.address else port.address
            self.shown = (*self.shown, f"{shown}:{number}->{port.inside}")

    def _listen(self, port: Port) -> int:
        family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((port.address, port.host))
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            self.close()
            where = f"{port.address}:{port.host}"
            if error.errno == errno.EADDRINUSE:
                raise EngineError("ports.in-use", "the port is in use", where=where,
                                  hint=f"choose another, or let one be chosen: -p {port.inside}") from None
            raise EngineError("ports.denied", f"nothing can listen there: {error.strerror}", where=where,
                              hint="ports below 1024 are root's") from None
        self._listening.append((sock, port.inside))
        return int(sock.getsockname()[1])

    def start(self, handle: Handle) -> None:
        """Begin to forward into a container that runs. Idempotent until stop."""
        if not self._listening or self._pid:
            return
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid:
            return
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                if self._network != "host":
                    kernel.setns(handle.pidfd, kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET)
                    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
                _only({sock.fileno() for sock, _ in self._listening})
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                _forward(self._listening)
        finally:
            os._exit(1)

    def stop(self) -> None:
        """Connections end; what listens stays, for the next start."""
        if self._pid:
            try:
                os.kill(self._pid, signal.SIGKILL)  # a child of ours that was not waited for: the number is its own
                os.waitpid(self._pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            self._pid = 0

    def close(self) -> None:
        """Nothing listens any more. Idempotent."""
        self.stop()
        for sock, _ in self._listening:
            sock.close()
        self._listening = []


def _only(kept: set[int]) -> None:
    """Close what else was inherited: locks and sockets of the supervisor's."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass


def _forward(listening: list[tuple[socket.socket, int]]) -> None:
    """For ever."""
    loop = Loop()
    for sock, inside in listening:
        _accepting(loop, sock, inside)
    while True:
        loop.turn(None)


def _accepting(loop: Loop, sock: socket.socket, inside: int) -> None:
    def accept() -> bool:
        try:
            near, _ = sock.accept()
        except OSError:
            return True  # it went away again, or there are too many: the next comes
        near.setblocking(False)
        far = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        far.connect_ex(("127.0.0.1", inside))
        _Pair(loop, near, far)
        return True

    loop.add(sock.fileno(), accept)


class _Pair:
    """Two connected sockets, each one's bytes to the other; a half that ends is ended on the other side."""

    def __init__(self, loop: Loop, near: socket.socket, far: socket.socket) -> None:
        self._loop, self._ends = loop, (near, far)
        self._connected = False
        self._waiting = [b"", b""]  # for each end, what it has not taken yet
        self._over = [False, False]  # for each end, whether it will say nothing more
        self._shut = [False, False]
        self._watch()

    def _watch(self) -> None:
        for side, end in enumerate(self._ends):
            events = 0
            if self._connected and not self._over[side] and len(self._waiting[1 - side]) < HELD:
                events |= select.POLLIN
            if self._waiting[side] or (side == 1 and not self._connected):
                events |= select.POLLOUT
            self._loop.drop(end.fileno())
            if events:
                self._loop.add(end.fileno(), self._ready(side), events)

    def _ready(self, side: int):  # type: ignore[no-untyped-def]
        def call() -> bool:
            try:
                self._move(side)
            except OSError:
                self._close()
                return False
            if all(self._over) and not any(self._waiting):
                self._close()
                return False
            self._watch()
            return True

        return call

    def _move(self, side: int) -> None:
        end = self._ends[side]
        if side == 1 and not self._connected:
            failed = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                raise OSError(failed, os.strerror(failed))
            self._connected = True
            return
        if self._waiting[side]:
            try:
                self._waiting[side] = self._waiting[side][end.send(self._waiting[side]):]
            except BlockingIOError:
                pass
        if not self._over[side] and len(self._waiting[1 - side]) < HELD:
            try:
                data = end.recv(HELD)
            except BlockingIOError:
                return
            self._over[side] = not data
            self._waiting[1 - side] += data
        for other in (0, 1):
            if self._over[1 - other] and not self._waiting[other] and not self._shut[other]:
                self._shut[other] = True
                self._ends[other].shutdown(socket.SHUT_WR)

    def _close(self) -> None:
        for end in self._ends:
            self._loop.drop(end.fileno())
            end.close()
