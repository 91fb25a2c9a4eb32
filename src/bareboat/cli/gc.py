"""bareboat gc."""

from __future__ import annotations

import argparse
import sys

from bareboat.errors import UsageError

SUMMARY = "Free what was not used for a while; what is running, named, or pinned by a record stays."
EXAMPLES = "  bareboat gc --dry-run\n  bareboat gc --older-than 7d --keep 5\n"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--older-than", metavar="AGE", default="30d", help="as 12h, 30d (the default), 4w, or 0")
    parser.add_argument("--keep", type=int, default=0, metavar="N", help="the N images last used stay in any case")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """A line of what was freed; with -v a line for each thing."""
    from bareboat.cli.term import Reporter, size
    from bareboat.store.gc import GRACE, Policy
    from bareboat.wiring import work

    age = seconds(options.older_than)
    policy = Policy(older_than=age, keep=options.keep, dry_run=options.dry_run)
    at_work = work(Reporter(options.level))
    report = at_work.store.gc(policy)
    if not policy.dry_run:
        from bareboat.verbs.queued import tidied

        tidied(at_work)
    if options.json:
        import json

        removed = [{"kind": r.kind, "key": r.key, "bytes": r.bytes} for r in report.removed]
        print(json.dumps({"dry_run": report.dry_run, "bytes": report.bytes, "kept": report.kept, "removed": removed},
                         indent=2))
        return 0
    if (options.level or 1) > 1 or options.dry_run:
        for item in report.removed:
            print(f"{size(item.bytes):>9}  {item.kind:8} {item.key}")
    if age < GRACE:
        print(f"what was used within the last {GRACE / 60:.0f} minutes stays in any case", file=sys.stderr)
    print(f"{'would free' if report.dry_run else 'freed'} {size(report.bytes)}: {len(report.removed)} things; "
          f"{report.kept} stay")
    return 0


def seconds(text: str) -> float:
    """An age: a number and s, m, h, d or w; a bare number is days. Raises UsageError."""
    number, unit = (text[:-1], UNITS[text[-1]]) if text and text[-1] in UNITS else (text, UNITS["d"])
    try:
        value = float(number) * unit
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e10:
        raise UsageError("usage.age", f"{text!r} is no age", where="--older-than", hint="write it as 12h, 30d or 4w")
    return value
