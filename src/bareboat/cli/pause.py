"""bareboat pause."""

from __future__ import annotations

import argparse

SUMMARY = "Stop every process of containers; their memory, GPUs and ports stay taken."
EXAMPLES = """\
  bareboat pause sweep
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Names."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="names, ids, or the beginnings of ids")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.life import each
    from bareboat.cli.term import Reporter, size
    from bareboat.verbs.enter import tell
    from bareboat.wiring import store

    def one(name: str) -> None:
        held = tell(name, at, do="pause")["memory"]
        Reporter(options.level).say(f"{name} is paused; it keeps {size(held)} of memory, its GPUs and its ports")

    at = store()
    return each(options.names, one)
