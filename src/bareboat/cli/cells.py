"""Characters of a terminal's row and how they look: colours by SGR (ECMA-48 8.3.117), columns by Unicode. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

SGR = re.compile(rb"\x1b\[([0-9;:]*)m")
_OFF = {22: b"1", 23: b"3", 24: b"4", 25: b"5", 27: b"7", 28: b"8", 29: b"9", 39: b"fg", 49: b"bg"}

Look = tuple[tuple[bytes, bytes], ...]  # what is set: kind, parameters of SGR
Cell = tuple[Look, bytes]  # b"": the right half of a wide character
BLANK: Cell = ((), b" ")


def rendered(cells: list[Cell]) -> bytes:
    """A row with its colours, from none to none, without blanks at its end."""
    last = len(cells)
    while last and cells[last - 1] == BLANK:
        last -= 1
    out, look = [], ()  # type: tuple[list[bytes], Look]
    for of, character in cells[:last]:
        if of != look:
            out.append(changed(of))
            look = of
        out.append(character)
    return b"".join(out) + (changed(()) if look else b"")


def changed(look: Look) -> bytes:
    """The sequence that sets exactly this."""
    return b"\x1b[0m" + b"".join(b"\x1b[%bm" % parameters for _, parameters in look)


def after(raw: bytes | bytearray, look: Look) -> Look:
    """What is set after a text."""
    if b"\x1b[" in raw:
        for match in SGR.finditer(raw):
            look = combined(look, match[0])
    return look


def combined(look: Look, sequence: bytes) -> Look:
    """What is set after a sequence of SGR."""
    kinds = dict(look)
    for kind, parameters in _parameters(sequence[2:-1]):
        if not kind:
            kinds = {}
        elif parameters:
            kinds[kind] = parameters
        else:
            kinds.pop(kind, None)
    return tuple(sorted(kinds.items()))


def _parameters(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, parameters); parameters b"": it is set no more; kind b"": nothing is."""
    words = text.split(b";")
    while words:
        word = words.pop(0)
        number = int(word) if word.isdigit() else 0 if not word else -1
        if number == 0:
            yield b"", b""
        elif number in (38, 48):
            many = 2 if words[:1] == [b"5"] else 4 if words[:1] == [b"2"] else 0
            yield (b"fg" if number == 38 else b"bg"), b";".join([word, *words[:many]])
            del words[:many]
        elif word.startswith((b"38:", b"48:")):
            yield (b"fg" if word.startswith(b"38") else b"bg"), word
        elif 30 <= number <= 37 or 90 <= number <= 97:
            yield b"fg", word
        elif 40 <= number <= 47 or 100 <= number <= 107:
            yield b"bg", word
        elif 1 <= number <= 9:
            yield (b"1" if number == 2 else b"5" if number == 6 else b"%d" % number), word
        elif number in _OFF:
            yield _OFF[number], b""


def width(character: bytes) -> int:
    """Columns of a character that is not ASCII."""
    try:
        text = character.decode()
    except UnicodeDecodeError:
        return 1
    if unicodedata.combining(text) or unicodedata.category(text) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(text) in "WF" else 1
