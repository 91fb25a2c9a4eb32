"""One container of docker's or podman's from its start to its end: a client in the foreground, its streams pumped."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

from bareboat.engine import init
from bareboat.engine import oci_command as commands
from bareboat.engine.base import Streams
from bareboat.engine.oci_command import Client
from bareboat.errors import EngineError
from bareboat.host import processes, relay, terminal
from bareboat.host.loop import Loop, reader
from bareboat.host.process import Child, Command, Completed, ProcessError, run, start
from bareboat.values import TYPE_CHECKING, Any, dataclass
from bareboat.workload import Handle, Process, Usage

if TYPE_CHECKING:
    from typing import IO

_TAIL = 2000  # bytes of stderr kept, to quote when nothing ever ran
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True)
class Ended:
    """How a container ended, as the engine's own books say it. seconds: from its start to its end, 0 where not told."""

    code: int
    out_of_memory: bool
    ran: bool
    error: str
    seconds: float = 0.0


class Attached:
    """A client that is attached to one container, and the Live container itself.

    start: the command; its streams are what the program's would be. environ: to start clients with.
    """

    def __init__(self, client: Client, id: str, tty: bool, streams: Streams, environ: dict[str, str]) -> None:
        self.client, self.id, self.tty, self.streams, self.environ = client, id, tty, streams, environ
        self.loop = Loop()
        self.owned: list[int] = []
        self.master = -1
        self.child: Child | None = None
        self.copier: relay.Copier | None = None
        self.reason = ""
        self.interrupted = 0
        self.tail = b""

    def call(self, command: Command, timeout: float = 60) -> Completed:
        """Run a command of the client to its end."""
        return run(Command(command.argv, self.environ, timeout=timeout))

    def run(self, command: Command) -> int:
        """Start the client, pump until it ended, return its exit code."""
        try:
            with relay.Signals() as signals, terminal.Raw(self.streams.terminal if self.tty else None):
                pending = self._start(command)
                self.loop.add(signals.read, lambda: self._signals(signals.taken()))
                self.streams.started()
                self.streams.live(self.loop, self)
                while pending:
                    self.loop.turn(None)
                if self.copier is not None:
                    self.copier.close()
            assert self.child is not None
            return self.child.wait()
        finally:
            self._end()

    def _start(self, command: Command) -> set[int]:
        """The descriptors whose end means that the client ended."""
        closing: list[int] = []
        pending: set[int] = set()

        def pipe() -> tuple[int, int]:
            read, write = os.pipe()
            self.owned.append(read)
            closing.append(write)
            return read, write

        def follow(descriptor: int, give: Callable[[bytes], None]) -> None:
            read = reader(descriptor, give)

            def call() -> bool:
                more = read()
                if not more:
                    pending.discard(descriptor)
                return more

            pending.add(descriptor)
            self.loop.add(descriptor, call)

        copy: tuple[int, int] | None = None
        try:
            err, err_in = pipe()
            if self.tty:
                self.master, slave = os.openpty()
                self.owned.append(self.master)
                closing.append(slave)
                window = relay.window(self.streams.terminal)
                if window is not None:
                    terminal.resize(self.master, window)
                self.child = start(Command(command.argv, self.environ), (slave, slave, err_in))
            else:
                stdin, copy = self._stdin(closing)
                out, out_in = pipe()
                self.child = start(Command(command.argv, self.environ), (stdin, out_in, err_in))
        finally:
            for descriptor in closing:
                os.close(descriptor)
        follow(err, self._stderr)
        if self.tty:
            follow(self.master, self.streams.stdout)
            if self.streams.stdin is not None:
                sink = os.dup(self.master)
                self.owned.append(sink)
                self.copier = relay.Copier(self.loop, self.streams.stdin, sink, b"\x04")
        else:
            follow(out, self.streams.stdout)
            if copy is not None:
                self.copier = relay.Copier(self.loop, *copy)
        return pending

    def _stdin(self, closing: list[int]) -> tuple[int, tuple[int, int] | None]:
        """The client's standard input, and (source, sink) when we have to copy."""
        source = self.streams.stdin
        if source is None:
            return -1, None
        if relay.passes(source):
            return source, None
        read, write = os.pipe()
        closing.append(read)
        return read, (source, write)

    def _stderr(self, chunk: bytes) -> None:
        self.tail = (self.tail + chunk)[-_TAIL:]
        self.streams.stderr(chunk)

    def _signals(self, numbers: bytes) -> bool:
        for number in numbers:
            if number == signal.SIGWINCH:
                window = relay.window(self.streams.terminal)
                if window is not None:
                    self.resize(window)
                continue
            if number == signal.SIGCONT and self.copier is not None:
                self.copier.resume()
            if number == signal.SIGINT:
                self.interrupted += 1
                if self.interrupted > 1:
                    self.kill("killed")
                    continue
            if not self.signal(number) and number in _ENDS:
                self.kill(f"{signal.Signals(number).name} before the program had started")
        return True

    def _end(self) -> None:
        if self.child is not None and not self.child.ended():
            self.child.kill()
            self.child.wait()
        if self.copier is not None:
            self.copier.close()
        for descriptor in self.owned:
            os.close(descriptor)
        self.owned.clear()

    # The container, in the hands of whoever turns the loop: engine.base.Live.

    def signal(self, number: int) -> bool:
        """Signal the program itself, by the first process of the container."""
        return self._did(commands.kill(self.client, self.id, signal.Signals(number).name))

    def warn(self, number: int) -> int:
        """Those that catch it, where this machine's /proc has them. Whom the caller may not signal the engine does, to
        which only the program can be named.
        """
        first = self._running()
        if not first:
            return 0
        return processes.warn(first, number) or int(
            processes.catches(self._program(first), number) and self.signal(number))

    def catches(self, number: int) -> bool:
        """Any of its processes, where this machine's /proc has them."""
        first = self._first()
        return not first or any(processes.catches(pid, number) for pid in self._members(first))

    def ask(self, number: int) -> bool:
        """The program, or those below it that catch the signal, which it does not."""
        first = self._running()
        if first and not processes.catches(self._program(first), number) and self.warn(number):
            return True
        return self.signal(number)

    def kill(self, reason: str) -> None:
        """End it; where it does not run yet, it is removed, and never will."""
        self.reason = self.reason or reason
        if not self._did(commands.kill(self.client, self.id, "SIGKILL")):
            self._did(commands.remove(self.client, self.id))

    def pause(self) -> None:
        """Freeze every process. Raises EngineError."""
        self._freeze(True)

    def unpause(self) -> None:
        """Let them go on. Raises EngineError."""
        self._freeze(False)

    def _freeze(self, on: bool) -> None:
        if bool(self.look().get("Paused")) != on:
            ended = self.call(commands.pause(self.client, self.id, on))
            if ended.code:
                raise EngineError("engine.pause", said(ended), where=self.client.name,
                                  hint="rootless podman needs cgroup v2 for it")

    def resize(self, window: tuple[int, int]) -> None:
        """Set the terminal's size; the client hands it on when it is told."""
        if self.master >= 0 and self.child is not None:
            terminal.resize(self.master, window)
            self.child.signal(signal.SIGWINCH)

    def processes(self) -> list[Process]:
        """What runs in it, without the first process, which is ours: from this machine's /proc where it has the
        container, as one of Docker Desktop's has not, else as the engine tells it.
        """
        first = self._first()
        if first:
            found = ((pid, processes.told(pid)) for pid in self._members(first))
            return [Process(pid, told[0], told[1], processes.resident(pid), told[2]) for pid, told in found if told]
        ended = self.call(commands.top(self.client, self.id))
        return [] if ended.code else [p for p in rows(ended.stdout) if not p.argv.startswith(f"{init.PATH} ")]

    def usage(self) -> Usage:
        """What it uses now: sums over its processes."""
        first = self._first()
        if first:
            pids = self._members(first)
            seconds, memory, read, written = processes.sums(pids, first)
            return Usage(seconds, memory, len(pids), read, written)
        found = self.processes()
        return Usage(sum(p.seconds for p in found), sum(p.memory for p in found), len(found))

    def _first(self) -> int:
        """The number of its first process on this machine; 0 where it is not seen. Asked anew each time: the number of
        one that ended may be somebody else's.
        """
        pid = int(self.look().get("Pid") or 0)
        return pid if pid and processes.innermost(pid) == 1 else 0

    def _running(self) -> int:
        """As _first; a program's first words may be there before podman has written down that it runs."""
        for _ in range(5):
            if (first := self._first()) or self.child is None or self.child.ended():
                break
            time.sleep(0.1)
        return first

    def _program(self, first: int) -> int:
        """What the first process started; 0 where it is gone."""
        return next((pid for pid in self._members(first) if processes.innermost(pid) == 2), 0)

    def _members(self, first: int) -> list[int]:
        return sorted(pid for pid in processes.members(first) if pid != first)

    def handle(self) -> Handle:
        """By name."""
        return Handle(id=self.id)

    def look(self) -> dict[str, Any]:
        """The engine's own account of the container now; {} when there is none."""
        return account(self.call(commands.state(self.client, self.id)))

    def _did(self, command: Command) -> bool:
        try:
            return self.call(command, timeout=20).code == 0
        except ProcessError:
            return False


