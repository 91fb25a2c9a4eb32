"""bareboat images."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict

SUMMARY = "List the images of this store."
EXAMPLES = "  bareboat images\n  bareboat images --json\n"
_NAME = 20  # characters of a name that leave room for the rest in 80 columns
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


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
    rows: list[tuple[str, ...]] = [("NAME", "PLAN", "PLATFORM", "PYTHON", "PACKAGES", "BASE")]
    for i in found:
        *above, last = names_of(i.names)
        rows += [(name, "", "", "", "", "") for name in above]
        known = i.python or i.packages  # of an image that others made nothing is said here
        rows.append((last, i.plan.removeprefix("sha256:")[:12], i.platform, i.python, str(i.packages) if known else "",
                     _DIGEST.sub(r"\1", i.base)))
    print(_narrow(table([(r[0] if len(r[0]) <= _NAME else "", *r[1:]) for r in rows], right=(4,)), rows))
    return 0


def names_of(names: tuple[str, ...]) -> list[str]:
    """The lines that an image's names take: one where they fit beside the rest; a long name has a line of its own,
    whole, since it is there to be copied.
    """
    together = ", ".join(names) or "-"
    if len(together) <= _NAME:
        return [together]
    return [*names, ""] if len(names[-1]) > _NAME else list(names)


def _narrow(text: str, rows: list[tuple[str, ...]]) -> str:
    """The table with the long names in their lines; bases cut at a terminal's width, and whole in a file."""
    import sys

    from bareboat.cli.plain import clip, plain, width

    lines = text.splitlines()
    most = width() if sys.stdout.isatty() else 10_000
    return "\n".join(plain(row[0]) if len(row[0]) > _NAME else clip(line, most)
                     for line, row in zip(lines, rows, strict=True))
