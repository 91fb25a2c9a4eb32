"""bareboat wait."""

from __future__ import annotations

import argparse

SUMMARY = "Wait for the end of containers, and print their exit codes."
EXAMPLES = """\
  bareboat run -d --name sweep -- python src/run.py && bareboat wait sweep
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Names."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="names, ids, or the beginnings of ids")


def command(options: argparse.Namespace) -> int:
    """0; the codes are printed."""
    from bareboat.cli.life import each
    from bareboat.verbs import queued
    from bareboat.verbs.enter import wait
    from bareboat.wiring import queue_of, store

    at = store()
    queue = queue_of(at)

    def one(name: str) -> str:
        code = queued.wait(name, queue) if queue else None
        return str(wait(name, at) if code is None else code)

    return each(options.names, one)
