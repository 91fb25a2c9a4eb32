"""One sandbox from its start to its end, seen from the parent."""

from __future__ import annotations

import _socket  # as socket, without the making of its enumerations: a socket pair is all that is needed
import array
import errno
import os
import signal
import time

from bareboat.errors import BareboatError, EngineError, ProgramError
from bareboat.host import processes, relay, terminal
from bareboat.host.loop import reader
from bareboat.sandbox import lost
from bareboat.sandbox.box import Box
from bareboat.sandbox.enter import Start, enter
from bareboat.sandbox.group import Group
from bareboat.sandbox.live import Inhabited
from bareboat.sandbox.plumbing import Plumbing, Streams
from bareboat.values import dataclass
from bareboat.workload import Limits, Lost, Outcome

_PAUSE = 100  # milliseconds between two looks at limits that are watched
_SOON = 0.001  # seconds between two looks for the program
TWICE = 1.0  # seconds between two ^C that are meant as "now"


@dataclass(frozen=True)
class Settings:
    """What an engine chose for every run: bwrap's path, the filter's bytes, Landlock's scopes (0: none)."""

    bwrap: bytes
    seccomp: bytes
    scopes: int


def run(box: Box, settings: Settings, limits: Limits, streams: Streams) -> Outcome:
    """Run to the end; see engine.base.Engine.run for the contract."""
    return _Session(box, settings, limits, streams).run()


