"""bareboat logs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator

from bareboat.values import Protocol

SUMMARY = "What a container or a run wrote: its output on standard output, its errors on standard error."
EXAMPLES = """\
  bareboat logs sweep
  bareboat logs -f --tail 20 sweep
  bareboat logs --since 10m -t sweep
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    parser.add_argument("name", metavar="NAME", help="a container, or a run")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
    parser.add_argument("--since", metavar="TIME", help="10m, 1h30m, or 2026-05-01T12:00:00Z")
    parser.add_argument("-n", "--tail", metavar="N", default="all", help="only the last N lines")
    parser.add_argument("-t", "--timestamps", action="store_true", help="when each piece came, before its lines")
    parser.add_argument("--raw", action="store_true", help="every byte as the program wrote it: progress bars in "
                        "each of their states, and what else moves the cursor of a terminal")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.errors import UsageError
    from bareboat.wiring import store

    tail = None if options.tail == "all" else options.tail
    if tail is not None and not tail.isdigit():
        raise UsageError("usage.tail", f"{tail!r} is no number of lines", where="--tail", hint="a number, or all")
    show(store(), options.name, follow=options.follow, since=_since(options.since),
         tail=None if tail is None else int(tail), stamps=options.timestamps, raw=options.raw)
    return 0


def show(store, text: str, *, follow: bool, since: float = 0.0,  # type: ignore[no-untyped-def]  # Store, late
         tail: int | None = None, stamps: bool = False, raw: bool = False) -> int:
    """Write a log to our own streams; the run's exit code, as far as it is known."""
    from bareboat.store import runlog
    from bareboat.verbs.lookup import living, run_of
    from bareboat.verbs.runs import find

    run = run_of(store, text)
    afar = _afar(store, run, follow)
    if afar is not None:
        _show_afar(afar, None if follow else tail, (_raw(False) if raw else _outlets(follow, False))[1])
        code = find(store, run).exit_code
        return 0 if code is None else code
    folder = store.runs.path(run)
    pieces = (runlog.follow(folder, living(store, run), since=since, tail=tail, marks=not raw) if follow
              else runlog.pieces(folder, since=since, tail=tail, marks=not raw))
    outlets = _raw(stamps) if raw else _outlets(follow, stamps)
    try:
        for piece in pieces:
            if piece.stream == runlog.MARK:
                if outlets[1] is not outlets[2]:
                    outlets[1].line(b"", piece.time)
                outlets[2].line(_between(store, run, int(piece.data), piece.time).encode(), piece.time)
            else:
                outlets[piece.stream].feed(piece.data, piece.time)
    except KeyboardInterrupt:
        _finish(outlets)
        raise
    _finish(outlets)
    code = find(store, run).exit_code
    return 0 if code is None else code


def _between(store, run: str, number: int, when: float) -> str:  # type: ignore[no-untyped-def]  # Store, late
    """The line before an attempt that follows others."""
    import time

    from bareboat.cli.plain import plain
    from bareboat.verbs.runs import find

    record = find(store, run)
    resumed = {attempt.number: attempt.resumed for attempt in record.attempts} | {record.attempt: record.resumed}
    ends = {attempt.number + 1: attempt.reason or f"exit {attempt.exit_code}" for attempt in record.attempts}
    parts = [f"attempt {number}", f"after {ends[number]}" if number in ends else "",
             f"resumed from {resumed[number]}" if resumed.get(number) else "from the beginning",
             time.strftime("%Y-%m-%d %H:%M", time.localtime(when))]
    return plain(f"── {' · '.join(part for part in parts if part)} ──")


class _Outlet(Protocol):
    """Where a stream of the log goes."""

    def feed(self, data: bytes, when: float) -> None: ...
    def line(self, text: bytes, when: float) -> None: ...
    def finish(self) -> None: ...


class _Raw:
    """Every byte."""

    def __init__(self, stream: int, stamps: bool) -> None:
        self._stream, self._stamps, self._fresh = stream, stamps, True

    def feed(self, data: bytes, when: float) -> None:
        if self._stamps:
            data, self._fresh = _stamped(data, when, self._fresh)
        _write(self._stream, data)

    def line(self, text: bytes, when: float) -> None:
        """Nothing: it is none of the bytes."""

    def finish(self) -> None:
        """It has come."""


