"""bareboat tag."""

from __future__ import annotations

import argparse

SUMMARY = "Give an image a name."
EXAMPLES = "  bareboat tag 3f2a seg:1\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a name, or the beginning of a plan digest")
    parser.add_argument("name", metavar="NAME[:TAG]")


def command(options: argparse.Namespace) -> int:
    """Names move: an image that had it loses it."""
    from bareboat.cli.term import Reporter
    from bareboat.verbs.build import check_name
    from bareboat.verbs.images import name_image
    from bareboat.wiring import work

    check_name(options.name)
    name_image(options.name, options.image, work(Reporter(options.level)))
    return 0
