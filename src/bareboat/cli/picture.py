"""Curves as a PNG, without a library: panels one below another on a raster of palette colours. Pure.

PNG: W3C, Portable Network Graphics Specification (Third Edition), 5 and 11: signature, IHDR, PLTE, IDAT, IEND.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from bareboat.cli.axes import Axis, axis, dots, points
from bareboat.cli.glyphs import GLYPHS, UNKNOWN
from bareboat.cli.glyphs import HIGH as LETTER_HIGH
from bareboat.cli.glyphs import WIDE as LETTER_WIDE
from bareboat.training.series import Series

PANELS = 8  # of a picture
WIDE, HIGH = 960, 400  # dots of a panel, without its legend
_TWICE = 2  # dots of the picture for a dot of a letter
_LETTER, _LINE = (LETTER_WIDE + 1) * _TWICE, (LETTER_HIGH + 3) * _TWICE
WHITE, INK, GRID, FIRST = 0, 1, 2, 3
# the colours of Okabe and Ito (Color Universal Design, 2008), which people tell apart who see few; the lines' own last
PALETTE = ("ffffff", "303030", "d8d8d8", "0072b2", "d55e00", "009e73", "cc79a7", "e69f00", "56b4e9", "707070")


class Raster:
    """Dots of palette colours, the origin above on the left. What is outside is not drawn."""

    def __init__(self, wide: int, high: int) -> None:
        self.wide, self.high = wide, high
        self._rows = [bytearray(wide) for _ in range(high)]

    def block(self, x: int, y: int, wide: int, high: int, colour: int) -> None:
        """A filled rectangle."""
        left, right = max(x, 0), min(x + wide, self.wide)
        for row in self._rows[max(y, 0):max(y + high, 0)]:
            row[left:right] = bytes([colour]) * max(right - left, 0)

    def text(self, x: int, y: int, text: str) -> None:
        """A line of letters, x and y its corner above on the left."""
        for at, letter in enumerate(text):
            for row, digit in enumerate(GLYPHS.get(letter, UNKNOWN)):
                bits = int(digit, 32)
                for column in range(LETTER_WIDE):
                    if bits >> (LETTER_WIDE - 1 - column) & 1:
                        self.block(x + at * _LETTER + column * _TWICE, y + row * _TWICE, _TWICE, _TWICE, INK)

    def png(self) -> bytes:
        """The picture as a file."""
        raw = b"".join(b"\0" + row for row in self._rows)  # filter 0: as it is
        palette = b"".join(bytes.fromhex(colour) for colour in PALETTE)
        header = struct.pack(">IIBBBBB", self.wide, self.high, 8, 3, 0, 0, 0)  # 8 bits a dot, by palette
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in (
            (b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def picture(panels: Sequence[tuple[str, Sequence[tuple[str, Series]]]]) -> bytes:
    """A PNG with a panel for each metric: its title, and its curves with their labels, which are shown where there are
    several.
    """
    heights = [HIGH + (_LINE * ((len(curves) + 1) // 2) if len(curves) > 1 else 0) for _, curves in panels]
    raster = Raster(WIDE, sum(heights))
    top = 0
    for (title, curves), high in zip(panels, heights, strict=True):
        _panel(raster, top, title, curves)
        top += high
    return raster.png()


def _panel(raster: Raster, top: int, title: str, curves: Sequence[tuple[str, Series]]) -> None:
    raster.text(16, top + 12, _fitting(title, WIDE - 32))
    x = axis(step for _, series in curves for step in series.steps)
    y = axis(value for _, series in curves for value in series.values)
    if x is None or y is None:
        raster.text(16, top + HIGH // 2, "no numbers")
        return
    beside = y.ticks(6)
    left = 24 + max(len(label) for _, label in beside) * _LETTER
    above, wide, high = top + 40, WIDE - left - 24, HIGH - 40 - 44
    for value, label in beside:
        at = above + round((1 - y.place(value)) * (high - 1))
        raster.block(left, at, wide, 1, GRID)
        raster.text(left - 8 - len(label) * _LETTER, at - LETTER_HIGH, label)
    end = 0
    for value, label in x.ticks(8):
        at = left + round(x.place(value) * (wide - 1))
        raster.block(at, above, 1, high, GRID)
        begin = min(at - len(label) * _LETTER // 2, WIDE - len(label) * _LETTER)
        if begin > end:
            raster.text(begin, above + high + 8, label)
            end = begin + (len(label) + 1) * _LETTER
    raster.block(left, above + high, wide, 2, INK)
    raster.block(left - 2, above, 2, high + 2, INK)
    name = next((series.axis for _, series in curves if series.axis), "")
    name = _fitting(name.rpartition("/")[2], wide)
    raster.text(WIDE - 24 - len(name) * _LETTER, above + high + 26, name)
    for number in reversed(range(len(curves))):
        _curve(raster, curves[number][1], (x, y), (left, above, wide, high), number)
    for number, (label, _) in enumerate(curves if len(curves) > 1 else ()):
        column, row = 16 + number % 2 * (WIDE // 2), top + HIGH + number // 2 * _LINE
        for dash in range(0, 28, 2):
            if _drawn(number, dash):
                raster.block(column + dash, row + 6, 2, 3, _colour(number))
        raster.text(column + 40, row, _fitting(label, WIDE // 2 - 72))


def _curve(raster: Raster, series: Series, axes: tuple[Axis, Axis], inside: tuple[int, int, int, int],
           number: int) -> None:
    left, above, wide, high = inside
    for line in points(series, *axes, wide, high):
        if len(line) == 1:  # a value alone
            raster.block(left + line[0][0] - 2, above + line[0][1] - 2, 5, 5, _colour(number))
        for at, (column, row) in enumerate(dots(line)):
            if _drawn(number, at):
                raster.block(left + column, above + row, 2, 2, _colour(number))


def _colour(number: int) -> int:
    return FIRST + number % (len(PALETTE) - FIRST)


def _drawn(number: int, at: int) -> bool:
    """Whether a dot of a curve is: where there are more than colours, the later ones are dashed."""
    return number < len(PALETTE) - FIRST or at // (4 * (number // (len(PALETTE) - FIRST))) % 2 == 0


def _fitting(text: str, wide: int) -> str:
    most = wide // _LETTER
    return text if len(text) <= most else text[:most - 1] + "…"