def on_terminal(command: Command, window: tuple[int, int]) -> Completed:
    """Run a command whose output is a terminal of this size: docker create keeps it, and the program's has it from its
    first moment; by start it would come some time after.
    """
    import tempfile

    master, slave = os.openpty()
    try:
        terminal.resize(master, window)
        with tempfile.TemporaryFile() as said_there:
            code = start(command, (slave, slave, said_there.fileno())).wait()
            said_there.seek(0)
            errors = said_there.read()
        os.set_blocking(master, False)
        try:
            out = os.read(master, 1 << 16)
        except OSError:
            out = b""
        return Completed(code, out, errors)
    finally:
        os.close(master)
        os.close(slave)


def fill(file: IO[str], text: str, client: Client) -> None:
    """Write a file that the client, and nobody else, is to read."""
    file.write(text)
    file.flush()
    if client.caller[0] != os.geteuid():
        os.chown(file.name, *client.caller)


def account(done: Completed) -> dict[str, Any]:
    """What commands.state said."""
    try:
        found = json.loads(done.stdout) if done.code == 0 else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def ended(found: dict[str, Any]) -> Ended:
    """The state of a container that does not run any more."""
    began = str(found.get("StartedAt") or "0001-")
    return Ended(int(found.get("ExitCode") or 0), bool(found.get("OOMKilled")),
                 not began.startswith("0001-") and str(found.get("Status")) not in ("created", "configured"),
                 str(found.get("Error") or ""), _between(began, str(found.get("FinishedAt") or "")))


