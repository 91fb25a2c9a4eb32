"""Curves: attempts that did steps again, steps that say nothing, and many values in little memory."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from bareboat.training.series import POINTS, REWINDS, Series, Track


def track(points: Iterable[tuple[float | None, float]], axis: str = "step") -> Track:
    made = Track()
    for row, (step, value) in enumerate(points):
        made.add(row, step, value, axis)
    return made


def test_steps_that_were_done_again_count_as_they_were_last() -> None:
    made = track([(1, 4.0), (2, 3.0), (3, 2.0), (2, 1.0)]).series("loss")
    assert made == Series("loss", (1, 2), (4.0, 1.0), 4, "step")


def test_a_value_of_a_step_that_was_told_twice_is_the_last() -> None:
    assert track([(1, 4.0), (2, 3.0), (2, 2.0), (3, 1.0)]).series("loss").values == (4.0, 2.0, 1.0)


def test_steps_that_say_nothing_are_places() -> None:
    for points in ([(0, 3.0), (0, 2.0), (0, 1.0)], [(1, 3.0), (None, 2.0), (3, 1.0)], [(1, 3.0), (math.nan, 2.0)],
                   [(step, float(epoch)) for epoch in range(REWINDS + 2) for step in range(3)]):
        made = track(points).series("loss")
        assert made.axis == "" and made.steps == tuple(range(len(points)))
        assert made.values == tuple(value for _, value in points)


def test_an_attempt_in_a_place_of_its_own_goes_on() -> None:
    before = track([(1, 4.0), (2, 3.0), (3, 2.0)])
    before.follow(track([(3, 1.0), (4, 0.5)]))
    assert before.series("loss") == Series("loss", (1, 2, 3, 4), (4.0, 3.0, 1.0, 0.5), 5, "step")
    assert Track().first is None and before.first == 1 and track([(None, 1.0)]).first is None


def test_a_long_curve_keeps_its_shape_and_both_ends() -> None:
    count = 100_000
    made = track((step, math.sin(step / 5000) + (50 if step == 70_001 else 0)) for step in range(count)).series("x")
    assert POINTS / 2 <= len(made.values) <= POINTS + 5 and made.count == count
    assert max(made.values) > 49 and made.steps[0] < 200 and made.steps[-1] == count - 1
    gaps = [after - before for before, after in zip(made.steps, made.steps[1:], strict=False)]
    assert max(gaps) < count / 200  # evenly thinned: no part of it is missing


def test_the_last_value_stays_where_it_is_no_extreme() -> None:
    for count in range(3 * POINTS, 3 * POINTS + 16):
        made = track((step, float(step % 2) if step < count - 1 else 0.5) for step in range(count)).series("x")
        assert (made.steps[-1], made.values[-1]) == (count - 1, 0.5), count


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 20), st.floats()), st.floats()), max_size=60),
       st.integers(1, 100))
def test_any_points(points: list[tuple[float | None, float]], times: int) -> None:
    made = track(points * times)
    series = made.series("x")
    assert series.count == len(points) * times and len(series.steps) == len(series.values) <= POINTS + 5
    assert list(series.steps) == sorted(set(series.steps))
    if points:
        assert repr(series.values[-1]) == repr(points[-1][1])
        known = [value for _, value in points if math.isfinite(value)]
        if not series.axis and known:
            seen = [value for value in series.values if math.isfinite(value)]
            assert (min(seen), max(seen)) == (min(known), max(known))
