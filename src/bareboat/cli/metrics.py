"""What a run has written of metrics so far, as a table with a small curve each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

BARS = "▁▂▃▄▅▆▇█"
WIDE = 24  # characters of a curve


def rows(metrics: Mapping[str, Sequence[float]]) -> list[tuple[str, ...]]:
    """A row for each metric, by name: the last value, the least and the most, how many, and how it went."""
    found: list[tuple[str, ...]] = [("METRIC", "LAST", "LEAST", "MOST", "VALUES", "CURVE")]
    for name in sorted(metrics):
        values = metrics[name]
        known = [value for value in values if math.isfinite(value)]
        if values:
            least, most = (f"{min(known):.5g}", f"{max(known):.5g}") if known else ("", "")
            found.append((name, f"{values[-1]:.5g}", least, most, str(len(values)), curve(values)))
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
