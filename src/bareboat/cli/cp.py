"""bareboat cp."""

from __future__ import annotations

import argparse

SUMMARY = "Copy files between a container that runs and this machine."
EXAMPLES = """\
  bareboat cp sweep:/app/state.json .
  bareboat cp ./more.csv sweep:/tmp/
  bareboat cp sweep:/results - | tar -t
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    parser.add_argument("source", metavar="[NAME:]SOURCE", help="a file or directory; - is a tar on standard input")
    parser.add_argument("target", metavar="[NAME:]TARGET", help="where to; - is a tar on standard output")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.term import Reporter
    from bareboat.verbs.cp import copy
    from bareboat.wiring import work

    copy(options.source, options.target, lambda engine: work(Reporter(options.level), engine=engine or None))
    return 0
