"""bareboat rerun."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.cli.plain import plain, replay
from bareboat.cli.term import Reporter, style
from bareboat.cli.verdict import COLOURS, add_tolerance, tolerance, verdict_document, verdict_lines
from bareboat.errors import BAREBOAT_FAILED, ProgramError

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work
    from bareboat.verbs.rerun import RerunRequest

SUMMARY = "Repeat a run from its record and say whether it gave the same."
EXAMPLES = """\
  bareboat rerun 3f9a1c
  bareboat rerun last --in /tmp/again --rtol 1e-3
  bareboat rerun ghcr.io/lab/seg:paper --data /mnt/copy/of/data
  bareboat rerun run.tar                       from a file of `bareboat save --run`
  bareboat rerun --all ghcr.io/lab/a:paper ghcr.io/lab/b:paper run.tar --html review.html
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which run, and where to."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help='id or its beginning, a name, "last"; or a reference, a '
                        "layout (oci:DIR) or a file that holds a run")
    parser.add_argument("--all", action="store_true", help="several runs, one after the other, and a table of verdicts")
    parser.add_argument("--html", metavar="FILE", help="with --all: the review as a page")
    parser.add_argument("--in", dest="into", metavar="DIR", help="put results/ into this folder (./rerun-ID)")
    parser.add_argument("--data", metavar="DIR", help="take the data from here")
    parser.add_argument("-v", "--volume", action="append", default=[], metavar="DIR:TARGET",
                        help="a folder of this machine, read-only, where a run from elsewhere had one of its machine")
    parser.add_argument("--other-data", action="store_true",
                        help="go on though the data are not those of a run from elsewhere; the verdict names them")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME[=VALUE]",
                        help="a variable that the record withholds; all that are set here, if it is this machine's")
    parser.add_argument(
        "--network",
        choices=("host", "none"),
        default="",
        help="as recorded; none for the record of another machine",
    )
    parser.add_argument("-g", "--gpus", metavar="GPUS", help="all, a number, 0.5, device=0,1 or none; without it as "
                        "many as recorded, and none for the record of another machine")
    add_tolerance(parser)
    parser.add_argument(
        "--offline", action="store_true", default=None, help="use only what is on this machine"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="the verdict for programs, on standard output; "
        "the program's own output is then in the log alone",
    )


def command(options: argparse.Namespace) -> int:
    """0 identical or within tolerance, 1 differs, 125 it could not be repeated."""
    from bareboat.verbs.rerun import RerunRequest
    from bareboat.wiring import work

    if not options.all and (len(options.runs) > 1 or options.html):
        from bareboat.errors import UsageError

        raise UsageError("usage.all", "several runs, or a page of them, are a review", hint="add --all")
    request = RerunRequest(
        run=options.runs[0],
        into=Path(options.into).absolute() if options.into else None,
        data=Path(options.data).absolute() if options.data else None,
        volumes=_volumes(options.volume),
        other_data=options.other_data,
        network=options.network,
        gpus=options.gpus,
        tolerance=tolerance(options),
        quiet=options.json,
        harmless=replay,
        env=_env(options.env) if options.env else None,
    )
    collaborators = work(Reporter(options.level), offline=options.offline)
    return _review(request, options, collaborators) if options.all else _one(request, options, collaborators)


def _one(request: RerunRequest, options: argparse.Namespace, work: Work) -> int:
    from bareboat.verbs.rerun import rerun

    try:
        done = rerun(request, work)
    except ProgramError as error:
        error.exit_code = BAREBOAT_FAILED  # 126 and 127 are what a program of run may be; here they are no verdict
        raise
    if options.json:
        print(
            json.dumps(
                {
                    "old": done.old.id,
                    "new": done.new.id,
                    "folder": str(done.folder),
                    "exit_code": done.new.exit_code,
                    **verdict_document(done.verdict),
                },
                indent=2,
            )
        )
    else:
        sys.stdout.flush()
        for line in verdict_lines(done.verdict):
            print(line)
        print(
            f"{style(done.verdict.verdict, COLOURS[done.verdict.verdict], 1)}: run {done.new.id} "
            f"repeats {done.old.id}; its results: {plain(str(done.folder))}/results"
        )
    return 0 if done.verdict.same else 1


def _review(request: RerunRequest, options: argparse.Namespace, work: Work) -> int:
    """The table or the document on standard output, the page in its file, which is tried before the long work."""
    import time

    from bareboat import __version__
    from bareboat.cli.review import document, page, summary, table_of
    from bareboat.record.values import timestamp
    from bareboat.verbs.review import review

    with open(options.html, "w", encoding="utf-8") if options.html else nullcontext() as file:
        found = review(options.runs, request, work)
        if file is not None:
            file.write(page(found, timestamp(time.time()), __version__))
    if options.json:
        print(json.dumps(document(found), indent=2))
    else:
        print(table_of(found))
        print(summary(found))
    return found.exit_code


def _volumes(words: list[str]) -> tuple[tuple[str, Path], ...]:
    """DIR:TARGET, as run -v has it; a mode is accepted and always ro. Raises UsageError "usage.mount"."""
    from bareboat.errors import UsageError

    found = []
    for word in words:
        source, colon, target = word.removesuffix(":ro").rpartition(":")
        if not colon or not source or not target.startswith("/") or not Path(source).exists():
            raise UsageError("usage.mount", f"{word!r} does not say which folder is to be where", where="-v",
                             hint="write -v DIR:TARGET, a folder that exists and an absolute path inside")
        found.append((target, Path(source).absolute()))
    return tuple(found)


def _env(words: list[str]) -> dict[str, str]:
    import os

    pairs = [word.partition("=") for word in words]
    return {name: value if equals else os.environ[name] for name, equals, value in pairs
            if equals or name in os.environ}
