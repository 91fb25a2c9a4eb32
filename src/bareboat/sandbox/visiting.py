"""One more program in a sandbox that runs, from its start to its end, seen from the process that asked for it."""

from __future__ import annotations

import _socket
import array
import os
import signal
import time

from bareboat.errors import BareboatError, EngineError, ProgramError
from bareboat.host import kernel, processes, relay, terminal
from bareboat.sandbox.join import Visit, join
from bareboat.sandbox.plumbing import Plumbing, Streams
from bareboat.values import TYPE_CHECKING
from bareboat.workload import Exec, Handle, Outcome

if TYPE_CHECKING:
    from bareboat.sandbox.session import Settings


def visit(handle: Handle, call: Exec, settings: Settings, streams: Streams) -> Outcome:
    """Run to the end; see engine.base.Engine.exec for the contract."""
    return _Visiting(handle, call, settings, streams).run()


class _Visiting:
    """The parent's state: descriptors, what has been heard, how often it was interrupted."""

    def __init__(self, handle: Handle, call: Exec, settings: Settings, streams: Streams) -> None:
        self.handle, self.call, self.settings, self.streams = handle, call, settings, streams
        self.pipes = Plumbing(streams, call.tty)
        self.middle, self.program = 0, -1
        self.control: _socket.socket | None = None
        self.error: BareboatError | None = None
        self.interrupted = 0

    def run(self) -> Outcome:
        start = time.monotonic()
        try:
            with relay.Signals() as signals, terminal.Raw(self.streams.terminal if self.call.tty else None):
                self._start()
                self.pipes.loop.add(signals.read, lambda: self._signals(signals.taken()))
                code = self._wait()
            if self.error is not None:
                raise self.error
            return Outcome(128 - code if code < 0 else code, seconds=time.monotonic() - start)
        finally:
            self._end()

    def _start(self) -> None:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        given = self.pipes.given()
        call = self.call
        # An abstract socket of the host is reachable where its network is. Signals stay inside by the pid namespace;
        # a scope of its own would keep this program from signalling those that were there before it.
        scopes = self.settings.scopes & kernel.SCOPE_ABSTRACT_UNIX_SOCKET if call.network == "host" else 0
        try:
            self.middle = join(Visit(
                self.handle.pidfd, tuple(map(os.fsencode, call.argv)),
                tuple((os.fsencode(name), os.fsencode(value)) for name, value in call.env), os.fsencode(call.cwd),
                (call.uid, call.gid), (given[0], given[1], given[2]), theirs.fileno(), self.settings.seccomp, scopes,
                relay.window(self.streams.terminal), call.limits))
        finally:
            theirs.close()
            for descriptor in given:
                if descriptor >= 0:
                    os.close(descriptor)
        self.control = ours
        self.pipes.hear(ours.fileno(), lambda: self._told(ours))
        self.pipes.listen()

    def _told(self, control: _socket.socket) -> bool:
        try:
            data, ancillary, _, _ = control.recvmsg(1 << 16, _socket.CMSG_SPACE(8), _socket.MSG_CMSG_CLOEXEC)
        except OSError:
            data, ancillary = b"", []
        if not data:
            if self.error is None and self.program >= 0:
                self.streams.started()
                self.streams.live(self.pipes.loop, _Visitor(self.program, self.pipes))
            return False
        fds = array.array("i")
        for _, _, payload in ancillary:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        kind, *rest = data.split(b"\0")
        texts = [part.decode("utf-8", "surrogateescape") for part in rest]
        if kind == b"pid":
            self.program = self.pipes.own(fds[0])
        elif kind == b"terminal":
            self.pipes.terminal(self.pipes.own(fds[0]))
        elif kind == b"error":
            code, what, where, hint, exit_code = texts
            self.error = (ProgramError(code, what, exit_code=int(exit_code), where=where, hint=hint)
                          if code.startswith("program.") else EngineError(code, what, where=where, hint=hint))
        elif kind == b"gone":
            self.error = EngineError("engine.gone", f"the container cannot be entered: {texts[1]}",
                                     hint="It may have just ended: bareboat ps")
        else:
            self.error = self.error or EngineError("engine.exec", f"the program cannot be started: {texts[1]}")
        return True

    def _signals(self, numbers: bytes) -> bool:
        for number in numbers:
            if number == signal.SIGWINCH:
                self.pipes.resize(relay.window(self.streams.terminal))
                continue
            if number == signal.SIGCONT:
                self.pipes.resume()
            if number == signal.SIGINT:
                self.interrupted += 1
            if self.program >= 0:
                processes.signal_by(os.dup(self.program), signal.SIGKILL if self.interrupted > 1 else number)
        return True

    def _wait(self) -> int:
        middle = self.pipes.own(os.pidfd_open(self.middle))
        ended = False

        def over() -> bool:
            nonlocal ended
            ended = True
            return False

        self.pipes.loop.add(middle, over)
        while not ended:
            self.pipes.loop.turn(None)
        self.pipes.drain()
        _, status = os.waitpid(self.middle, 0)
        self.middle = 0
        return os.waitstatus_to_exitcode(status)

    def _end(self) -> None:
        if self.middle:  # an exception: nothing may be left
            os.kill(self.middle, signal.SIGKILL)
            os.waitpid(self.middle, 0)
        if self.control is not None:
            self.control.close()
        self.pipes.close()


class _Visitor:
    """The program of an exec, as far as engine.base.Live is asked of it: signals and its terminal's size."""

    def __init__(self, program: int, pipes: Plumbing) -> None:
        self._program, self._pipes = program, pipes

    def signal(self, number: int) -> bool:
        return processes.signal_by(os.dup(self._program), number)

    def kill(self, reason: str) -> None:
        self.signal(signal.SIGKILL)

    def resize(self, window: tuple[int, int]) -> None:
        self._pipes.resize(window)
