"""What every drawing of curves needs: the ranges of its axes, where their labels stand, and lines on a raster. Pure."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from bareboat.training.series import Series
from bareboat.values import dataclass

MOST = sys.float_info.max


@dataclass(frozen=True)
class Axis:
    """A range of numbers, low < high."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a value stands, from 0 to 1. Halves, because the largest floats have no difference."""
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """At most so many round numbers within, and how they are written."""
        span = self.high - self.low
        if not math.isfinite(span):
            return [(self.low, f"{self.low:.3g}"), (self.high, f"{self.high:.3g}")]
        rough = span / max(most, 1)
        power = 10.0 ** math.floor(math.log10(rough)) if rough > 1e-300 else 0.0
        step = next((power * by for by in (1, 2, 5, 10, 20) if power and self._fit(power * by) <= most), 0.0)
        if not step:
            return [(self.low, f"{self.low:.6g}")]
        first = math.ceil(self.low / step - 1e-9)
        values = [value for at in range(most) if (value := (first + at) * step) <= min(self.high + step * 1e-9, MOST)]
        digits = max(math.ceil(math.log10(max(abs(self.low), abs(self.high)) / step)) + 2, 6)
        return [(value, f"{value or 0.0:.{min(digits, 17)}g}") for value in values]

    def _fit(self, step: float) -> float:
        return math.floor(self.high / step + 1e-9) - math.ceil(self.low / step - 1e-9) + 1


def axis(values: Iterable[float]) -> Axis | None:
    """The range of all that are numbers; None where none is."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return None
    low, high = min(known), max(known)
    if high / 2 - low / 2 <= abs(low) * 1e-12:
        room = max(abs(low) / 10, 1e-12) if low else 1.0
        return Axis(max(low - room, -MOST), min(high + room, MOST))
    return Axis(low, high)


def points(series: Series, x: Axis, y: Axis, wide: int, high: int) -> Iterator[list[tuple[int, int]]]:
    """The lines of a curve on a raster of wide by high dots, the origin above on the left: one for each stretch without
    a gap, which is a value that is no number.
    """
    stretch: list[tuple[int, int]] = []
    for step, value in zip(series.steps, series.values, strict=True):
        if math.isfinite(value):
            stretch.append((round(x.place(step) * (wide - 1)), round((1 - y.place(value)) * (high - 1))))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def dots(line: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Every dot of a line through some points."""
    if line:
        yield line[0]
    for (x, y), (to_x, to_y) in pairwise(line):
        count = max(abs(to_x - x), abs(to_y - y))
        for at in range(1, count + 1):
            yield x + round((to_x - x) * at / count), y + round((to_y - y) * at / count)
