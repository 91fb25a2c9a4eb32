"""Use: decayed by half each half-life, and what clocks do to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.queue.policy import HALF_LIFE
from bareboat.queue.used import MOST, Used, rate
from bareboat.training.values import Need


def test_half_of_it_counts_after_a_half_life() -> None:
    assert Used(100.0, 1000.0).until(1000.0 + HALF_LIFE).amount == pytest.approx(50.0)
    assert Used(100.0, 1000.0).plus(Need(gpus=2), 10.0, 1000.0 + HALF_LIFE).amount == pytest.approx(70.0)


def test_what_a_second_costs() -> None:
    assert rate(Need(gpus=0.5, cpus=64)) == 0.5 and rate(Need(cpus=32)) == 0.5 and rate(Need()) == 1 / 64


@given(st.floats(0, 1e9), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_no_clock_makes_use_negative_or_grow_by_itself(amount: float, passed: float, seconds: float) -> None:
    used = Used(amount, 1e9)
    assert 0 <= used.until(1e9 + passed).amount <= amount
    assert used.plus(Need(gpus=1), seconds, 1e9 + passed).amount <= amount + MOST
