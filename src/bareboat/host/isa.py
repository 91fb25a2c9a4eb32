"""Which processor a program demands, as its linker noted it: the x86-64 level of .note.gnu.property.

x86-64 psABI, "Program Property" and "Micro-Architecture Levels". The C library of a distribution that is built for a
level has the note, and its loader ends every program on a processor below it.
"""

from __future__ import annotations

import struct
from pathlib import Path

LEVELS = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
_LIBRARY = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64")
_PT_NOTE, _PROPERTIES, _ISA_NEEDED = 4, 5, 0xC0008002
_MOST = 1 << 16  # bytes of notes that are looked at


def below(level: str, other: str) -> bool:
    """Whether a level lacks what another has; False for what is no level of x86-64."""
    return level in LEVELS and other in LEVELS and LEVELS.index(level) < LEVELS.index(other)


def demanded_by_image(trees: tuple[Path, ...]) -> str:
    """The level that the C library of an image demands; trees: bottom to top. "" where nothing says."""
    for tree in reversed(trees):
        for folder in _LIBRARY:
            path = tree / folder / "libc.so.6"
            if path.is_file() and path.resolve().is_relative_to(tree):
                return demanded(path)
    return ""


def demanded(path: Path) -> str:
    """The level that a file's program header says it needs; "" where it says none, or is no ELF file of x86-64."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            if head[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", head, 18) != (62,):
                return ""
            offset, = struct.unpack_from("<Q", head, 32)
            size, count = struct.unpack_from("<HH", head, 54)
            file.seek(offset)
            table = file.read(size * count)
            for at in range(0, size * count, size):
                kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", table, at)
                if kind == _PT_NOTE:
                    file.seek(start)
                    if found := _in_notes(file.read(min(length, _MOST))):
                        return found
    except (OSError, struct.error, ValueError, OverflowError):
        pass
    return ""


def _in_notes(data: bytes) -> str:
    """Notes whose descriptions are aligned to 8, which those with properties are."""
    at = 0
    while at + 16 <= len(data):
        name, length, kind = struct.unpack_from("<III", data, at)
        if kind == _PROPERTIES and data[at + 12:at + 16] == b"GNU\0" and name == 4:
            return _in_properties(data[at + 16:at + 16 + length])
        at += 12 + -(-name // 4) * 4 + -(-length // 8) * 8
    return ""


def _in_properties(data: bytes) -> str:
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == _ISA_NEEDED:
            bits, = struct.unpack_from("<I", data, at + 8)
            return LEVELS[min(bits.bit_length(), len(LEVELS)) - 1] if bits else ""
        at += 8 + -(-length // 8) * 8
    return ""
