"""bareboat check."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

SUMMARY = "Compare everything in the store with what was written: blobs, trees, records."
EXAMPLES = "  bareboat check\n  bareboat check --repair     take damaged things away, to be made again\n"


def configure(parser: argparse.ArgumentParser) -> None:
    """How deep, and what then."""
    parser.add_argument("--repair", action="store_true", help="take away what can be made or fetched again")
    parser.add_argument("--quick", action="store_true", help="kinds, modes and sizes only: no file is read")
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """0 when nothing is damaged any more, 1 when something is."""
    from bareboat.cli.term import table
    from bareboat.wiring import store

    report = store().check(repair=options.repair, content=not options.quick)
    if options.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        rows = [(d.kind, d.key[:60], d.what, "taken away" if d.repaired else "") for d in report.damaged]
        if rows:
            print(table([("KIND", "KEY", "WHAT", ""), *rows]))
        seen = ', '.join(f'{count} {kind}s' for kind, count in report.checked if count)
        print(f"checked {seen or 'an empty store'}: {len(rows)} damaged")
    return 1 if any(not d.repaired for d in report.damaged) else 0
