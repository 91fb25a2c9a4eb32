"""Metrics in the tables that programs write: CSV with a header, and an object of JSON a line. Pure.

What is no number is passed over, and so is a line that is not whole: the file may be written at this moment.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping

AXES = frozenset((
    "", "batch", "date", "epoch", "global_step", "index", "iter", "iteration", "step", "time", "timestamp",
))
ENDINGS = (".csv", ".jsonl", ".ndjson")


def scalars(text: str, name: str) -> dict[str, list[float]]:
    """The values of each column that has numbers, in their order; axes such as the step are none. name: the file's."""
    found: dict[str, list[float]] = {}
    for row in _csv(text) if name.lower().endswith(".csv") else _json(text):
        for key, value in row:
            if key.lower() not in AXES:
                found.setdefault(key, []).append(value)
    return found


def _csv(text: str) -> Iterator[Iterable[tuple[str, float]]]:
    whole = text[:text.rfind("\n") + 1]
    reader = csv.reader(whole.splitlines())
    try:
        header = [name.strip() for name in next(reader, [])]
        if any(_number(name) is not None for name in header):
            return  # no header: columns without names
        for row in reader:
            yield [(name, value) for name, cell in zip(header, row, strict=False)
                   if (value := _number(cell)) is not None]
    except csv.Error:
        return


def _json(text: str) -> Iterator[Iterable[tuple[str, float]]]:
    for line in text.split("\n"):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(row, Mapping):
            yield [(str(key), number) for key, value in row.items() if (number := _plain(value)) is not None]


def _plain(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None


def _number(cell: str) -> float | None:
    if "_" in cell:  # Python takes 1_000, nobody else does
        return None
    try:
        return float(cell)
    except ValueError:
        return None
