"""Sweeps on the command line: their options, and the table of how their points went."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from math import isfinite

from bareboat.cli.plain import clip, plain, took, width
from bareboat.errors import UsageError
from bareboat.values import TYPE_CHECKING, Any, replace

if TYPE_CHECKING:
    from pathlib import Path

    from bareboat.training.series import Found
    from bareboat.training.sweep import Sweep
    from bareboat.verbs.outcomes import Metrics, Outcome, Outcomes
    from bareboat.verbs.prepare import RunRequest
    from bareboat.verbs.sweep import Spread

WHOLE = 40  # points that are shown without being asked for
FIRST, WRONG, RUNNING = 10, 15, 5  # of a larger sweep: the first, and those that failed or run
BEST, METRICS = 20, 4  # of a larger sweep that is sorted; columns of metrics
CELL = 14  # characters of a value in the table


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of train."""
    add = parser.add_argument
    add("--sweep", action="append", metavar="NAME=VALUES", help="a run for each value, put in place of {NAME}: "
        "lr=0.1,0.01 or seed=1..5; several are a grid")
    add("--sweep-file", metavar="FILE", help="a run for each row of a CSV, JSON lines or TOML file")
    add("--again", metavar="SWEEP", help="a run for each point of that sweep which failed, with today's code")
    add("--max-parallel", type=int, metavar="N", help="at most so many of a sweep at once")


def spread_of(options: argparse.Namespace, run: RunRequest) -> tuple[RunRequest, Spread | None]:
    """The run and what it is spread to; a sweep without a name is given one. Raises UsageError."""
    if not options.sweep and options.sweep_file is None and options.again is None:
        if options.max_parallel is not None:
            raise UsageError("usage.max-parallel", "it is for the runs of a sweep", where="--max-parallel",
                             hint="--sweep seed=1..5")
        return run, None
    if options.max_parallel is not None and options.max_parallel < 1:
        raise UsageError("usage.number", f"{options.max_parallel} is less than 1", where="--max-parallel")
    from bareboat.verbs.sweep import spread

    sweep, name = _points(options)
    if (count := sweep.doubles()) and options.level != 0:
        sys.stderr.write(f"{count} of {len(sweep.rows)} points {'is' if count == 1 else 'are'} the same as one before; "
                         "each is a run of its own\n")
    if not run.name:
        import os

        run = replace(run, name=name or f"sweep-{os.urandom(2).hex()}")
    return run, spread(sweep, run.env)


def _points(options: argparse.Namespace) -> tuple[Sweep, str]:
    """What is swept, and a name for it where that is known."""
    from pathlib import Path

    from bareboat.verbs.sweep import failed_of, meant, swept

    if options.again is None:
        return swept(options.sweep or (), Path(options.sweep_file) if options.sweep_file is not None else None), ""
    if options.sweep or options.sweep_file is not None:
        raise UsageError("usage.again", "the points are those that failed: say no others", where="--again")
    from bareboat.verbs.queued import ledger_of, ledger_unknown
    from bareboat.wiring import store

    with ledger_of(store()) as ledger:
        if ledger is None:
            raise ledger_unknown(options.again)
        id = meant(ledger, options.again)
        name = ledger.submission(id).name
        return failed_of(id, ledger), f"{name}-again" if name else ""


# The table


def report(found: Outcomes, options: argparse.Namespace, metrics: Metrics | None = None) -> str:
    """What is printed of a sweep: its summary, and a table of all points or of those that matter. Metrics are read of
    those alone, unless all are sorted by one.
    """
    from bareboat.verbs.outcomes import measured, ranked

    def read(points: Sequence[Outcome]) -> Sequence[Outcome]:
        if metrics is None:
            return points
        partly: list[str] = []

        def noted(folder: Path) -> Found:
            found = metrics(folder)
            partly.extend([folder.name] if found.notes else [])
            return found

        told = measured(points, noted)
        if partly:
            sys.stderr.write(f"of {len(partly):,} runs not all was read that they measured; which: bareboat show "
                             f"{plain(partly[0])} --metrics\n")
        return told

    points = read(found.points) if options.sort or options.json or options.csv else found.points
    if options.sort:
        points = ranked(points, options.sort)
    if options.json:
        import json

        return json.dumps(document(replace(found, points=tuple(points))), indent=2)
    if options.csv:
        return in_csv(replace(found, points=tuple(points)))
    lines = [*summary(found)]
    whole = options.all or len(points) <= WHOLE
    chosen = points if whole else points[:BEST] if options.sort else choose(points)
    chosen = chosen if options.sort else read(chosen)
    if chosen:
        from bareboat.cli.term import table

        lines += ["", *table(list(rows(found, chosen)), right=(2,)).splitlines()]
    left = len(points) - len(chosen)
    if left:
        lines.append(f"and {left:,} more: --all, --json or --csv")
    return "\n".join(clip(line, width()) for line in lines)


