"""bareboat images."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

SUMMARY = "List the images of this store."
EXAMPLES = "  bareboat images\n  bareboat images --json\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """One line an image."""
    from bareboat.cli.term import Reporter, table
    from bareboat.verbs.images import images
    from bareboat.wiring import work

    found = images(work(Reporter(options.level)))
    if options.json:
        print(json.dumps([asdict(i) for i in found], indent=2))
        return 0
    rows: list[tuple[str, ...]] = [("NAME", "PLAN", "PLATFORM", "BASE", "PYTHON", "PACKAGES")]
    rows += [(", ".join(i.names) or "-", i.plan.removeprefix("sha256:")[:12], i.platform, i.base, i.python,
              str(i.packages)) for i in found]
    print(table(rows, right=(5,)))
    return 0
