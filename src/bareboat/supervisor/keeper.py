"""The state of one container while a process has it: who asked what of it, and when it must end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from bareboat.engine.base import Live
from bareboat.errors import BareboatError, EngineError
from bareboat.host.loop import Loop
from bareboat.supervisor import wire
from bareboat.supervisor.control import Control, Peer
from bareboat.supervisor.rules import Rules, warned_at, warnings_before
from bareboat.values import TYPE_CHECKING, Any
from bareboat.workload import Port

if TYPE_CHECKING:
    from bareboat.supervisor.meter import Meter
    from bareboat.supervisor.ports import Forwards
    from bareboat.supervisor.watches import Checkup, Idle

TYPED = 1 << 16  # bytes that were typed and wait for the program
MEASURED = 1.0  # seconds after which use is measured: what is over sooner pays nothing for it
STOPPED, KILLED, TIME, IDLE = "stopped", "killed", "time limit", "idle"


class Keeper:
    """facts: what others need to know to enter the container. probe: starts the health command, returns a pid to wait
    for. stdin: where what attached clients type goes, -1: nowhere. began: called at each start. note: set by who keeps
    the log, to say a line in it. Raises EngineError "ports.*" where a port cannot be listened on.
    """

    def __init__(self, folder: str, facts: dict[str, Any], rules: Rules, *, stdin: int = -1,
                 began: Callable[[], None] = lambda: None, probe: Callable[[Keeper], int] | None = None,
                 ports: tuple[Port, ...] = ()) -> None:
        self.facts, self.rules, self.stdin, self._began = facts, rules, stdin, began
        self.note: Callable[[str], None] = lambda _: None
        self.leaving: Callable[[], None] = lambda: None  # told when it is asked to end
        self.ports: Forwards | None = None
        if ports:
            from bareboat.supervisor.ports import Forwards

            self.ports = Forwards(ports, str(facts["network"]))
        self.control = Control(folder, self._asked)
        self.live: Live | None = None
        self.loop: Loop | None = None
        self.paused = False
        self.ending = ""  # why it ends, where somebody wants it to
        self.attempt = 1
        self.began = 0.0
        self.attached: list[Peer] = []
        self.waiting: list[Peer] = []
        self._pending = b""  # what was typed and the program has not read yet
        self._typed_all = False
        self._idle: Idle | None = None
        self._checkup: Checkup | None = None
        self.meter: Meter | None = None  # of this start, from its first second on
        if rules.idle_stop or rules.health:
            from bareboat.supervisor.gpuwatch import GpuWatch
            from bareboat.supervisor.watches import Checkup, Idle

            gpus = GpuWatch(str(facts.get("gpus") or ""), str(facts.get("nvml") or ""), self._pids)
            self._idle = Idle(rules.idle_stop, self, gpus) if rules.idle_stop else None
            self._checkup = Checkup(rules.health, lambda: probe(self), self) if rules.health and probe else None

    # told by the process that has the container

    def started(self, loop: Loop, live: Live) -> None:
        """Streams.live: the program is there."""
        self.live, self.paused = live, False
        self.began = time.monotonic()
        self.serve(loop)
        if self.ports is not None:
            handle = live.handle()
            self.ports.start(handle)
            if handle.pidfd >= 0:
                os.close(handle.pidfd)
        if self.ending:
            self._interrupt()
        if self.rules.max_time:
            for before in warnings_before(self.rules.max_time):
                self._announce(loop, before)
            at = warned_at(self.rules)
            loop.after(at, lambda: self.end(TIME, self.rules.max_time - at))
        self.meter = None
        loop.after(MEASURED, lambda: self._measure(loop, live))
        if self._idle is not None:
            self._idle.start(loop, live)
        if self._checkup is not None:
            self._checkup.start(loop)
        self._began()

    def _measure(self, loop: Loop, live: Live) -> None:
        if self.live is live:
            from bareboat.supervisor.meter import Meter

            self.meter = Meter(self.began, str(self.facts.get("gpus") or ""), str(self.facts.get("nvml") or ""))
            self.meter.start(loop, live)

    def serve(self, loop: Loop | None) -> None:
        """Answer in this loop from now on."""
        self.loop = loop
        self.control.serve(loop)

    def heard(self, kind: bytes, chunk: bytes) -> None:
        """Something came from the program: on to those who are attached."""
        if self._idle is not None:
            self._idle.active()
        if self.attached:
            data = wire.frame(kind, chunk)
            for peer in list(self.attached):
                peer.send(data)

    def left(self) -> None:
        """The program ended; others may follow. Its loop is not turned any more: what it waited for is closed."""
        self.live, self.paused = None, False
        self.serve(None)
        if self.ports is not None:
            self.ports.stop()
        if self._checkup is not None:
            self._checkup.stop()
        if self.meter is not None:
            self.meter.stop()

    def over(self, code: int) -> None:
        """Nothing follows: tell all who wait, and stop listening."""
        if self.ports is not None:
            self.ports.close()
        answer = {"code": code}
        for peer in list(self.attached):
            peer.send(wire.frame(wire.END, b"%d" % code))
            peer.end()
        for peer in list(self.waiting):
            peer.answer(answer)
        self.serve(loop := Loop())
        end = time.monotonic() + 1.0
        while self.control.peers and time.monotonic() < end:
            loop.turn(20)
        self.control.close()

    @property
    def health(self) -> str:
        """"", "starting", "healthy" or "unhealthy"."""
        return self._checkup.state if self._checkup is not None else ""

    # asked by others

    def _asked(self, peer: Peer, request: dict[str, Any]) -> None:
        answer = getattr(self, f"_do_{request.get('do')}", None)
        try:
            if answer is None:
                raise EngineError("container.request", f"nothing is known of {request.get('do')!r}",
                                  hint="the container was started by another version of bareboat")
            answer(peer, request)
        except BareboatError as error:
            peer.answer({"error": [error.code, error.what, error.where, error.hint]})
        except (OSError, KeyError, TypeError, ValueError) as error:
            peer.answer({"error": ["container.request", f"cannot be done: {error}", "", ""]})

    def _running(self) -> Live:
        if self.live is None:
            raise EngineError("container.not-running", "the container is not running",
                              hint="it is starting, or between two starts: bareboat ps")
        return self.live

    def _do_state(self, peer: Peer, _request: dict[str, Any]) -> None:
        peer.answer({"running": self.live is not None, "paused": self.paused, "health": self.health,
                     "attempt": self.attempt, "ending": self.ending, "pid": os.getpid(),
                     "ports": list(self.ports.shown) if self.ports else [],
                     "seconds": time.monotonic() - self.began if self.live else 0.0})

    def _do_signal(self, peer: Peer, request: dict[str, Any]) -> None:
        number = int(request["number"])
        live = self._running()
        if number == signal.SIGKILL:
            self.ending = self.ending or KILLED
            live.kill("killed")
        elif not live.signal(number):
            raise EngineError("container.not-running", "the program has just ended")
        peer.answer({})

    def _do_stop(self, peer: Peer, request: dict[str, Any]) -> None:
        self.ending = self.ending or str(request.get("reason") or STOPPED)
        seconds = request.get("seconds")
        if self.live is not None:
            self._stop(int(request.get("signal") or self.rules.stop_signal),
                       self.rules.stop_seconds if seconds is None else float(seconds))
        self.waiting.append(peer)
        peer.closed = lambda: self.waiting.remove(peer)

    def _stop(self, number: int, seconds: float) -> None:
        live, loop = self._running(), self.loop
        if self.paused:
            live.unpause()
            self.paused = False
        live.signal(number)
        if loop is not None and seconds >= 0:
            loop.after(seconds, lambda: live.kill(f"killed {seconds:g} s after it was asked to stop"))

    def _do_interrupt(self, peer: Peer, request: dict[str, Any]) -> None:
        """cause: why. Answered at once; a second one changes nothing, but that a user's stop is the last word."""
        cause = str(request["cause"])
        if self.ending:
            self.ending = cause if cause == STOPPED else self.ending
        else:
            self.ending = cause
            self._interrupt()
            self.leaving()
        peer.answer({})

    def _interrupt(self, left: float = 0.0) -> None:
        """The warning and its grace, then the stop signal, then the end. Where nothing in there listens to the warning,
        the stop signal comes at once, and the grace is before the end. left: seconds that it may go on all the same, if
        it listens to neither.
        """
        live, loop, rules = self.live, self.loop, self.rules
        if live is None:
            return  # when it has started
        if self.paused:
            self._wake(live)
        if not rules.grace:
            self._stop(rules.stop_signal, rules.stop_seconds)
            return
        heard = live.warn(rules.warning) if rules.warning else 0
        self.note(f"bareboat: interrupted: {self.ending}" + (f"; {rules.grace:g} s to save its state" if heard else ""))
        if heard and loop is not None:
            loop.after(rules.grace, lambda: self._stop_if_there(rules.stop_seconds))
        elif left and loop is not None and not live.catches(rules.stop_signal):
            loop.after(left, lambda: self._stop_if_there(rules.stop_seconds))
        else:
            self._stop_if_there(max(rules.stop_seconds, rules.grace))

    def _stop_if_there(self, seconds: float) -> None:
        live, loop = self.live, self.loop
        if live is None:
            return
        if self.paused:
            self._wake(live)
        live.ask(self.rules.stop_signal)
        if loop is not None:
            loop.after(seconds, lambda: live.kill(f"killed {seconds:g} s after it was asked to end"))

    def _wake(self, live: Live) -> None:
        self.paused = False
        try:
            live.unpause()
        except EngineError as error:  # it is ending
            self.note(f"bareboat: {error.what}")

    def _do_pause(self, peer: Peer, _request: dict[str, Any]) -> None:
        live = self._running()
        if self.paused:
            raise EngineError("container.paused", "the container is paused already")
        live.pause()
        self.paused = True
        peer.answer({"memory": live.usage().memory})

    def _do_unpause(self, peer: Peer, _request: dict[str, Any]) -> None:
        live = self._running()
        if not self.paused:
            raise EngineError("container.not-paused", "the container is not paused")
        live.unpause()
        self.paused = False
        peer.answer({})

    def _do_top(self, peer: Peer, _request: dict[str, Any]) -> None:
        peer.answer({"processes": [[p.pid, p.uid, p.seconds, p.memory, p.argv] for p in self._running().processes()]})

    def _do_stats(self, peer: Peer, _request: dict[str, Any]) -> None:
        use = self._running().usage()
        peer.answer({"cpu_seconds": use.cpu_seconds, "memory": use.memory, "pids": use.pids, "read": use.read,
                     "written": use.written, "at": time.monotonic(),
                     "gpu": self.meter.gpu if self.meter else None})

    def _do_enter(self, peer: Peer, _request: dict[str, Any]) -> None:
        live = self._running()
        if self.paused:
            raise EngineError("container.paused", "the container is paused", hint="bareboat unpause it first")
        if self._idle is not None:
            self._idle.active()
        handle = live.handle()
        peer.answer({"id": handle.id, **self.facts}, handle.pidfd)

    def _do_wait(self, peer: Peer, _request: dict[str, Any]) -> None:
        self.waiting.append(peer)
        peer.closed = lambda: self.waiting.remove(peer)

    def _do_attach(self, peer: Peer, request: dict[str, Any]) -> None:
        self._running()
        peer.answer({"tty": bool(self.facts.get("tty")), "stdin": self.stdin >= 0}, last=False)
        self.attached.append(peer)
        peer.closed = lambda: self.attached.remove(peer)
        if request.get("stdin"):
            peer.take = lambda kind, data: self._typed(peer, kind, data)
        if self.facts.get("tty") and self.live is not None and request.get("window"):
            rows, columns = request["window"]
            self.live.resize((int(rows), max(int(columns) - 1, 1)))  # a change, so that the program draws again
            self.live.resize((int(rows), int(columns)))

    def _typed(self, peer: Peer, kind: bytes, data: bytes) -> None:
        if self._idle is not None:
            self._idle.active()
        if kind == wire.WINDOW and self.live is not None:
            rows, columns = data.split(b" ")
            self.live.resize((int(rows), int(columns)))
        elif kind == wire.IN and self.stdin >= 0:
            self._pending += data
            peer.hold(len(self._pending) > TYPED)
            self._feed()
        elif kind == wire.EOF and self.stdin >= 0:
            self._typed_all = True
            self._feed()

    def _feed(self) -> None:
        """What was typed, to the program. While the program does not read, it waits here, and whoever types more than
        that is not listened to.
        """
        try:
            while self._pending and self.stdin >= 0:
                self._pending = self._pending[os.write(self.stdin, self._pending[:4096]):]
        except BlockingIOError:
            if self.loop is not None:
                self.loop.after(0.02, self._feed)
            return
        except OSError:
            self._pending = b""
        for peer in self.attached:
            peer.hold(False)
        if self._typed_all and self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    # time

    def _announce(self, loop: Loop, before: float) -> None:
        def say() -> None:
            if self.live is not None:
                self.note(f"bareboat: this container is stopped in {before / 60:g} min (--max-time)")

        loop.after(self.rules.max_time - before, say)

    def _pids(self) -> list[int]:
        return [process.pid for process in self.live.processes()] if self.live is not None else []

    def end(self, why: str, left: float = 0.0) -> None:
        """Stop it for a reason of its own rules. left: as _interrupt has it."""
        if self.live is not None and not self.ending:
            self.ending = why
            if not self.rules.grace:
                self.note(f"bareboat: stopping this container: {why}")
            self._interrupt(left)
