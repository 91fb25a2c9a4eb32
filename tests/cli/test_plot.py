"""Drawings of curves: axes, braille, marks."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.cli.axes import Axis, axis, dots
from bareboat.cli.plot import plot
from bareboat.training.series import Series

RISING = Series("acc", (0, 10, 20, 30), (0.0, 1.0, 2.0, 3.0), 4, "step")


def test_in_ascii() -> None:
    assert plot([RISING], 30, unicode=False, high=7) == [
        " |                         ***",
        " |                     ****",
        "2+                *****",
        " |            ****",
        " |       *****",
        " |   ****",
        "0+***",
        " ++-----------------+---------",
        "  0                20     step"]


def test_in_braille() -> None:
    assert plot([RISING], 20, high=3) == [
        " │            ⢀⣀⠤⠔⠒⠉", "2┤     ⢀⣀⠤⠤⠒⠒⠉⠁", "0┤⣀⠤⠔⠒⠉⠁", " └┬──────────┬──────", "  0         20  step"]


def test_several_have_marks_and_the_first_is_on_top() -> None:
    falling = Series("acc", (0, 30), (3.0, 0.0), 2)
    lines = plot([RISING, falling], 30, unicode=False, high=7)
    assert lines[0][2] == "x" and lines[0][-1] == "o" and any("o" in line and "x" not in line for line in lines)


def test_a_gap_stays_one() -> None:
    gap = Series("x", (0, 1, 2, 3, 4), (1.0, 1.0, math.nan, 2.0, 2.0), 5)
    lines = plot([gap], 40, unicode=False, high=5)
    assert [line.count("*") for line in lines[:5]] == [10, 0, 0, 0, 10]


def test_without_a_number_there_is_nothing() -> None:
    assert plot([Series("x", (0,), (math.nan,), 1)], 40) == []


@pytest.mark.parametrize(("low", "high", "told"), [
    (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]), (0, 4990, ["0", "1000", "2000", "3000", "4000"]),
    (-1, 1, ["-1", "-0.5", "0", "0.5", "1"]), (1e-5, 3e-5, ["1e-05", "1.5e-05", "2e-05", "2.5e-05", "3e-05"]),
    (1_000_001, 1_000_004, ["1000001", "1000002", "1000003", "1000004"]),
    (-1.7e308, 1.7e308, ["-1.7e+308", "1.7e+308"]),
])
def test_ticks(low: float, high: float, told: list[str]) -> None:
    assert [label for _, label in Axis(low, high).ticks(6)] == told


@settings(max_examples=300)
@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats()), min_size=1, max_size=20),
       st.integers(1, 100), st.booleans(), st.integers(1, 3))
def test_any_curve_fits(points: list[tuple[float, float]], wide: int, unicode: bool, count: int) -> None:
    rows = sorted(dict(points).items())
    series = Series("x", tuple(step for step, _ in rows), tuple(value for _, value in rows), len(rows), "step")
    lines = plot([series] * count, wide, unicode=unicode, high=6)
    assert bool(lines) == any(math.isfinite(value) for _, value in rows)
    assert all(len(line) <= max(wide, 10 + 1 + 24) for line in lines)


@given(st.lists(st.floats(), min_size=1))
def test_any_axis_has_room_and_ticks_within(values: list[float]) -> None:
    made = axis(values)
    if made is not None:
        ticks = made.ticks(5)
        assert made.low < made.high and 1 <= len(ticks) <= 5 and all(-0.01 <= made.place(at) <= 1.01 for at, _ in ticks)
        assert all(0 <= made.place(value) <= 1 for value in values if math.isfinite(value))


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), max_size=6))
def test_a_line_has_no_holes(line: list[tuple[int, int]]) -> None:
    made = list(dots(line))
    assert set(line) <= set(made)
    assert all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= 1 for a, b in pairwise(made))
