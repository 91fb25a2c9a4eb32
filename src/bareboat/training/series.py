"""Metrics over steps: what a curve is, and how one is gathered in bounded memory. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from math import isfinite

from bareboat.values import dataclass

POINTS = 2048  # of a curve, at most
REWINDS = 30  # that steps go back so often: they count something else than the run's progress

Point = tuple[float, float, float]  # row, step, value


@dataclass(frozen=True)
class Series:
    """A metric: its values over ascending steps, thinned to POINTS. count: how many values were read for it; axis: what
    its steps are called, "" where they are no more than places in the file, from 0.
    """

    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]
    count: int
    axis: str = ""


@dataclass(frozen=True)
class Found:
    """What a results folder has of metrics, by name. notes: what was left out, a line each."""

    series: tuple[Series, ...] = ()
    notes: tuple[str, ...] = ()


class Track:
    """A metric in the making, in the order in which it was written.

    Of many values groups of equal size are thinned to the least and the most of each, in their order, so that a curve
    keeps its shape and its extremes; the last one stays. Where steps go back, another attempt did them again: what it
    wrote counts, and what the one before had from there on goes. Where the steps say nothing (none, all the same, or
    going back all the time) the place in the file stands for them.
    """

    def __init__(self) -> None:
        self.axis = ""  # what the steps are called in the file
        self.count = 0
        self._columns = (array("d"), array("d"), array("d"))
        self._group, self._taken = 2, 0  # values that become two; how many of them are held
        self._held: list[Point] = []
        self._last: Point | None = None
        self._same = self._back = 0
        self._stepless = False

    def add(self, row: float, step: float | None, value: float, axis: str = "step") -> None:
        """One more value. step: None where the file says none."""
        if step is None or not isfinite(step) or (self.count and axis != self.axis):
            self._stepless, step = True, 0.0
        self.axis = self.axis or axis
        if self._last is not None:
            self._same += step == self._last[1]
            self._back += step < self._last[1]
        self.count += 1
        self._last = (row, step, value)
        self._held.append(self._last)
        self._taken += 1
        if len(self._held) == 4:
            self._held[:] = _extremes(self._held)
        if self._taken == self._group:
            for point in self._held:
                self._append(point)
            self._held.clear()
            self._taken = 0
            if len(self._columns[0]) >= POINTS:
                self._halve()

    def follow(self, later: Track) -> None:
        """Go on with what a later attempt wrote elsewhere."""
        offset = self._last[0] + 1 if self._last else 0.0
        count = self.count + later.count
        for row, step, value in later.points():
            self.add(offset + row, None if later._stepless else step, value, later.axis)
        self.count = count

    @property
    def first(self) -> float | None:
        """The first step; None where there is none."""
        return None if self._stepless else next((step for _, step, _ in self.points()), None)

    def points(self) -> Iterator[Point]:
        """(row, step, value), in the order in which they were written."""
        yield from zip(*self._columns, strict=True)
        yield from self._held
        newest = self._held[-1][0] if self._held else self._columns[0][-1] if self._columns[0] else None
        if self._last is not None and newest != self._last[0]:
            yield self._last

    def series(self, name: str) -> Series:
        """What it is in the end."""
        points = list(self.points())
        if self._stepless or self._back > REWINDS or 2 * self._same > self.count - 1 > 0:
            return Series(name, tuple(row for row, _, _ in points), tuple(value for *_, value in points), self.count)
        kept: list[tuple[float, float]] = []
        for _, step, value in reversed(points):
            if not kept or step < kept[-1][0]:
                kept.append((step, value))
        kept.reverse()
        return Series(name, tuple(step for step, _ in kept), tuple(value for _, value in kept), self.count,
                      self.axis)

    def _append(self, point: Point) -> None:
        for column, number in zip(self._columns, point, strict=True):
            column.append(number)

    def _halve(self) -> None:
        points = list(zip(*self._columns, strict=True))
        for column in self._columns:
            del column[:]
        for at in range(0, len(points), 4):
            for point in _extremes(points[at:at + 4]):
                self._append(point)
        self._group *= 2


def _extremes(points: list[Point]) -> list[Point]:
    """The least and the most of several, in their order; the first and the last where none is a number."""
    known = [point for point in points if isfinite(point[2])]
    if not known:
        return [points[0], points[-1]]
    low, high = min(known, key=lambda point: point[2]), max(known, key=lambda point: point[2])
    if low[2] == high[2]:
        low, high = known[0], known[-1]
    if low is high:
        high = next(point for point in reversed(points) if point is not low)
    return [low, high] if low[0] < high[0] else [high, low]
