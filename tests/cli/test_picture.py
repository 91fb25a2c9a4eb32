"""Curves as a PNG: read back by the specification, with zlib alone."""

from __future__ import annotations

import math
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.cli.glyphs import GLYPHS
from bareboat.cli.picture import FIRST, GRID, HIGH, INK, WHITE, WIDE, Raster, picture
from bareboat.training.series import Series


def read(data: bytes) -> list[bytes]:
    """The rows of a PNG with 8 bits of a palette a dot, every checksum held."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        chunks[name] = data[at + 8:at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(name + chunks[name])
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    wide, high, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [8, 3, 0, 0, 0]
    raw = zlib.decompress(chunks[b"IDAT"])
    assert len(raw) == high * (wide + 1) and max(raw) < len(chunks[b"PLTE"]) // 3
    return [raw[row * (wide + 1) + 1:(row + 1) * (wide + 1)] for row in range(high)]


def curve(*values: float) -> Series:
    return Series("loss", tuple(range(len(values))), values, len(values), "step")


def test_one_curve() -> None:
    rows = read(picture([("loss", [("unet", curve(4, 3, 2, 1))])]))
    assert (len(rows), len(rows[0])) == (HIGH, WIDE)
    there = [at for at, row in enumerate(rows) if FIRST in row]
    assert rows[there[0]].index(FIRST) < WIDE // 6 and rows[there[-1]].rindex(FIRST) > WIDE * 5 // 6
    assert {WHITE, INK, GRID, FIRST} == set(b"".join(rows))


def test_several_have_colours_and_a_legend() -> None:
    curves = [(f"run {n}", curve(n, n + 1)) for n in range(20)]
    rows = read(picture([("loss", curves), ("acc", curves[:1])]))
    assert len(rows) > 2 * HIGH and {FIRST + n for n in range(7)} <= set(b"".join(rows))


def test_letters_are_seven_rows_of_five_dots() -> None:
    assert all(len(rows) == 7 and all(int(digit, 32) < 32 for digit in rows) for rows in GLYPHS.values())
    assert {*map(chr, range(32, 127)), "…"} == set(GLYPHS)
    assert len(set(GLYPHS.values())) == len(GLYPHS)  # no two look the same
    raster = Raster(20, 20)
    raster.text(2, 2, "Iß")
    assert read(raster.png())[2][2:12] == bytes([0, 0, 1, 1, 1, 1, 1, 1, 0, 0])


@pytest.mark.parametrize("values", [(), (math.nan,), (1.0,), (1.0, math.inf, 2.0), (1e308, -1e308)])
def test_what_is_hard_to_draw(values: tuple[float, ...]) -> None:
    read(picture([("x\n\x1b" * 100, [("a" * 1000, curve(*values)), ("b", curve())])]))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(), max_size=20), st.text())
def test_any_curve(values: list[float], title: str) -> None:
    read(picture([(title, [(title, curve(*values))])]))
