"""Sweeps: from what was asked to the points that are sent, and how each of them went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, product
from math import prod
from pathlib import Path

from bareboat.errors import UsageError
from bareboat.queue.base import Entry, Ledger
from bareboat.record.states import STATES, final
from bareboat.training.sweep import POINTS_MOST, Sweep, check_names, grid, too_many, whole
from bareboat.training.sweep_command import check_fits, points
from bareboat.training.values import Point
from bareboat.values import dataclass

Spread = Callable[[Point], tuple[Point, ...]]
Metrics = Callable[[Path], Mapping[str, Sequence[float]]]  # of a results folder: name → values, in their order


@dataclass(frozen=True)
class Outcome:
    """How a point of a sweep went, as far as it has. seconds: that its last attempt took, or takes so far; metrics:
    (name, last, best) of those that were asked for, best being the lowest.
    """

    run: str
    name: str
    index: int
    state: str
    reason: str = ""
    exit_code: int | None = None
    attempt: int = 0
    seconds: float = 0.0
    parameters: tuple[tuple[str, str], ...] = ()
    metrics: tuple[tuple[str, float, float], ...] = ()
    results: str = ""


@dataclass(frozen=True)
class Outcomes:
    """A sweep. counts: runs of each state that any has, in the order of STATES; varied: the parameters with more than
    one value; same: those that have one, with it.
    """

    id: str
    name: str
    created: float
    counts: tuple[tuple[str, int], ...]
    varied: tuple[str, ...]
    same: tuple[tuple[str, str], ...]
    points: tuple[Outcome, ...]

    @property
    def total(self) -> int:
        return len(self.points)


def swept(words: Sequence[str], file: Path | None = None) -> Sweep:
    """What --sweep and --sweep-file say. Raises UsageError "sweep.…"."""
    if file is None:
        return grid(words)
    from bareboat.training.sweep_file import LARGEST, from_file

    try:
        with open(file, "rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise UsageError("sweep.file-unreadable", f"cannot be read: {error.strerror}", where=str(file)) from None
    return grid(words, from_file(content, str(file)))


def given(values: Mapping[str, Iterable[object]] | Sequence[Mapping[str, object]]) -> Sweep:
    """A grid of values by name, or points, as Python has them: text as it is, True and False as true and false, the
    rest by str(). Raises UsageError "sweep.…".
    """
    if isinstance(values, Mapping):
        if any(isinstance(listed, (str, bytes)) for listed in values.values()):
            raise UsageError("sweep.values", "the values of a parameter are a list", hint='{"lr": [0.1, 0.01]}')
        names = tuple(values)
        lists = [[_word(value, name) for value in islice(listed, POINTS_MOST + 1)] for name, listed in values.items()]
        count = prod(map(len, lists)) if lists else 0
        rows = tuple(product(*lists)) if count <= POINTS_MOST else ()
    else:
        names, count = tuple(values[0]) if values else (), len(values)
        if any(set(point) != set(names) for point in values):
            raise UsageError("sweep.file-row", "every point has the same parameters")
        rows = tuple(tuple(_word(point[name], name) for name in names) for point in values[:POINTS_MOST])
    check_names(names, "sweep")
    if count > POINTS_MOST:
        raise too_many(f"{count:,} points", ", ".join(names))
    if not names or not count:
        raise UsageError("sweep.values", "there is no point in it")
    return Sweep(names, rows)


def _word(value: object, name: str) -> str:
    return whole(("true" if value else "false") if isinstance(value, bool) else str(value), name)


def spread(sweep: Sweep, env: Sequence[str] = ()) -> Spread:
    """From the run that was asked for to a point for each row. env: NAME=VALUE, as -e gave them. Raises UsageError
    "sweep.name" where the names of points would be too long.
    """
    given = tuple((name, value) for name, equals, value in (word.partition("=") for word in env) if equals)

    def spread_out(single: Point) -> tuple[Point, ...]:
        check_fits(single.name, len(sweep.rows))
        return points(sweep, single, given)

    return spread_out


def sweep_of(ledger: Ledger, text: str) -> str:
    """The id of the sweep that a word means, by name or id; "" where it means none. A submission of one run is none."""
    id = ledger.called(text)
    return id if id and sum(ledger.counts(id).values()) > 1 else ""


def meant(ledger: Ledger, text: str) -> str:
    """As sweep_of. Raises QueueError "queue.unknown", UsageError "queue.no-sweep" for what is one run."""
    id = sweep_of(ledger, text)
    if not id:
        name = ledger.find(text).name or text  # or that there is no such run
        raise UsageError("queue.no-sweep", f"{text} is one run, and no sweep", hint=f"bareboat show {name}")
    return id


def outcomes(id: str, ledger: Ledger) -> Outcomes:
    """A sweep by its id. Raises QueueError "queue.unknown"."""
    now = time.time()
    added = ledger.submission(id)
    entries = {entry.run: entry for entry in ledger.entries(submission=id)}
    found = tuple(_outcome(point, entries[point.run], now) for point in added.points if point.run in entries)
    values: dict[str, set[str]] = {}
    for point in found:
        for name, value in point.parameters:
            values.setdefault(name, set()).add(value)
    counted: dict[str, int] = {}
    for point in found:
        counted[point.state] = counted.get(point.state, 0) + 1
    counts = tuple((state, counted[state]) for state in STATES if state in counted)
    return Outcomes(id, added.name, added.created, counts,
                    tuple(name for name, seen in values.items() if len(seen) > 1),
                    tuple((name, next(iter(seen))) for name, seen in values.items() if len(seen) == 1), found)


def _outcome(point: Point, entry: Entry, now: float) -> Outcome:
    end = entry.ended if final(entry.state) else now if entry.state == "running" else entry.started
    seconds = max(end - entry.started, 0.0) if entry.started else 0.0
    return Outcome(point.run, point.name, point.index, entry.state, entry.reason, entry.exit_code, entry.attempt,
                   seconds, point.parameters, results=point.results)
