"""Rows of the ledger's file and the values they stand for. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bareboat.queue.base import Added, Entry
from bareboat.training.values import Point
from bareboat.values import Any

COLUMNS = ("run", "submission", "name", "idx", "state", "priority", "created", "scheduler", "point")
FINAL = "'succeeded','failed','cancelled'"


def as_row(submission: Added, point: Point) -> tuple[Any, ...]:
    """What is inserted for a point of a new submission."""
    s = submission
    return (point.run, s.id, point.name, point.index, "pending", s.priority, s.created, s.scheduler, _packed(point))


def as_entry(row: Sequence[Any]) -> Entry:
    """A row of Entry's fields, in their order."""
    return Entry(*row)


def as_point(row: Sequence[Any]) -> Point:
    """A row of run, name, idx and point."""
    run, name, index, packed = row
    argv, parameters, env, results = json.loads(packed)
    return Point(run, name, index, tuple(argv), tuple((k, v) for k, v in parameters), tuple((k, v) for k, v in env),
                 results)


def as_added(row: Sequence[Any], points: Sequence[Sequence[Any]]) -> Added:
    """A row of id, template, scheduler, priority, created and name, and those of its points."""
    id, template, scheduler, priority, created, name = row
    return Added(id, bytes(template), tuple(map(as_point, points)), scheduler, priority, created, name)


def _packed(point: Point) -> str:
    """ASCII, so that arguments and paths which are no UTF-8 survive."""
    return json.dumps([point.argv, point.parameters, point.env, point.results], separators=(",", ":"))
