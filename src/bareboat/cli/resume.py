"""bareboat resume."""

from __future__ import annotations

import argparse

SUMMARY = "Queue one more attempt of runs that are over: they go on from their newest checkpoint."
EXAMPLES = """\
  bareboat stop unet
  bareboat resume unet
  bareboat resume sweep          those of a sweep that failed or were cancelled
  bareboat resume --failed sweep
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Names."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="names, ids, or the beginnings of ids; or a sweep's")
    parser.add_argument("--failed", action="store_true", help="of a sweep, those alone that failed")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.life import each
    from bareboat.cli.term import Reporter
    from bareboat.verbs.queued import resume
    from bareboat.wiring import queue, work

    collaborators = queue(work(Reporter(options.level)))

    def one(name: str) -> str:
        entries = resume(name, collaborators, options.failed)
        return name if len(entries) == 1 else f"{name}: {len(entries)} runs"

    return each(options.names, one)
