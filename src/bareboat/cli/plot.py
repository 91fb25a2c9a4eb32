"""Curves drawn with characters: in braille, eight dots each, where there is one; with a mark for each where several
share the drawing. Without Unicode in plain ASCII. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from bareboat.cli.axes import Axis, axis, dots, points
from bareboat.training.series import Series

MARKS = "ox+*#@%&abcdefghijkl"  # of the curves of a drawing
HIGH = 14  # lines between the axes
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a dot by row and column: Unicode, U+2800
_LINES = {True: ("┤", "│", "└", "─", "┬"), False: ("+", "|", "+", "-", "+")}


def plot(curves: Sequence[Series], wide: int, *, unicode: bool = True, high: int = HIGH) -> list[str]:
    """Lines of at most so many characters; [] where no value is a number."""
    y = axis(value for series in curves for value in series.values)
    x = axis(step for series in curves for step, value in zip(series.steps, series.values, strict=True))
    if x is None or y is None:
        return []
    tick, wall, corner, floor, foot = _LINES[unicode]
    beside = {round((1 - y.place(value)) * (high - 1)): text for value, text in y.ticks(max(high // 3, 2))}
    margin = max(map(len, beside.values()))
    room = max(wide - margin - 1, 10)
    cells = _braille(curves[0], x, y, room, high) if unicode and len(curves) == 1 else _marks(curves, x, y, room, high)
    lines = [f"{beside.get(at, ''):>{margin}}{tick if at in beside else wall}{''.join(row)}".rstrip()
             for at, row in enumerate(cells)]
    below = x.ticks(max(room // 12, 2))
    feet = {round(x.place(value) * (room - 1)) for value, _ in below}
    lines.append(" " * margin + corner + "".join(foot if at in feet else floor for at in range(room)))
    name = next((series.axis for series in curves if series.axis), "")
    return [*lines, " " * (margin + 1) + _under(x, below, room, name)]


def _under(x: Axis, below: Sequence[tuple[float, str]], room: int, name: str) -> str:
    """The labels of the lower axis, each below its place, and its name where there is room."""
    text = ""
    for value, label in below:
        at = min(max(round(x.place(value) * (room - 1)) - len(label) // 2, 0), room - len(label))
        if at >= len(text) + (1 if text else 0):
            text = text.ljust(at) + label
    name = name.rpartition("/")[2]
    if name.isprintable() and len(text) + len(name) + 2 <= room:
        text = text.ljust(room - len(name)) + name
    return text


def _braille(series: Series, x: Axis, y: Axis, wide: int, high: int) -> list[list[str]]:
    cells = [[0] * wide for _ in range(high)]
    for line in points(series, x, y, 2 * wide, 4 * high):
        for column, row in dots(line):
            cells[row // 4][column // 2] |= _BRAILLE[row % 4][column % 2]
    return [[chr(0x2800 + cell) if cell else " " for cell in row] for row in cells]


def _marks(curves: Sequence[Series], x: Axis, y: Axis, wide: int, high: int) -> list[list[str]]:
    cells = [[" "] * wide for _ in range(high)]
    for number in reversed(range(len(curves))):  # the first ones on top
        for line in points(curves[number], x, y, wide, high):
            for column, row in dots(line):
                cells[row][column] = MARKS[number % len(MARKS)] if len(curves) > 1 else "*"
    return cells
