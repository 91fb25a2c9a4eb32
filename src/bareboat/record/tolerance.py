"""Numbers compared by tolerance: rules, the running worst, and tables and JSON cell by cell. Pure.

Whole numbers are exact (a count is right or wrong); a number counts as the same when
|new - old| <= atol + rtol * |old|; NaN equals NaN; infinities equal themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any


@dataclass(frozen=True)
class Tolerance:
    """rtol relative to the old value, atol absolute; numpy.allclose's defaults."""

    rtol: float = 1e-5
    atol: float = 1e-8


class Mismatch(Exception):
    """The two cannot be the same within any tolerance: why, and where."""


class Worst:
    """The worst difference so far: how many numbers, how many beyond tolerance, where the first of these is.
    """

    def __init__(self, tolerance: Tolerance) -> None:
        self.tolerance = tolerance
        self.absolute = self.relative = 0.0
        self.changed = self.beyond = 0
        self.first = ""

    def number(self, old: float, new: float, where: Any) -> None:
        """Take one pair; where: anything with a readable str, used for the first pair beyond tolerance alone.
        """
        if old == new or (old != old and new != new):
            return
        self.changed += 1
        absolute = abs(new - old)
        relative = absolute / abs(old) if old else math.inf
        bound = self.tolerance.atol + self.tolerance.rtol * abs(old)
        if not math.isfinite(absolute):  # an infinity or NaN on one side alone: no tolerance reaches it
            absolute = relative = math.inf
        self.absolute, self.relative = max(self.absolute, absolute), max(self.relative, relative)
        if absolute == math.inf or absolute > bound:
            self.beyond += 1
            if not self.first:
                self.first = f"{where}: {old:.12g} became {new:.12g}"


def tables(old: str, new: str, delimiter: str, worst: Worst) -> None:
    """Two CSV or TSV texts cell by cell: numbers by tolerance, everything else exact. Raises Mismatch."""
    import csv

    header: list[str] = []
    try:
        pairs = zip_longest(
            csv.reader(old.splitlines(keepends=True), delimiter=delimiter),
            csv.reader(new.splitlines(keepends=True), delimiter=delimiter),
        )
        for number, (a, b) in enumerate(pairs, 1):
            if a is None or b is None:
                raise Mismatch(f"{'more' if a is None else 'fewer'} rows: the first in line {number}")
            if len(a) != len(b):
                raise Mismatch(f"row {number}: {len(a)} cells became {len(b)}")
            header = header or a
            for column, (x, y) in enumerate(zip(a, b, strict=True)):
                if x != y:
                    name = header[column] if column < len(header) and number > 1 else str(column + 1)
                    _cell(x, y, f"row {number}, column {name}", worst)
    except csv.Error as error:
        raise Mismatch(f"not a table that can be compared ({error})") from None


def _cell(old: str, new: str, where: str, worst: Worst) -> None:
    a, b = number(old), number(new)
    if a is None or b is None or (isinstance(a, int) and isinstance(b, int) and a != b):
        raise Mismatch(f"{where}: {shorten(old)} became {shorten(new)}")
    worst.number(float(a), float(b), where)


def number(text: str) -> int | float | None:
    """The number a cell says; None for text. Whole numbers that float cannot hold exactly stay whole."""
    text = text.strip()
    if not text or "_" in text or len(text) > 60:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def documents(old: Any, new: Any, worst: Worst) -> None:
    """Two JSON values: structure, strings, booleans and whole numbers exact, floats by tolerance. Raises
    Mismatch.
    """
    stack: list[tuple[Any, Any, str]] = [(old, new, "$")]
    while stack:
        a, b, where = stack.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            if a.keys() != b.keys():
                raise Mismatch(
                    f"{where}: {_keys(a.keys() - b.keys(), 'gone')}{_keys(b.keys() - a.keys(), 'new')}"
                )
            stack.extend((a[key], b[key], f"{where}.{key}") for key in reversed(a))
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                raise Mismatch(f"{where}: {len(a)} items became {len(b)}")
            stack.extend((a[i], b[i], f"{where}[{i}]") for i in reversed(range(len(a))))
        elif _float(a, b):
            try:
                worst.number(float(a), float(b), where)
            except OverflowError:
                raise Mismatch(f"{where}: {shorten(str(a))} became {shorten(str(b))}") from None
        elif type(a) is not type(b) or a != b:
            raise Mismatch(f"{where}: {shorten(repr(a))} became {shorten(repr(b))}")


def _float(a: Any, b: Any) -> bool:
    """Both numbers, and at least one of them not whole."""
    kinds = (type(a), type(b))
    return float in kinds and all(kind in (int, float) for kind in kinds)


def _keys(names: Iterable[Any], what: str) -> str:
    shown = sorted(map(str, names))
    return f"keys {what}: {', '.join(shown[:3])}{' …' if len(shown) > 3 else ''} " if shown else ""


def shorten(text: str) -> str:
    """Text as one line of at most 40 characters, without control characters."""
    plain = "".join(c if c.isprintable() else "�" for c in text)
    return plain if len(plain) <= 40 else plain[:39] + "…"
