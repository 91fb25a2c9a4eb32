"""bareboat stats."""

from __future__ import annotations

import argparse
import json
import sys
import time

SUMMARY = "What containers use: CPU, memory, processes, storage."
EXAMPLES = """\
  bareboat stats                 redrawn every two seconds; ^C ends it
  bareboat stats --no-stream sweep
"""
EVERY = 2.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="some of them; none: all that run")
    parser.add_argument("--no-stream", action="store_true", help="once")
    parser.add_argument("--json", action="store_true", help="once, for programs")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.term import table
    from bareboat.wiring import store

    at = store()
    once = options.no_stream or options.json or not sys.stdout.isatty()
    before = _measure(at, options.names)
    lines = 0
    while True:
        time.sleep(0.3 if once else EVERY)
        now = _measure(at, options.names)
        rows = [_row(name, before.get(name), use) for name, use in now.items()]
        if options.json:
            print(json.dumps([{"name": name, "cpu_percent": _cpu(before.get(name), use), **use}
                              for name, use in now.items()], indent=2))
            return 0
        text = table([("NAME", "CPU", "MEMORY", "PROCESSES", "READ", "WRITTEN"), *rows], right=(1, 2, 3, 4, 5))
        if lines:
            sys.stdout.write(f"\x1b[{lines}F\x1b[J")
        print(text, flush=True)
        if once:
            return 0
        lines, before = len(text.splitlines()), now


def _measure(store, names: list[str]) -> dict[str, dict[str, float]]:  # type: ignore[no-untyped-def]
    from bareboat.errors import BareboatError
    from bareboat.verbs import containers
    from bareboat.verbs.enter import tell

    wanted = names or [s.container.name or s.container.id for s in containers.listed(store) if s.running]
    found = {}
    for name in wanted:
        try:
            found[name] = tell(name, store, do="stats")
        except BareboatError:
            if names:
                raise
    return found


def _cpu(before: dict[str, float] | None, now: dict[str, float]) -> float:
    if before is None:
        return 0.0
    return 100 * max(now["cpu_seconds"] - before["cpu_seconds"], 0) / max(now["at"] - before["at"], 1e-3)


def _row(name: str, before: dict[str, float] | None, now: dict[str, float]) -> tuple[str, ...]:
    from bareboat.cli.term import size

    return (name, f"{_cpu(before, now):.1f} %", size(int(now["memory"])), str(int(now["pids"])),
            size(int(now["read"])), size(int(now["written"])))
