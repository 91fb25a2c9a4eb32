"""Scalars in TensorBoard's event files, without its library: TFRecord frames around protobuf messages (event.proto,
summary.proto, tensor.proto of TensorFlow). Pure.

A frame that is not whole or not what its checksum says ends the file: it may be written at this moment.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence

MARK = "events.out.tfevents."  # what the name of every such file begins with
LARGE = 4096  # bytes of a record: what is larger is a picture or a graph
RECORDS, SEARCHED = 1000, 64 << 10  # of each place of a large file: records; bytes looked through for the first of them
_ONE_NUMBER = {1: "<f", 2: "<d", 3: "<i", 9: "<q"}  # DataType: DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64


def events(data: bytes) -> Iterator[tuple[str, int, float]]:
    """(tag, step, value) of each scalar, in their order."""
    at = 0
    while at + 12 <= len(data):
        length, check = struct.unpack_from("<QI", data, at)
        if _masked(data[at:at + 8]) != check or at + 16 + length > len(data):
            return
        record = data[at + 12:at + 12 + length]
        if length <= LARGE:
            if _masked(record) != struct.unpack_from("<I", data, at + 12 + length)[0]:
                return
            try:
                yield from list(_scalars(record))
            except (ValueError, struct.error):
                pass  # a message of another kind
        at += 16 + length


def sampled(read: Callable[[int, int], bytes], places: Sequence[int], size: int) -> Iterator[tuple[str, int, float]]:
    """As events, from some places of a file of so many bytes, in ascending order: at most RECORDS records from each,
    and never one twice. read: so many bytes from an offset, fewer at the end.
    """
    at = 0
    for start, end in zip(places, [*places[1:], size], strict=True):
        if at < start:
            at = start + _frame(read(start, SEARCHED))
        for _ in range(RECORDS if end < size else SEARCHED):
            head = read(at, 12) if start <= at < end else b""
            if len(head) < 12 or _masked(head[:8]) != int.from_bytes(head[8:], "little"):
                break
            length = int.from_bytes(head[:8], "little")
            if length <= LARGE:
                yield from events(read(at, 16 + length))
            at += 16 + length


def _frame(data: bytes) -> int:
    """Where the first frame begins in the middle of a file; beyond the data where none does."""
    at = data.find(bytes(4), 4)  # the upper half of a length
    for _ in range(SEARCHED // 16):
        if at < 0:
            break
        if not any(data[at - 4:at]):  # among zeros
            at = data.find(bytes(4), len(data) - len(data[at:].lstrip(b"\0")) + 1)
            continue
        if _masked(data[at - 4:at + 4]) == int.from_bytes(data[at + 4:at + 8], "little"):
            return at - 4
        at = data.find(bytes(4), at + 1)
    return len(data)


def _scalars(record: bytes) -> Iterator[tuple[str, int, float]]:
    step, summaries = 0, []
    for number, value in _fields(record):
        if number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif number == 5 and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for number, value in _fields(summary):
            if number == 1 and isinstance(value, bytes):
                tag, found = _value(value)
                if tag and found is not None:
                    yield tag, step, found


def _value(message: bytes) -> tuple[str, float | None]:
    tag, found = "", None
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value.decode("utf-8", "replace")
        elif number == 2 and len(value) == 4:
            found = float(struct.unpack("<f", value)[0])
        elif number == 8:
            found = _tensor(value)
    return tag, found


def _tensor(message: bytes) -> float | None:
    """A tensor of one number; None for every other."""
    kind, content = 0, b""
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number in (4, 5, 6) and isinstance(value, bytes):
            content = value
    form = _ONE_NUMBER.get(kind)
    return float(struct.unpack(form, content)[0]) if form and struct.calcsize(form) == len(content) else None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: integers as such, all else as its bytes. Raises ValueError."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(key & 7, -1)
        if key & 7 == 2:
            size, at = _varint(message, at)
        if size < 0 or at + size > len(message):
            raise ValueError("no protobuf message")
        yield key >> 3, message[at:at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("no protobuf message")


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE = tuple(_row(byte) for byte in range(256))


def _masked(data: bytes) -> int:
    """CRC-32C (RFC 3720, B.4), masked as TFRecord has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
