"""show --metrics: what runs have written of metrics so far, as a table with a small curve each, as drawings, a PNG, or
for programs.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from bareboat.cli.plain import clip, plain, width
from bareboat.training.series import Series
from bareboat.values import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bareboat.verbs.metrics import Measured

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", ".:-=+*%@"
WIDE = 16  # characters of a curve
NUMBERS = 54  # columns of a table beside the names
DRAWN = 8  # metrics that are drawn at once


def command(options: argparse.Namespace) -> int:
    """What show --metrics prints: a table; of chosen metrics drawings on a terminal, and else CSV."""
    from bareboat.verbs.metrics import measured
    from bareboat.wiring import store

    runs, more = measured(store(), options.run, options.metrics)
    for run in runs:
        for note in run.found.notes:
            sys.stderr.write(plain(f"{run.name}: {note}" if len(runs) > 1 else note) + "\n")
    if more:
        sys.stderr.write(f"{more:,} more runs are left out\n")
    if options.png:
        write_png(runs, options.png)
    if options.json:
        import json

        print(json.dumps([document(run) for run in runs], indent=2))
    elif options.metrics and sys.stdout.isatty():
        _print(drawings(runs, width(), unicode=_speaks("⣿┤")))
    elif options.metrics and not options.png:
        for part in in_csv(runs):
            sys.stdout.write(_told(part))
    elif not options.png:
        _print(tables(runs, width(), BARS if _speaks(BARS) else ASCII_BARS))
    return 0


def _speaks(text: str) -> bool:
    """Whether standard output can be told this."""
    return _told(text) == text


def _told(text: str) -> str:
    """What standard output can be told of it."""
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "replace").decode(encoding)


def _print(lines: Iterable[str]) -> None:
    print("\n".join(_told(clip(line, width())) for line in lines))


# The table


def tables(runs: Sequence[Measured], wide: int, bars: str = BARS) -> Iterator[str]:
    """A row for each metric; of several runs those of one metric below each other. wide: columns that there are."""
    from bareboat.cli.term import table

    if len(runs) == 1:
        yield from table(rows(runs[0].found.series, bars, wide - NUMBERS), right=(1, 2, 3, 4)).splitlines()
        return
    room = max((wide - NUMBERS - 2) // 2, 12)
    found: list[tuple[str, ...]] = []
    for name in names(runs):
        for run in runs:
            for row in rows([series for series in run.found.series if series.name == name], bars, room)[1:]:
                found.append((row[0], elided(plain(run.name), room), *row[1:]))
    yield from table([("METRIC", "RUN", *rows([])[0][1:]), *found], right=(2, 3, 4, 5)).splitlines()


def names(runs: Iterable[Measured]) -> list[str]:
    """The metrics that any of the runs has, in order."""
    return sorted({series.name for run in runs for series in run.found.series})


def rows(metrics: Iterable[Series], bars: str = BARS, room: int = 26) -> list[tuple[str, ...]]:
    """A row for each metric: its name in so many characters, the last value, the least and the most, how many, and how
    it went.
    """
    found: list[tuple[str, ...]] = [("METRIC", "LAST", "LEAST", "MOST", "VALUES", "CURVE")]
    for series in metrics:
        if series.values:
            name = elided(plain(series.name), room)
            found.append((name, *summary(series), str(series.count), curve(series.values, bars=bars)))
    return found


def elided(text: str, room: int) -> str:
    """A name in so many characters, most of which are of its end: there is what tells metrics apart."""
    return text if len(text) <= room else f"{text[:room // 3]}…{text[len(text) - (room - room // 3 - 1):]}"


def summary(series: Series) -> tuple[str, str, str]:
    """The last value, the least and the most."""
    known = [value for value in series.values if math.isfinite(value)]
    return (f"{series.values[-1]:.5g}", *((f"{min(known):.5g}", f"{max(known):.5g}") if known else ("", "")))


def curve(values: Sequence[float], wide: int = WIDE, bars: str = BARS) -> str:
    """Values from left to right, several of them in one character where there are many (their mean); a space where
    there is no number.
    """
    count = min(len(values), wide)
    means = []
    for number in range(count):
        part = values[number * len(values) // count:(number + 1) * len(values) // count]
        known = [value for value in part if math.isfinite(value)]
        means.append(math.fsum(value / len(known) for value in known) if known else math.nan)
    known = [value for value in means if math.isfinite(value)]
    if not known:
        return " " * count
    low, high = min(known), max(known)
    scale = (len(bars) - 1) / (high - low) if high > low and math.isfinite(high - low) else 0.0
    return "".join(" " if math.isnan(mean) else bars[round((mean - low) * scale)] if scale else bars[3]
                   for mean in means)


# Drawings


def panels(runs: Sequence[Measured]) -> list[tuple[str, list[tuple[Measured, Series]]]]:
    """Each metric with the runs that have it. Of more than DRAWN the first ones, which is told."""
    of = {name: [(run, series) for run in runs for series in run.found.series if series.name == name]
          for name in names(runs)}
    if len(of) > DRAWN:
        sys.stderr.write(f"{len(of) - DRAWN:,} more metrics are not drawn: name those that you mean\n")
    return list(of.items())[:DRAWN]


def label(run: Measured) -> str:
    """A run in a legend."""
    return plain(" ".join([run.name, *(f"{name}={value}" for name, value in run.parameters)]))


def drawings(runs: Sequence[Measured], wide: int, *, unicode: bool) -> Iterator[str]:
    """Each metric with its axes, on a line of its own what it is."""
    from bareboat.cli.plot import MARKS, plot
    from bareboat.cli.term import table

    for number, (name, of) in enumerate(panels(runs)):
        if number:
            yield ""
        last, least, most = summary(of[0][1])
        yield plain(name) + (f": last {last}, least {least}, most {most}" if len(of) == 1 else "")
        yield from plot([series for _, series in of], wide, unicode=unicode) or ["no numbers"]
        if len(of) > 1:
            told: list[tuple[str, ...]] = [("", "RUN", "LAST", "LEAST", "MOST")]
            told += [(MARKS[at % len(MARKS)], label(run), *summary(series)) for at, (run, series) in enumerate(of)]
            yield from table(told, right=(2, 3, 4)).splitlines()


def write_png(runs: Sequence[Measured], path: str) -> None:
    """A picture of all metrics. What is there is replaced in one step. Raises UsageError "metrics.folder"."""
    from pathlib import Path

    from bareboat.cli.picture import picture
    from bareboat.errors import UsageError
    from bareboat.host.files import replace_file

    target = Path(path)
    if target.is_dir() or path.endswith("/"):
        raise UsageError("metrics.folder", "is a directory", where=path, hint="name a file: --png loss.png")
    if not target.parent.is_dir():
        raise UsageError("metrics.folder", "there is no such directory", where=str(target.parent),
                         hint="make it first, or write elsewhere")
    data = picture([(plain(name), [(label(run), series) for run, series in of]) for name, of in panels(runs)])
    if os.path.lexists(target) and target.exists() and not target.is_file():
        target.write_bytes(data)  # a device or a pipe is written to, never replaced
    else:
        replace_file(target, data)


# For programs


def in_csv(runs: Iterable[Measured]) -> Iterator[str]:
    """A row for each value."""
    import csv
    import io

    yield "run,metric,step,value\n"
    for run in runs:
        for series in run.found.series:
            out = io.StringIO(newline="")
            writer = csv.writer(out, lineterminator="\n")
            writer.writerows((plain(run.name), plain(series.name), _step(step), repr(value))
                             for step, value in zip(series.steps, series.values, strict=True))
            yield out.getvalue()


def document(run: Measured) -> dict[str, Any]:
    """A run's metrics; what is no number is null, as JSON has none. count: how many values there were, of which these
    are a part that keeps the extremes.
    """
    return {"id": run.run, "name": run.name, "parameters": dict(run.parameters), "notes": list(run.found.notes),
            "metrics": {series.name: {"axis": series.axis or None, "count": series.count,
                                      "steps": [_step(step) for step in series.steps],
                                      "values": [value if math.isfinite(value) else None for value in series.values]}
                        for series in run.found.series}}


def _step(step: float) -> float | int:
    return int(step) if step.is_integer() and abs(step) < 2**53 else step
