"""Asking the process that has a container, and entering it: exec, attach, top, stats, stop and their like."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bareboat.engine.base import Streams
from bareboat.errors import EngineError, UsageError
from bareboat.store import Store
from bareboat.supervisor import wire
from bareboat.supervisor.client import Answer, Line, ask
from bareboat.values import Any, dataclass
from bareboat.verbs import containers
from bareboat.verbs.collaborators import Work
from bareboat.verbs.containers import Seen
from bareboat.workload import Exec, Handle, Limits, Outcome, Process


@dataclass(frozen=True)
class ExecRequest:
    """What was asked of `exec`. None and () say nothing."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    workdir: str | None = None
    tty: bool = False


def place(store: Store, seen: Seen) -> Path:
    """Where the container's control socket is."""
    return store.runs.path(seen.container.id)


def call_of(facts: Mapping[str, Any], argv: Sequence[str], request: ExecRequest | None = None) -> Exec:
    """A program with the environment, user and limits that a container's own has, as its supervisor tells them."""
    env = {str(name): str(value) for name, value in facts["env"]}
    memory, cpus, pids = facts["limits"]
    if request is not None:
        env.update(request.env)
        if request.tty:
            env.setdefault("TERM", os.environ.get("TERM", "xterm"))
    return Exec(tuple(argv), tuple(sorted(env.items())), (request.workdir if request else None) or str(facts["cwd"]),
                int(facts["uid"]), int(facts["gid"]), bool(request and request.tty), Limits(memory, cpus, pids),
                str(facts["network"]))


def entered(text: str, store: Store) -> tuple[Seen, Answer]:
    """A running container, and what is needed to enter it; the answer's descriptor is the caller's to close."""
    seen = containers.running(store, text)
    return seen, ask(place(store, seen), do="enter")


def execute_in(text: str, request: ExecRequest, work: Work, streams: Streams) -> Outcome:
    """Run a program in a running container to its end; the exit code is its own. Raises UsageError "container.*",
    "usage.no-program", EngineError, ProgramError.
    """
    if not request.argv:
        raise UsageError("usage.no-program", "there is nothing to run", hint="bareboat exec NAME PROGRAM …")
    _, answer = entered(text, work.store)
    try:
        call = call_of(answer.value, request.argv, request)
        return work.engine.exec(Handle(str(answer.value.get("id", "")), answer.descriptor), call, streams)
    finally:
        if answer.descriptor >= 0:
            os.close(answer.descriptor)


def tell(text: str, store: Store, **request: Any) -> dict[str, Any]:
    """Ask a running container's supervisor for something, and return its answer. Raises UsageError, EngineError."""
    seen = containers.running(store, text)
    return ask(place(store, seen), **request).value


def stop(text: str, store: Store, seconds: float | None = None, number: int | None = None) -> int | None:
    """Ask it to end, and wait until it has; killed after so many seconds (None: as it was created with; below 0:
    never). Returns its exit code, None when it was not running. Idempotent. Raises UsageError "container.unknown".
    """
    seen = containers.find(store, text)
    if not seen.running:
        return None
    return _ended(seen, store, do="stop", seconds=seconds, signal=number)


def kill(text: str, store: Store, number: int = signal.SIGKILL) -> None:
    """Send a signal to the program; SIGKILL ends the whole container and waits for it."""
    seen = containers.running(store, text)
    line = Line(place(store, seen), None) if number == signal.SIGKILL else None
    ask(place(store, seen), do="signal", number=int(number))
    if line is not None:
        try:
            line.ask(do="wait")
        except EngineError:
            pass  # it ended in between
        finally:
            line.close()


def wait(text: str, store: Store) -> int:
    """Wait for the end of a container, however often it is started again until then; its exit code."""
    seen = containers.find(store, text)
    if seen.state == "created":
        raise UsageError("container.not-running", f"container {text} has not been started",
                         hint=f"bareboat start {text}")
    if not seen.running:
        return 125 if seen.record.exit_code is None else seen.record.exit_code
    return _ended(seen, store, do="wait")


def _ended(seen: Seen, store: Store, **request: Any) -> int:
    """Ask, and wait for the answer that comes with the end; a supervisor that is killed answers by its record."""
    from bareboat.verbs.runs import load

    try:
        return int(ask(place(store, seen), None, **request).value["code"])
    except EngineError as error:
        if error.code not in ("container.gone",):
            raise
    record = load(store, seen.container.id)
    return 125 if record.exit_code is None else record.exit_code


def remove(text: str, store: Store, *, force: bool = False) -> str:
    """List a container no more; returns its name. Its run record, log and results stay. Raises UsageError
    "container.running" unless forced.
    """
    seen = containers.find(store, text)
    if seen.running:
        if not force:
            raise UsageError("container.running", f"container {text} is running",
                             hint=f"bareboat stop {text} first, or rm -f")
        # not by a signal: between two starts there is nobody to get one, and it would be started again
        _ended(seen, store, do="stop", seconds=0.0, signal=int(signal.SIGKILL), reason="killed")
        wait_released(seen, store)
    containers.forget(store, seen.container.id)
    return seen.container.name or seen.container.id


def wait_released(seen: Seen, store: Store) -> None:
    """Until no process owns its run any more; a supervisor lets go right after it answered."""
    import time

    end = time.monotonic() + 10
    while store.runs.is_alive(seen.container.id) and time.monotonic() < end:
        time.sleep(0.002)


def rename(text: str, name: str, store: Store) -> None:
    """Give a container another name; its run's record keeps the one it was made with. Raises UsageError."""
    from bareboat.values import replace

    containers.check_name(name)
    seen = containers.find(store, text)
    with store.turn("container names"):
        for run, foreground in containers.known(store):
            other = containers.read(store, run, foreground)
            if other is not None and other.name == name and run != seen.container.id:
                raise UsageError("container.name-taken", f"the name {name!r} is a container's already ({run[:12]})")
        containers.write(store, replace(seen.container, name=name), seen.foreground)


def processes(text: str, store: Store) -> list[Process]:
    """What runs in it."""
    return [Process(*row) for row in tell(text, store, do="top")["processes"]]


class Attached:
    """A connection to a running container's streams. out, err: called with what comes; ended: its exit code, None while
    it runs or when the connection was let go.
    """

    def __init__(self, text: str, store: Store, *, stdin: bool, window: tuple[int, int] | None = None) -> None:
        seen = containers.running(store, text)
        self.line = Line(place(store, seen))
        answer = self.line.ask(do="attach", stdin=stdin, window=window)
        self.tty, self.takes = bool(answer.value["tty"]), bool(answer.value["stdin"])
        self.ended: int | None = None
        self.line.sock.settimeout(None)

    def read(self, out: Callable[[bytes], None], err: Callable[[bytes], None]) -> bool:
        """Take what has come, waiting for something; False at the end."""
        if not self._take(out, err):
            return False
        data, _ = wire.receive(self.line.sock)
        self.line.rest().extend(data)
        return self._take(out, err) and bool(data)

    def _take(self, out: Callable[[bytes], None], err: Callable[[bytes], None]) -> bool:
        for kind, data in wire.parse(self.line.rest()):
            if kind == wire.OUT:
                out(data)
            elif kind == wire.ERR:
                err(data)
            elif kind == wire.END:
                self.ended = int(data)
                return False
        return True

    def send(self, kind: bytes, data: bytes) -> None:
        """What was typed, a window's size, or the end of input."""
        self.line.sock.sendall(wire.frame(kind, data))

    def close(self) -> None:
        """Let go; the container goes on."""
        self.line.close()