class _Lines:
    """Progress bars as their last state; on a terminal nothing but colours of it moves anything."""

    def __init__(self, stream: int, follow: bool, stamp: Callable[[float], bytes] | None) -> None:
        from bareboat.cli.screen import ROWS, Screen

        self._stream = stream
        self._screen = Screen(0 if follow else ROWS, stamp=stamp)
        self._fit = _fit() if os.isatty(stream) else lambda data: data

    def feed(self, data: bytes, when: float) -> None:
        _write(self._stream, self._screen.feed(self._fit(data), when))

    def line(self, text: bytes, when: float) -> None:
        self._screen.line(text, when)
        _write(self._stream, self._screen.taken())

    def finish(self) -> None:
        _write(self._stream, self._screen.finish())


class _Live:
    """Progress bars as they move."""

    def __init__(self, stream: int, stamp: Callable[[float], bytes] | None) -> None:
        from bareboat.cli.redraw import Redraw

        def size() -> tuple[int, int]:
            try:
                found = os.get_terminal_size(stream)
            except OSError:
                return 80, 24
            return found.columns or 80, found.lines or 24

        self._redraw = Redraw(lambda data: _write(stream, data), size, stamp)
        self._fit = _fit()
        self.line, self.finish = self._redraw.line, self._redraw.finish

    def feed(self, data: bytes, when: float) -> None:
        self._redraw.feed(self._fit(data), when)


def _fit() -> Callable[[bytes], bytes]:
    """A log made fit for a terminal, piece by piece."""
    from bareboat.cli.plain import Replay

    return Replay(moves=True).feed


def _raw(stamps: bool) -> dict[int, _Outlet]:
    return {stream: _Raw(stream, stamps) for stream in (1, 2)}


def _outlets(follow: bool, stamps: bool) -> dict[int, _Outlet]:
    """By stream; one for both where both are the same file, whose order is the program's then."""
    def one(stream: int) -> _Outlet:
        if follow and os.isatty(stream):
            return _Live(stream, _stamp if stamps else None)
        return _Lines(stream, follow, _stamp if stamps else None)

    try:
        same = os.path.samestat(os.fstat(1), os.fstat(2))
    except OSError:
        same = False
    first = one(1)
    return {1: first, 2: first if same else one(2)}


def _finish(outlets: dict[int, _Outlet]) -> None:
    for outlet in dict.fromkeys(outlets.values()):
        outlet.finish()


def _afar(store, run: str, follow: bool) -> Iterator[bytes] | None:  # type: ignore[no-untyped-def]  # Store, late
    """The log of a run whose scheduler has it and not this machine; None for all others."""
    from bareboat.verbs.queued import entry_of

    entry = entry_of(store, run)
    if entry is None or entry.scheduler != "kubernetes":
        return None
    from bareboat.verbs.polling import refresh
    from bareboat.wiring import queue_of

    queue = queue_of(store)
    if queue is None or not entry.job:
        return iter(())

    def lines() -> Iterator[bytes]:
        yield from queue.scheduler(entry.scheduler).logs(entry.job, follow)
        if follow:
            refresh(queue)  # it is over: the ledger should know

    return lines()


def _show_afar(lines: Iterator[bytes], tail: int | None, outlet: _Outlet) -> None:
    """What came of a log is not parted into output and errors there: all of it is output."""
    from collections import deque

    for line in lines if tail is None else deque(lines, tail):
        outlet.feed(line, 0.0)
    outlet.finish()


def _stamped(data: bytes, when: float, fresh: bool) -> tuple[bytes, bool]:
    lines = data.splitlines(keepends=True)
    out = b"".join((_stamp(when) if fresh or i else b"") + line for i, line in enumerate(lines))
    return out, data.endswith(b"\n") if data else fresh


def _stamp(when: float) -> bytes:
    import datetime

    return datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ ").encode()


def _write(stream: int, data: bytes) -> None:
    sys.stdout.flush()
    view = memoryview(data)
    while view:
        view = view[os.write(stream, view):]


def _since(text: str | None) -> float:
    import time

    from bareboat.cli.life import seconds

    if not text:
        return 0.0
    if "T" in text or "-" in text:
        import datetime

        from bareboat.errors import UsageError

        try:
            moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            raise UsageError("usage.time", f"{text!r} is no time", where="--since",
                             hint="as 10m, or 2026-05-01T12:00:00Z") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()
    return time.time() - seconds(text, "--since", 0.0)
