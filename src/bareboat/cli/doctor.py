"""bareboat doctor."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from bareboat.cli.term import Reporter, style

SUMMARY = "Check that this machine can run bareboat; each line is ok or says what to do."
EXAMPLES = "  bareboat doctor\n  bareboat doctor --json\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """0 when the main job can run here, 1 when it cannot."""
    from bareboat.verbs.doctor import checks
    from bareboat.wiring import work

    found = checks(work(Reporter(options.level)))
    if options.json:
        print(json.dumps([asdict(c) for c in found], indent=2))
    else:
        for c in found:
            word, colour = ("ok  ", "green") if c.ok else ("FAIL", "red") if c.fatal else ("note", "yellow")
            mark = style(word, colour, 1)
            print(f"{mark} {c.name:16} {c.detail}")
            if not c.ok and c.remedy:
                print(f"{'':21} → {c.remedy}")
    return 1 if any(c.fatal and not c.ok for c in found) else 0