class _Session:
    """The parent's state while one sandbox lives: descriptors, what has been heard from it, why it was ended."""

    def __init__(self, box: Box, settings: Settings, limits: Limits, streams: Streams) -> None:
        self.box, self.settings, self.limits, self.streams = box, settings, limits, streams
        self.pipes = Plumbing(streams, box.tty)
        self.loop = self.pipes.loop
        self.guard = self.builder = -1
        self.upper = -1
        self.made: frozenset[bytes] = frozenset()
        self.control: _socket.socket | None = None
        self.group = Group(limits)
        self.builder_pid = 0
        self.error: BareboatError | None = None
        self.status = b""
        self.began = False
        self.interrupted = 0
        self.typed = float("-inf")  # when ^C was last typed
        self.next_look = 0.0
        self.reason = ""

    def run(self) -> Outcome:
        start = time.monotonic()
        try:
            with relay.Signals() as signals, terminal.Raw(self.streams.terminal if self.box.tty else None):
                self._start()
                self.loop.add(signals.read, lambda: self._signals(signals.taken()))
                code = self._wait()
            return self._outcome(code, time.monotonic() - start)
        finally:
            self._end()

    def _start(self) -> None:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            self.control = ours
            status, status_in = self.pipes.pipe()
            given = self.pipes.given()
            hold, go = os.pipe2(os.O_CLOEXEC)
            closing = [status_in, hold, go, *(fd for fd in given if fd >= 0)]
            self.guard = enter(Start(
                self.box, self.settings.bwrap, self.settings.seccomp, theirs.fileno(), status_in,
                stdin=given[0], stdout=given[1], stderr=given[2], hold=hold,
                window=relay.window(self.streams.terminal), scopes=self.settings.scopes,
                limits=self.limits if self.group.mechanism == "watch" else Limits(),
            ))
            try:
                self.group.put(self.guard)
                os.write(go, b"1")
            finally:
                for descriptor in closing:
                    os.close(descriptor)
        finally:
            theirs.close()
        self.pipes.hear(ours.fileno(), lambda: self._told(ours))
        self.pipes.hear(status, reader(status, self._status))
        self.pipes.listen()

    def _told(self, control: _socket.socket) -> bool:
        try:
            data, ancillary, _, _ = control.recvmsg(1 << 18, _socket.CMSG_SPACE(8), _socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        if not data:
            return False
        kind, *rest = data.split(b"\0")
        if kind == b"pid":
            self.builder = processes.open_child(int(rest[0]), self.guard)
            self.builder_pid = int(rest[0])
            if self.builder >= 0:
                self.pipes.own(self.builder)
        elif kind == b"ready":
            fds = array.array("i")
            for _, _, payload in ancillary:
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
            self.upper, *more = (self.pipes.own(fd) for fd in fds)
            self.made = frozenset(rest)
            if more:
                self.pipes.terminal(more[0], self._typed)
        else:
            self.error = self.error or _failure(kind, rest)
        return True

    def _typed(self) -> None:
        """^C on the terminal: the program is asked by its own terminal; again within a second it is killed.

        Not a program that takes keys itself (a line editor), nor a shell, where ^C clears the line.
        """
        now, before = time.monotonic(), self.typed
        self.typed = now
        if now - before < TWICE and terminal.takes_lines(self.pipes.master) and not terminal.is_shell(self.box.argv):
            self._kill("killed")

    def _status(self, chunk: bytes) -> None:
        known = b'"child-pid"' in self.status
        self.status += chunk
        if not known and b'"child-pid"' in self.status:
            self._look()

    def _look(self) -> None:
        """bwrap tells its child's number before it has built anything; the program is there when it has been forked."""
        if self.began:
            return
        alive = b'"exit-code"' not in self.status and (
            not self.builder_pid or self.builder_pid in processes.children(self.guard))  # 0: not told yet
        if alive and not processes.has_started(self.builder_pid):
            self.loop.after(_SOON, self._look)
            return
        self.began = True
        self.streams.started()
        self.streams.live(self.loop, Inhabited(self.builder_pid, self.pipes, self.group, self._kill))

    def _signals(self, numbers: bytes) -> bool:
        for number in numbers:
            if number == signal.SIGWINCH:
                self.pipes.resize(relay.window(self.streams.terminal))
                continue
            if number == signal.SIGCONT:
                self.pipes.resume()
            if number == signal.SIGINT:
                self.interrupted += 1
                if self.interrupted > 1:
                    self._kill("killed")
                    continue
            self._signal(number)
        return True

    def _signal(self, number: int) -> None:
        """To the program itself; before there is one, a signal that asks for the end ends it all."""
        if self.began and processes.signal_program(self.builder_pid, number):
            return
        if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            self._kill(f"{signal.Signals(number).name} before the program had started")

    def _kill(self, reason: str) -> None:
        self.reason = self.reason or reason
        target = self.builder
        if target < 0:
            return
        try:
            signal.pidfd_send_signal(target, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _wait(self) -> int:
        guard = self.pipes.own(os.pidfd_open(self.guard))
        ended = False

        def over() -> bool:
            nonlocal ended
            ended = True
            return False

        self.loop.add(guard, over)
        pause = _PAUSE if self.group.watches else None
        while not ended:
            self.loop.turn(pause)
            if pause is not None and self.began and time.monotonic() >= self.next_look:
                self.next_look = time.monotonic() + pause / 1000
                why = self.group.look(self.builder_pid)
                if why:
                    self._kill(why)
        self.pipes.drain()
        if b'"child-pid"' in self.status:
            self._look()  # it may have ended before it was seen
        _, status = os.waitpid(self.guard, 0)
        self.guard = -1
        return os.waitstatus_to_exitcode(status)

    def _outcome(self, code: int, seconds: float) -> Outcome:
        if self.error is not None:
            raise self.error
        told = _number(self.status, b'"exit-code"')
        if told is not None:
            code = told
            if code == 137 and self.group.out_of_memory():
                self.reason = self.reason or "out of memory"
        elif code < 0 or code > 128:
            code, self.reason = (128 - code if code < 0 else code), self.reason or "killed"
        else:
            text = self.pipes.tail.decode(errors="replace").strip().splitlines()
            raise EngineError("engine.bwrap", f"bubblewrap failed: {text[-1] if text else f'exit code {code}'}",
                              hint="bareboat doctor says what this machine lacks.")
        gone = Lost()
        if self.upper >= 0:
            gone = lost.walk(self.upper, self.made | self.streams.layer(self.upper), self.box.home)
        return Outcome(code, self.reason, gone, seconds)

    def _end(self) -> None:
        if self.guard > 0:  # an exception: nothing may be left
            if self.builder >= 0:
                self._kill("")
            else:
                os.kill(self.guard, signal.SIGKILL)
            os.waitpid(self.guard, 0)
        if self.control is not None:
            self.control.close()
        self.group.remove()
        self.pipes.close()


def _number(status: bytes, key: bytes) -> int | None:
    """A number in bwrap's status: JSON documents of numbers only, so no parser (and its imports) is needed."""
    _, found, rest = status.partition(key)
    digits = rest.lstrip(b": ").split(b"}")[0].split(b",")[0].strip()
    return int(digits) if found and digits.isdigit() else None


def _failure(kind: bytes, rest: list[bytes]) -> BareboatError:
    texts = [part.decode("utf-8", "surrogateescape") for part in rest]
    if kind == b"error":
        code, what, where, hint, exit_code = texts
        if code.startswith("program."):
            return ProgramError(code, what, exit_code=int(exit_code), where=where, hint=hint)
        return EngineError(code, what, where=where, hint=hint)
    if kind == b"userns":
        from bareboat.host.namespaces import blocked

        return blocked(int(texts[0]), texts[1])
    number = int(texts[0])
    if number == errno.EOVERFLOW:
        return EngineError("engine.owner", "the image's trees belong to another user or group, so nothing can be made"
                           " in them", hint="The store must be yours, in your primary group (chgrp -R; a directory"
                           " with the setgid bit hands on its own).")
    if number in (errno.EPERM, errno.EACCES):
        from bareboat.host.namespaces import blocked

        return blocked(number, texts[1])
    return EngineError("engine.start", f"the sandbox cannot be made: {texts[1]}",
                       hint="bareboat doctor says what this machine lacks.")
