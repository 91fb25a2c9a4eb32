"""Sizes as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import UsageError
from bareboat.units import SIZE_PATTERN, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8g", 8 << 30),
        ("8G", 8 << 30),
        ("8GiB", 8 << 30),
        ("8gb", 8 << 30),
        ("512m", 512 << 20),
        ("1.5k", 1536),
        ("100", 100),
        ("100b", 100),
        (100, 100),
        ("0", 0),
        ("2 t", 2 << 40),
        ("0.5g", 1 << 29),
    ],
)
def test_units_are_powers_of_1024(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "g", "-1", "8x", "8gg", "1e9", "1.g", ".5g", "8 g b", "٣g", -1, "ib", "8ib"]
)
def test_what_is_no_size_is_refused(text: str | int) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.code == "size.syntax"


def test_a_size_beyond_any_memory_is_refused() -> None:
    with pytest.raises(UsageError, match="larger"):
        parse_size("99999999t")


@given(st.from_regex(SIZE_PATTERN, fullmatch=True))
def test_the_schema_pattern_lets_nothing_through_that_is_no_size(text: str) -> None:
    try:
        assert parse_size(text) >= 0
    except UsageError as wrong:
        assert wrong.code == "size.too-large"


@given(st.text(alphabet="0123456789.kmgtibKMGTIB ", max_size=12))
def test_what_parses_has_the_schema_pattern(text: str) -> None:
    try:
        parse_size(text)
    except UsageError:
        return
    assert re.fullmatch(SIZE_PATTERN, text.strip())


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (8 << 30, "8 GiB"),
        (700 << 20, "700 MiB"),
        (3 << 50, "3072 TiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(("text", "seconds"), [
    ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("1h30m", 5400), ("0.5h", 1800), ("45", 45), (1.5, 1.5),
    (" 2H ", 7200),
])  # fmt: skip
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1h30", "30m1h", "1m1m", "-1s", "0", "1..5s", "soon", "1e9d", "99999d", 0,
                                  float("nan"), float("inf"), "1 h"])
def test_what_is_no_duration(text: str | float) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert caught.value.code == "duration.syntax"


@given(st.integers(1, 10**8))
def test_a_duration_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
