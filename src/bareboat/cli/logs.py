"""bareboat logs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

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
    parser.add_argument("--raw", action="store_true", help="every byte, also what moves the cursor of a terminal")


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
        _show_afar(afar, None if follow else tail, raw)
        code = find(store, run).exit_code
        return 0 if code is None else code
    folder = store.runs.path(run)
    pieces = (runlog.follow(folder, living(store, run), since=since, tail=tail) if follow
              else runlog.pieces(folder, since=since, tail=tail))
    careful = {stream: _careful(stream, raw) for stream in (1, 2)}
    fresh = {1: True, 2: True}
    for piece in pieces:
        data = piece.data
        if stamps:
            data, fresh[piece.stream] = _stamped(data, piece.time, fresh[piece.stream])
        _write(piece.stream, careful[piece.stream](data))
    code = find(store, run).exit_code
    return 0 if code is None else code


def _careful(stream: int, raw: bool):  # type: ignore[no-untyped-def]
    """On a terminal nothing but colours of it moves anything; elsewhere every byte."""
    if raw or not os.isatty(stream):
        return lambda data: data
    from bareboat.cli.plain import replay

    return lambda data: b"".join(replay([data]))


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


def _show_afar(lines: Iterator[bytes], tail: int | None, raw: bool) -> None:
    """What came of a log is not parted into output and errors there: all of it is output."""
    from collections import deque

    careful = _careful(1, raw)
    for line in lines if tail is None else deque(lines, tail):
        _write(1, careful(line))


def _stamped(data: bytes, when: float, fresh: bool) -> tuple[bytes, bool]:
    import datetime

    stamp = datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ ").encode()
    lines = data.splitlines(keepends=True)
    out = b"".join((stamp if fresh or i else b"") + line for i, line in enumerate(lines))
    return out, data.endswith(b"\n") if data else fresh


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
