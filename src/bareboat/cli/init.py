"""bareboat init."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bareboat.cli.term import Reporter, table

SUMMARY = "Write a commented bareboat.toml that says what convention already gave."
EXAMPLES = "  bareboat init\n  bareboat init --print\n  bareboat init --force ../other\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", default=".", metavar="DIR", help="the project's folder (this one)"
    )
    parser.add_argument("--force", action="store_true", help="replace a bareboat.toml that is there")
    parser.add_argument("--print", dest="show", action="store_true", help="show the text, write nothing")


def command(options: argparse.Namespace) -> int:
    """0 when the file was written, or shown."""
    from bareboat.verbs.init import init, text, understand

    folder, say = Path(options.folder), Reporter(options.level)
    if options.show:
        sys.stdout.write(text(understand(folder)))
        return 0
    path, found = init(folder, force=options.force)
    for row in table([(line.key, line.value, line.source) for line in found.lines]).splitlines():
        say.say(row)
    for note in found.notes:
        say.say(f"note: {note}")
    say.say(f"wrote {path}; next: bareboat run -- python …")
    return 0
