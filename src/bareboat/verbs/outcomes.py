"""How the points of a sweep went: states, parameters, and what they wrote of metrics."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path

from bareboat.errors import UsageError
from bareboat.queue.base import Entry, Ledger
from bareboat.record.states import STATES, final
from bareboat.training.series import Found
from bareboat.training.values import Point
from bareboat.values import dataclass, replace

Metrics = Callable[[Path], Found]  # of a results folder
RISING = frozenset((
    "acc", "accuracy", "auc", "auroc", "bleu", "dice", "f1", "iou", "map", "miou", "precision", "psnr", "r2", "recall",
    "rouge", "score", "ssim", "top1", "top5",
))


@dataclass(frozen=True)
class Outcome:
    """How a point of a sweep went, as far as it has. seconds: that its last attempt took, or takes so far; metrics:
    (name, last, best) where they were read (measured).
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


def measured(points: Sequence[Outcome], metrics: Metrics) -> list[Outcome]:
    """The points with what they have written of metrics; what cannot be read is left out."""
    found = []
    for point in points:
        told = []
        for series in metrics(Path(point.results)).series if point.attempt and point.results else ():
            finite = [value for value in series.values if isfinite(value)]
            if finite:
                best = max(finite) if rises(series.name) else min(finite)
                told.append((series.name, series.values[-1], best))
        found.append(replace(point, metrics=tuple(told)))
    return found


def rises(name: str) -> bool:
    """Whether more is better of a metric, as far as its name tells: accuracies and scores; of all else less is."""
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    return any(word in RISING or word.startswith(("acc", "reward", "return")) for word in words)


def ranked(points: Sequence[Outcome], key: str) -> list[Outcome]:
    """The points by a metric, the best first, or by a parameter; "NAME:min" and "NAME:max" say which is best. Points
    without it come last. Raises UsageError "sweep.sort" where no point has it.
    """
    name, colon, which = key.rpartition(":")
    name, which = (name, which) if colon and which in ("min", "max") else (key, "")
    of_metric = {p.run: best for p in points for metric, _, best in p.metrics if metric == name}
    values: dict[str, float | str] = dict(of_metric)
    if not values:
        given = {p.run: dict(p.parameters)[name] for p in points if name in dict(p.parameters)}
        values = dict(_numbers(given) or given)
    if not values:
        parameters = (name for p in points for name, _ in p.parameters)
        known = dict.fromkeys([*(told[0] for p in points for told in p.metrics), *parameters])
        raise UsageError("sweep.sort", f"no point has {name!r}", where="--sort",
                         hint=f"there is: {', '.join(known)}" if known else "no metric was found in the results")
    down = which == "max" or (not which and bool(of_metric) and rises(name))
    first = sorted((p for p in points if p.run in values), key=lambda p: values[p.run], reverse=down)
    return [*first, *(p for p in points if p.run not in values)]


def _numbers(texts: Mapping[str, str]) -> dict[str, float]:
    """All of them as numbers; {} where one is none."""
    try:
        return {key: float(text) for key, text in texts.items()}
    except ValueError:
        return {}


def _outcome(point: Point, entry: Entry, now: float) -> Outcome:
    end = entry.ended if final(entry.state) else now if entry.state == "running" else entry.started
    seconds = max(end - entry.started, 0.0) if entry.started else 0.0
    return Outcome(point.run, point.name, point.index, entry.state, entry.reason, entry.exit_code, entry.attempt,
                   seconds, point.parameters, results=point.results)
