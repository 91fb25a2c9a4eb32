"""Samples, pairs and what is said of them: medians, ratios, intervals."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Series:
    """Samples of one thing, in the order they were taken."""

    name: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.samples)


@dataclass(frozen=True)
class Goal:
    """What a figure has to reach, and whether it does."""

    text: str
    met: bool


@dataclass(frozen=True)
class Row:
    """One comparison. ours and theirs were taken in turns, so sample n of one belongs to sample n of the other.

    unit: "s", "ms", "MB" or "". note: what the reader must know besides.
    """

    title: str
    environment: str
    ours: Series
    theirs: Series
    unit: str
    goals: tuple[Goal, ...] = ()
    note: str = ""

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(a / b for a, b in zip(self.ours.samples, self.theirs.samples, strict=False))

    @property
    def ratio(self) -> float:
        """The ratio of the medians: what a goal is about."""
        return self.ours.median / self.theirs.median


@dataclass(frozen=True)
class Figure:
    """A section of the table."""

    name: str
    title: str
    rows: tuple[Row, ...]
    text: tuple[str, ...] = ()


def at_most(row: Row, ratio: float | None = None, value: float | None = None) -> Row:
    """The row with goals: at most this ratio of the other's median, and less than this many units."""
    goals = list(row.goals)
    if value is not None:
        goals.append(Goal(f"under {value:g} {row.unit}", row.ours.median < value))
    if ratio is not None:
        goals.append(Goal(f"at most {ratio:g} times", row.ratio <= ratio))
    return Row(row.title, row.environment, row.ours, row.theirs, row.unit, tuple(goals), row.note)


def interval(pairs: Sequence[float], draws: int = 10_000) -> tuple[float, float]:
    """The 95 % interval of the median by bootstrap; the same each time for the same samples."""
    dice = random.Random(20)
    medians = sorted(median(dice.choices(pairs, k=len(pairs))) for _ in range(draws))
    return medians[int(draws * 0.025)], medians[int(draws * 0.975)]


def seconds(do: Callable[[], object]) -> float:
    """How long a call takes, begun with nothing left to write to the disk."""
    os.sync()
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def in_turns(rounds: int, *sides: Callable[[int], float]) -> list[tuple[float, ...]]:
    """Each side once a round, beginning with another one each time; a tuple of samples for each side."""
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        for offset in range(len(sides)):
            side = (number + offset) % len(sides)
            taken[side].append(sides[side](number))
    return [tuple(samples) for samples in taken]
