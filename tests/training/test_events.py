"""Scalars in event files: bytes as TensorBoard's writers have them, torn, damaged and hostile."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.training.events import RECORDS, _masked, events, sampled


def frame(record: bytes) -> bytes:
    head = struct.pack("<Q", len(record))
    return head + struct.pack("<I", _masked(head)) + record + struct.pack("<I", _masked(record))


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def scalar(tag: str, step: int, value: bytes) -> bytes:
    summary = field(1, field(1, tag.encode()) + value)
    return frame(b"\x09" + struct.pack("<d", 1.0) + b"\x10" + bytes([step]) + field(5, summary))


def simple(tag: str, step: int, value: float) -> bytes:
    return scalar(tag, step, b"\x15" + struct.pack("<f", value))


def test_the_checksum_is_the_one_of_rfc_3720() -> None:
    unmasked = (_masked(bytes(32)) - 0xA282EAD8) & 0xFFFFFFFF
    assert (unmasked >> 17 | unmasked << 15) & 0xFFFFFFFF == 0x8A9136AA


def test_numbers_and_tensors_of_one_number() -> None:
    tensor = field(8, b"\x08\x01" + field(4, struct.pack("<f", 0.25)))
    pair = field(8, b"\x08\x01" + field(4, struct.pack("<ff", 1, 2)))
    data = frame(b"\x1a\x01x") + simple("loss", 1, 0.5) + scalar("acc", 1, tensor) + scalar("pair", 1, pair)
    assert list(events(data)) == [("loss", 1, 0.5), ("acc", 1, 0.25)]


@pytest.mark.parametrize("cut", [1, 4, 8, 20])
def test_a_torn_end_and_a_damaged_frame_end_the_file(cut: int) -> None:
    data = simple("loss", 1, 0.5) + simple("loss", 2, 0.25)
    assert list(events(data[:-cut])) == [("loss", 1, 0.5)]
    damaged = bytearray(data)
    damaged[-cut] ^= 1
    assert list(events(bytes(damaged))) == [("loss", 1, 0.5)]


def test_places_of_a_large_file() -> None:
    picture = frame(b"\x2a" + bytes(300_000))
    data = simple("loss", 1, 0.5) + picture + simple("loss", 2, 0.25) + bytes(70_000) + simple("loss", 3, 0.125)
    asked = []

    def read(at: int, count: int) -> bytes:
        asked.append(count)
        return data[at:at + count]

    places = [0, 100_000, len(data) - 60_000]
    assert list(sampled(read, places, len(data))) == [("loss", 1, 0.5), ("loss", 2, 0.25), ("loss", 3, 0.125)]
    assert max(asked) < 100_000  # the picture was not read


def test_a_place_gives_so_many_records_and_the_last_one_all() -> None:
    data = b"".join(simple("loss", step % 100, 1.0) for step in range(3 * RECORDS))
    found = list(sampled(lambda at, count: data[at:at + count], [0, len(data) // 2 + 1], len(data)))
    assert len(found) == RECORDS + 3 * RECORDS // 2 - 1
    assert list(sampled(lambda at, count: data[at:at + count], [0], len(data))) == list(events(data))


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), min_size=1, max_size=5).map(sorted))
def test_any_bytes_are_looked_through(data: bytes, places: list[int]) -> None:
    assert list(sampled(lambda at, count: data[at:at + count], [0, *places], len(data))) == list(events(data))


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_record_is_read_or_passed_over(record: bytes) -> None:
    assert list(events(frame(record) + simple("loss", 1, 0.5)))[-1] == ("loss", 1, 0.5)
