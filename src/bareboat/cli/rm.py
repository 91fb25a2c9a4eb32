"""bareboat rm."""

from __future__ import annotations

import argparse

SUMMARY = "Remove containers from the list; the records, logs and results of their runs stay."
EXAMPLES = """\
  bareboat rm sweep
  bareboat rm -f sweep           also one that runs: it is killed
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="names, ids, or the beginnings of ids")
    parser.add_argument("-f", "--force", action="store_true", help="kill those that run")
    parser.add_argument("-v", "--volumes", action="store_true",
                        help="accepted as Docker's: volumes without a name never outlive their container")


def parse(words: list[str]) -> argparse.Namespace:
    """-v is Docker's here."""
    from bareboat.cli.dispatch import parser_of

    known = {"-v": "--volumes", "-fv": "-f", "-vf": "-f"}
    parsed: argparse.Namespace = parser_of("rm").parse_args([known.get(word, word) for word in words])
    return parsed


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.life import each
    from bareboat.verbs import queued
    from bareboat.verbs.enter import remove
    from bareboat.wiring import queue_of, store

    at = store()
    queue = queue_of(at)

    def one(name: str) -> None:
        if not (queue and queued.remove(name, queue, at, force=options.force)):
            remove(name, at, force=options.force)

    return each(options.names, one)
