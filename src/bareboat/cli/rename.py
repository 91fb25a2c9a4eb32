"""bareboat rename."""

from __future__ import annotations

import argparse

SUMMARY = "Give a container another name."
EXAMPLES = """\
  bareboat rename sweep sweep-old
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Both names."""
    parser.add_argument("name", metavar="NAME", help="a name, an id, or the beginning of one")
    parser.add_argument("new", metavar="NEW", help="letters, digits, _ . -")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.verbs.enter import rename
    from bareboat.wiring import store

    rename(options.name, options.new, store())
    return 0
