"""What a run has written of metrics so far, as a table with a small curve each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bareboat.cli.plain import clip, plain
from bareboat.training.series import Series

BARS = "▁▂▃▄▅▆▇█"
WIDE = 24  # characters of a curve
NAME = 28  # of a metric's name in the table


def rows(metrics: Iterable[Series]) -> list[tuple[str, ...]]:
    """A row for each metric: the last value, the least and the most, how many, and how it went."""
    found: list[tuple[str, ...]] = [("METRIC", "LAST", "LEAST", "MOST", "VALUES", "CURVE")]
    for series in metrics:
        values = series.values
        known = [value for value in values if math.isfinite(value)]
        if values:
            least, most = (f"{min(known):.5g}", f"{max(known):.5g}") if known else ("", "")
            name = clip(plain(series.name), NAME)
            found.append((name, f"{values[-1]:.5g}", least, most, str(series.count), curve(values)))
    return found


def curve(values: Sequence[float], wide: int = WIDE) -> str:
    """Values from left to right, several of them in one character where there are many (their mean); a space where
    there is no number.
    """
    count = min(len(values), wide)
    means = []
    for number in range(count):
        part = values[number * len(values) // count:(number + 1) * len(values) // count]
        known = [value for value in part if math.isfinite(value)]
        means.append(math.fsum(value / len(known) for value in known) if known else math.nan)
    known = [value for value in means if math.isfinite(value)]
    if not known:
        return " " * count
    low, high = min(known), max(known)
    scale = (len(BARS) - 1) / (high - low) if high > low and math.isfinite(high - low) else 0.0
    return "".join(" " if math.isnan(mean) else BARS[round((mean - low) * scale)] if scale else BARS[3]
                   for mean in means)
