"""bareboat kill."""

from __future__ import annotations

import argparse

SUMMARY = "Send a signal to the programs of containers; SIGKILL, the default, ends everything in them."
EXAMPLES = """\
  bareboat kill sweep
  bareboat kill -s USR1 sweep
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="names, ids, or the beginnings of ids")
    parser.add_argument("-s", "--signal", default="KILL", metavar="SIGNAL", help="as TERM, SIGUSR1 or 10 (KILL)")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.life import each, signal_number
    from bareboat.verbs.enter import kill
    from bareboat.wiring import store

    at, number = store(), signal_number(options.signal)
    return each(options.names, lambda name: kill(name, at, number))
