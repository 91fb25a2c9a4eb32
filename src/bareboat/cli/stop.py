"""bareboat stop."""

from __future__ import annotations

import argparse

SUMMARY = "Ask containers to end, and kill those that have not after a while."
EXAMPLES = """\
  bareboat stop sweep
  bareboat stop -t 60 sweep      a minute to save what it has
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="names, ids, or the beginnings of ids")
    parser.add_argument("-t", "--time", metavar="SECONDS", help="how long each has (10, or as it was created with); -1:"
                        " for ever")
    parser.add_argument("-s", "--signal", metavar="SIGNAL", help="another signal than it was created with")


def command(options: argparse.Namespace) -> int:
    """0; one that does not run is no error."""
    from bareboat.cli.life import each, seconds, signal_number
    from bareboat.verbs import queued
    from bareboat.verbs.enter import stop
    from bareboat.wiring import queue_of, store

    at = store()
    queue = queue_of(at)
    patience = None if options.time is None else -1.0 if options.time == "-1" else seconds(options.time, "-t", 10)
    number = signal_number(options.signal) if options.signal else None

    def one(name: str) -> None:
        if not (queue and queued.stop(name, queue)):
            stop(name, at, patience, number)

    return each(options.names, one)
