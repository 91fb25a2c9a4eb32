"""Scalars in event files: bytes as TensorBoard's writers have them, torn, damaged and hostile."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.store.scalars import metrics_of
from bareboat.training.events import _masked, events, joined


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


def test_steps_that_were_done_again_count_as_they_were_last() -> None:
    points: dict[str, list[tuple[int, float]]] = {}
    joined(points, simple("loss", 1, 4.0) + simple("loss", 2, 3.0) + simple("loss", 3, 2.0))
    joined(points, simple("loss", 2, 1.0))
    assert points == {"loss": [(1, 4.0), (2, 1.0)]}


def test_of_a_results_folder_with_two_writers(tmp_path: Path) -> None:
    for name, value in (("train", 1.0), ("validation", 2.0)):
        (tmp_path / "logs" / name).mkdir(parents=True)
        (tmp_path / "logs" / name / "events.out.tfevents.1.host").write_bytes(simple("loss", 1, value))
    assert metrics_of(tmp_path) == {"train/loss": [1.0], "validation/loss": [2.0]}


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_record_is_read_or_passed_over(record: bytes) -> None:
    assert list(events(frame(record) + simple("loss", 1, 0.5)))[-1] == ("loss", 1, 0.5)
