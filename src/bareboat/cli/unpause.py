"""bareboat unpause."""

from __future__ import annotations

import argparse

SUMMARY = "Let paused containers go on."
EXAMPLES = """\
  bareboat unpause sweep
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Names."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="names, ids, or the beginnings of ids")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.life import each
    from bareboat.verbs.enter import tell
    from bareboat.wiring import store

    def one(name: str) -> None:
        tell(name, at, do="unpause")

    at = store()
    return each(options.names, one)
