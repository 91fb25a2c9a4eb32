"""bareboat share."""

from __future__ import annotations

import argparse

SUMMARY = "Let the other users of this machine use the images of this store where they are, or stop that."
EXAMPLES = ("  BAREBOAT_HOME=/srv/bareboat bareboat pull nvcr.io/nvidia/pytorch:24.01-py3 -t torch\n"
            "  BAREBOAT_HOME=/srv/bareboat bareboat share      then shared-store in /etc/bareboat/settings.toml\n"
            "  BAREBOAT_HOME=/srv/bareboat bareboat share --stop\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stop", action="store_true", help="close the store again; what is mounted stays so")


def command(options: argparse.Namespace) -> int:
    """Nobody can write to it then, and records, names and settings stay the owner's."""
    from bareboat.cli.term import Reporter
    from bareboat.verbs.share import share
    from bareboat.wiring import work

    share(work(Reporter(options.level)), stop=options.stop)
    return 0
