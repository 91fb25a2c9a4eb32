"""bareboat rmi."""

from __future__ import annotations

import argparse

SUMMARY = "Remove a name, or an image by digest with all its names; `gc` then frees the space."
EXAMPLES = "  bareboat rmi seg:1\n  bareboat rmi 3f2a && bareboat gc --older-than 0\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", nargs="+", metavar="IMAGE")


def command(options: argparse.Namespace) -> int:
    """One line each."""
    from bareboat.cli.term import Reporter
    from bareboat.verbs.images import remove
    from bareboat.wiring import work

    at_work = work(Reporter(options.level))
    for name in options.image:
        print(remove(name, at_work))
    return 0
