"""bareboat top."""

from __future__ import annotations

import argparse
import json

SUMMARY = "What runs in a container."
EXAMPLES = """\
  bareboat top sweep
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """A name."""
    parser.add_argument("name", metavar="NAME", help="a name, an id, or the beginning of one")
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.plain import clip, width
    from bareboat.cli.term import size, table
    from bareboat.verbs.enter import processes
    from bareboat.wiring import store

    found = processes(options.name, store())
    if options.json:
        print(json.dumps([{"pid": p.pid, "uid": p.uid, "cpu_seconds": p.seconds, "memory": p.memory, "command": p.argv}
                          for p in found], indent=2))
        return 0
    rows: list[tuple[str, ...]] = [("PID", "UID", "CPU", "MEMORY", "COMMAND"),
            *((str(p.pid), str(p.uid), f"{p.seconds:.1f} s", size(p.memory), p.argv) for p in found)]
    print("\n".join(clip(line, width()) for line in table(rows, right=(0, 1, 2, 3)).splitlines()))
    return 0
