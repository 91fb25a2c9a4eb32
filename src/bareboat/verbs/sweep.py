"""Sweeps: from what was asked to the points that are sent, and which sweep a word means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, product
from math import prod
from pathlib import Path

from bareboat.errors import UsageError
from bareboat.queue.base import Ledger
from bareboat.training.sweep import POINTS_MOST, Sweep, check_names, grid, too_many, whole
from bareboat.training.sweep_command import check_fits, points
from bareboat.training.values import Point

Spread = Callable[[Point], tuple[Point, ...]]


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


def failed_of(id: str, ledger: Ledger) -> Sweep:
    """The points of a sweep that failed, to be sent once more. Raises UsageError "sweep.none-failed"."""
    from bareboat.verbs.outcomes import outcomes

    found = outcomes(id, ledger)
    failed = [point for point in found.points if point.state == "failed" and point.parameters]
    if not failed:
        raise UsageError("sweep.none-failed", f"no point of {found.name or id} has failed", where="--again",
                         hint=f"bareboat queue {found.name or id}")
    return Sweep(tuple(name for name, _ in failed[0].parameters),
                 tuple(tuple(value for _, value in point.parameters) for point in failed))


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
