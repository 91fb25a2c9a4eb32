"""bareboat runs."""

from __future__ import annotations

import argparse
import json
import sys

from bareboat.cli.plain import clip, moment, plain, took, width
from bareboat.cli.term import style, table

SUMMARY = "List runs, the newest first."
EXAMPLES = """\
  bareboat runs
  bareboat runs --project iris --state failed
  bareboat runs --limit 0 --json
"""
STATES = ("pending", "running", "succeeded", "failed", "cancelled")
COLOURS = {"succeeded": "green", "failed": "red", "running": "bold"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Filters, and the shape of the output."""
    parser.add_argument("name", nargs="?", default="", help="only runs whose --name contains this")
    parser.add_argument(
        "--project", default="", metavar="NAME", help="only of this project: its name or its folder"
    )
    parser.add_argument("--state", default="", choices=STATES, help="only in this state")
    parser.add_argument("--kind", default="", choices=("run", "session"), help="only programs that were run, or only "
                        "sessions: shell, notebook, ssh")
    parser.add_argument("--forget", default="", metavar="RUN",
                        help="remove a run from elsewhere; gc then frees its image")
    parser.add_argument("-n", "--limit", type=int, default=20, metavar="N", help="at most N; 0: all (20)")
    parser.add_argument("--json", action="store_true", help="the whole records, for programs")


def command(options: argparse.Namespace) -> int:
    """0; 125 when the store cannot be read."""
    from bareboat.verbs.runs import RunFilter, runs, taken_in
    from bareboat.wiring import store

    if options.forget:
        from bareboat.cli.term import Reporter
        from bareboat.verbs.arrivals import forget
        from bareboat.wiring import work

        print(forget(options.forget, work(Reporter(options.level))).id)
        return 0
    which = RunFilter(
        options.project, options.state, options.name, options.limit if options.limit > 0 else None, options.kind
    )
    listed = runs(store(), which)
    if options.json:
        print(json.dumps([record.document() for record in listed.runs], indent=2))
    else:
        rows: list[tuple[str, ...]] = [("RUN", "WHEN (UTC)", "STATE", "EXIT", "TIME", "PROJECT", "FROM", "COMMAND")]
        for r in listed.runs:
            exit_code = "" if r.exit_code is None else str(r.exit_code)
            time = took(r.seconds) if r.ended else ""
            words = plain(" ".join(r.argv))
            rows.append(
                (
                    r.id[:8],
                    moment(r.created)[:16],
                    r.state,
                    exit_code,
                    time,
                    clip(plain(r.project), 12),
                    clip(plain(_short(r.origin)), 14) if taken_in(r) else "",
                    f"{plain(r.name)}: {words}" if r.name else words,
                )
            )
        if not any(map(taken_in, listed.runs)):
            rows = [(*row[:6], *row[7:]) for row in rows]
        if listed.runs:
            print(_coloured(table(rows), rows))
        else:
            sys.stderr.write("no runs yet, or none that fit; start one: bareboat run -- PROGRAM\n")
    if listed.more:
        sys.stderr.write(f"{listed.more} older runs are not shown; --limit 0 shows all\n")
    for line in listed.broken:
        sys.stderr.write(f"{style('cannot be read:', 'red')} {plain(line)}\n")
    return 0


def _short(origin: str) -> str:
    """The last word of where a run came from: a repository's or a file's name."""
    return origin.partition("@")[0].rstrip("/").rpartition("/")[2]


def _coloured(text: str, rows: list[tuple[str, ...]]) -> str:
    """The table within the terminal's width, states in colour; colours after clipping, so that none is cut.
    """
    lines = [clip(line, width()) for line in text.splitlines()]
    for i, row in enumerate(rows):
        colour = COLOURS.get(row[2])
        if colour:
            lines[i] = lines[i].replace(f" {row[2]}", f" {style(row[2], colour, 1)}", 1)
    return "\n".join(lines)
