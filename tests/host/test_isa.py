from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.host.isa import below, demanded, demanded_by_image


def elf(bits: int | None, *, machine: int = 62, kind: int = 0xC0008002) -> bytes:
    """A file with one PT_NOTE: a stack property first, then, with bits, the ISA that is needed."""
    properties = struct.pack("<IIII", 0xC0000002, 4, 3, 0)
    if bits is not None:
        properties += struct.pack("<IIII", kind, 4, bits, 0)
    note = struct.pack("<III4s", 4, len(properties), 5, b"GNU\0") + properties
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 1, 64,
                                                            0, 0)
    return head + struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(note), len(note), 8) + note


def put(folder: Path, data: bytes, name: str = "libc.so.6") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize(("bits", "expected"), [
    (None, ""), (0, ""), (1, "x86-64"), (2, "x86-64-v2"), (4, "x86-64-v3"), (8, "x86-64-v4"), (3, "x86-64-v2"),
    (16, "x86-64-v4"),  # a level of the future is no lower than what is known
])
def test_what_a_file_demands(tmp_path: Path, bits: int | None, expected: str) -> None:
    assert demanded(put(tmp_path, elf(bits))) == expected


@pytest.mark.parametrize("data", [
    b"", b"\x7fELF", elf(4, machine=183), elf(4, kind=0xC0010002), b"GROUP ( /lib64/libc.so.6 )",
    elf(4)[:130], elf(4)[:-9],
])
def test_what_is_none_demands_nothing(tmp_path: Path, data: bytes) -> None:
    assert demanded(put(tmp_path, data)) == ""


def test_a_note_before_it_is_passed_over(tmp_path: Path) -> None:
    data = elf(2)
    other = struct.pack("<III4s", 4, 4, 1, b"GNU\0") + bytes(8)
    data = bytearray(data[:120] + other + data[120:])
    struct.pack_into("<Q", data, 64 + 32, len(data) - 120)
    assert demanded(put(tmp_path, bytes(data))) == "x86-64-v2"


@given(st.binary(max_size=200))
def test_nothing_makes_it_fail(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    demanded(put(tmp_path_factory.getbasetemp(), b"\x7fELF\x02\x01" + data, "any"))


def test_the_topmost_library_of_an_image_counts_and_no_link_leads_out(tmp_path: Path) -> None:
    bottom, middle, top = (tmp_path / name for name in ("bottom", "middle", "top"))
    put(bottom / "usr/lib64", elf(2))
    put(middle / "usr/lib/x86_64-linux-gnu", elf(4))
    (top / "lib64").mkdir(parents=True)
    (top / "lib64/libc.so.6").symlink_to(put(tmp_path / "host", elf(8)))
    assert demanded_by_image((bottom, middle, top)) == "x86-64-v3"
    assert demanded_by_image((bottom,)) == "x86-64-v2" and demanded_by_image(()) == ""


def test_levels_have_an_order() -> None:
    assert below("x86-64", "x86-64-v2") and not below("x86-64-v3", "x86-64-v3")
    assert not below("x86-64-v4", "x86-64-v2") and not below("aarch64+sve", "x86-64-v2") and not below("x86-64", "")