def _between(began: str, over: str) -> float:
    """Seconds between two times as Go writes them (RFC 3339 with up to nine decimals)."""
    from datetime import datetime

    def moment(text: str) -> float:
        whole, _, decimals = text[19:].partition(".")
        digits = "".join(c for c in decimals if c.isdigit())[:9] if not whole else ""
        return datetime.fromisoformat(text[:19] + "+00:00").timestamp() + float(f"0.{digits or 0}")

    try:
        return max(moment(over) - moment(began), 0.0)
    except ValueError:
        return 0.0


def said(ended: Completed) -> str:
    """The words of a client that failed, without its own name before them."""
    lines = [line for line in ended.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    text = lines[-1] if lines else f"exit code {ended.code}"
    for head in ("Error response from daemon: ", "docker: ", "Error: "):
        text = text.removeprefix(head)
    return text.strip()


def rows(table: bytes) -> list[Process]:
    """The processes of commands.top, in its order."""
    found = []
    for line in table.decode("utf-8", "replace").splitlines()[1:]:
        words = line.split(None, 4)
        if len(words) < 5 or not words[0].isdigit():
            continue
        pid, uid, cpu, memory, argv = words
        found.append(Process(int(pid), int(uid) if uid.isdigit() else 0, seconds(cpu),
                             int(memory) * 1024 if memory.isdigit() else 0, argv))
    return found


def seconds(text: str) -> float:
    """CPU time as ps writes it ([DD-]HH:MM:SS) or as Go does (1m2.5s)."""
    days, dash, rest = text.partition("-")
    try:
        if ":" in text:
            total = 0.0
            for part in (rest if dash else text).split(":"):
                total = total * 60 + float(part)
            return total + (int(days) * 86400 if dash else 0)
        total, number = 0.0, ""
        for letter in text.replace("ms", "~"):
            if letter in "hms~":
                total += float(number or 0) * {"h": 3600, "m": 60, "s": 1, "~": 0.001}[letter]
                number = ""
            else:
                number += letter
        return total
    except ValueError:
        return 0.0

