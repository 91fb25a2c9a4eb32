"""Times of documents: whatever others wrote as the date of an image."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.image.inventory import moment
from bareboat.image.spec import CREATED


@pytest.mark.parametrize(("text", "time"), [
    ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"), ("2024-05-06T07:08:09.123456789Z", "2024-05-06T07:08:09Z"),
    ("2024-05-06T07:08:09+02:00", "2024-05-06T05:08:09Z"), ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"), ("", CREATED), ("yesterday", CREATED),
    ("2026-13-02T03:04:05Z", CREATED), ("0001-01-01T00:00:00+09:00", CREATED), ("2026-01-02T03:04:05Z\n", CREATED)])
def test_a_time(text: str, time: str) -> None:
    assert moment(text) == time


@given(st.text(max_size=40) | st.datetimes().map(lambda d: d.isoformat() + "Z"))
def test_always_a_time_that_can_be_read(text: str) -> None:
    assert datetime.fromisoformat(moment(text).removesuffix("Z")).microsecond == 0