def summary(found: Outcomes) -> Iterator[str]:
    """How many of each state, and what all points have in common."""
    states = ", ".join(f"{count:,} {state}" for state, count in found.counts)
    yield f"{plain(found.name or found.id)}: {len(found.points):,} runs: {states}"
    if found.same:
        yield "all with " + plain(", ".join(f"{name}={value}" for name, value in found.same))
    failed = next((point for point in found.points if point.state == "failed"), None)
    if failed is not None:
        yield f"the failed ones again: bareboat resume {plain(found.name or found.id)} --failed"


def choose(points: Sequence[Outcome]) -> list[Outcome]:
    """Of a large sweep, in order: the first ones, the first that failed, the first that run."""
    wrong = [point for point in points if point.state == "failed"][:WRONG]
    running = [point for point in points if point.state == "running"][:RUNNING]
    kept = {point.run for point in (*points[:FIRST], *wrong, *running)}
    return [point for point in points if point.run in kept]


def rows(found: Outcomes, points: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    """The table: name, state, duration, the parameters that differ, metrics, and why."""
    metrics = list(dict.fromkeys(name for point in points for name, *_ in point.metrics))[:METRICS]
    yield "RUN", "STATE", "TOOK", *found.varied, *metrics, "WHY"
    for point in points:
        given, told = dict(point.parameters), {name: last for name, last, _ in point.metrics}
        state = point.state + (f" {point.exit_code}" if point.state == "failed" and point.exit_code is not None else "")
        # the exit code and success say themselves
        why = "" if point.state == "succeeded" or point.reason == f"exit {point.exit_code}" else point.reason
        yield (point.name or point.run[:12], state, took(point.seconds) if point.attempt else "",
               *(clip(plain(given.get(name, "")), CELL) for name in found.varied),
               *(number(told.get(name)) for name in metrics), why)


def number(value: float | None) -> str:
    """A metric in a cell."""
    return "" if value is None else f"{value:.5g}"


def document(found: Outcomes) -> dict[str, Any]:
    """A sweep for programs."""
    return {"id": found.id, "name": found.name, "created": found.created, "states": dict(found.counts),
            "runs": [{"id": p.run, "name": p.name, "index": p.index, "state": p.state, "reason": p.reason,
                      "exit_code": p.exit_code, "attempt": p.attempt, "seconds": round(p.seconds, 3),
                      "parameters": dict(p.parameters),
                      "metrics": {name: {"last": last if isfinite(last) else None, "best": best}
                                  for name, last, best in p.metrics},
                      "results": p.results} for p in found.points]}


def in_csv(found: Outcomes) -> str:
    """A row for each point, every parameter in a column of its name."""
    import csv
    import io

    names = list(dict.fromkeys(name for point in found.points for name, _ in point.parameters))
    metrics = list(dict.fromkeys(name for point in found.points for name, *_ in point.metrics))
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "id", *names, "state", "exit_code", "seconds", *metrics, "reason"])
    for p in found.points:
        given, told = dict(p.parameters), {name: last for name, last, _ in p.metrics}
        writer.writerow([p.name, p.run, *(given.get(name, "") for name in names), p.state,
                         "" if p.exit_code is None else p.exit_code, f"{p.seconds:.3f}" if p.attempt else "",
                         *(told.get(name, "") for name in metrics), p.reason])
    return out.getvalue().rstrip("\n")
