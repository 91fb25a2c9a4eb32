"""bareboat config."""

from __future__ import annotations

import argparse
import json
import os
import sys

from bareboat.cli.term import table

SUMMARY = "Every setting, its value, and where it came from; fixed: only the administrator may change it."
EXAMPLES = "  bareboat config\n  bareboat config --json\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """Print the table of settings."""
    from bareboat.wiring import settings

    found = settings()
    for note in found.notes:
        sys.stderr.write(f"bareboat: {note}\n")
    rows = found.table()
    if options.json:
        print(json.dumps([{"name": n, "value": v, "source": s, "fixed": n in found.fixed} for n, v, s in rows],
                         indent=2, default=os.fspath))
    else:
        print(table([(name, _shown(value), source + (" (fixed)" if name in found.fixed else ""))
                     for name, value, source in rows]))
    return 0


def _shown(value: object) -> str:
    """A value as a cell: lists and tables with blanks between, as their variables are written."""
    if isinstance(value, tuple):
        return " ".join("=".join(item) if isinstance(item, tuple) else str(item) for item in value) or "-"
    return "-" if value is None else str(value)
