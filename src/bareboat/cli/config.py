"""bareboat config."""

from __future__ import annotations

import argparse
import json
import os

from bareboat.cli.term import table

SUMMARY = "Every setting, its value, and where it came from."
EXAMPLES = "  bareboat config\n  bareboat config --json\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """Print the table of settings."""
    from bareboat.wiring import settings

    rows = settings().table()
    if options.json:
        print(json.dumps([{"name": n, "value": v, "source": s} for n, v, s in rows], indent=2, default=os.fspath))
    else:
        print(table([(name, "-" if value is None else str(value), source) for name, value, source in rows]))
    return 0
