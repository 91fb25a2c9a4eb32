"""Whether a checkpoint's file is all there, as far as its own format says, with a few short reads. Pure.

Zip (torch.save, Keras, NumPy's npz): the end record, PKWARE's appnote 4.3.16. safetensors: the length of its header and
the last offset in it. HDF5: the end of file in the superblock (format specification, II.A), which is written at the
close: a longer file was never closed. npy: numpy.lib.format. Pickle (pickle, joblib): its last opcode is STOP. Orbax:
the time of the commit. Any other format is taken at its word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

Read = Callable[[int, int], bytes]  # offset, length: what is there, shorter at the end of the file

TAIL = 65557  # bytes: a zip's end record with the longest comment behind it
HEADER_MOST = 32 << 20
_ZIP, _END, _ENTRY, _WIDE = b"PK\x03\x04", b"PK\x05\x06", b"PK\x01\x02", 0xFFFFFFFF
_HDF5, _NPY = b"\x89HDF\r\n\x1a\n", b"\x93NUMPY"
_ITEM = re.compile(r"[<>|=]?[biufcSVU]([0-9]+)\Z")


def whole(name: str, size: int, read: Read) -> bool:
    """Whether it is all there. A file of a known ending that is of another format is not: it was never filled."""
    if size <= 0:
        return False
    head = read(0, 16)
    ending = name.rpartition(".")[2].lower()
    if head.startswith(_ZIP) or ending in ("npz", "keras"):
        return _zip(size, read)
    if head.startswith(_HDF5) or ending in ("h5", "hdf5"):
        return head.startswith(_HDF5) and _hdf5(size, read)
    if ending == "safetensors":
        return _safetensors(size, read)
    if head.startswith(_NPY) or ending == "npy":
        return head.startswith(_NPY) and _npy(size, read)
    if head[:2] in (b"\x80\x04", b"\x80\x05"):
        frame = int.from_bytes(head[3:11], "little") if head[2:3] == b"\x95" else 0
        return size >= max(frame + 11, 3) and read(size - 1, 1) == b"."
    if ending == "json":
        return _json(size, read)
    if name == "_CHECKPOINT_METADATA":
        return _json(size, read) and b'"commit_timestamp_nsecs": null' not in read(0, HEADER_MOST)
    if ending in ("pt", "pth", "ckpt", "pkl", "joblib"):
        return any(head) and head not in (_ZIP[:1], _ZIP[:2], _ZIP[:3], b"\x80")  # a hole, or cut off at once
    return True


def shards(index: bytes) -> set[str]:
    """The files that a *.safetensors.index.json tells of (Hugging Face); none where it is something else."""
    try:
        return {str(name) for name in json.loads(index)["weight_map"].values()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return set()


def _json(size: int, read: Read) -> bool:
    if size > HEADER_MOST:
        return read(size - 64, 64).rstrip()[-1:] in (b"}", b"]")
    try:
        json.loads(read(0, size))
    except (ValueError, RecursionError):
        return False
    return True


def _zip(size: int, read: Read) -> bool:
    start = max(size - TAIL, 0)
    tail = read(start, TAIL)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22 or at + 22 + int.from_bytes(tail[at + 20:at + 22], "little") != len(tail):
        return False
    length, offset = (int.from_bytes(tail[at + n:at + n + 4], "little") for n in (12, 16))
    if _WIDE in (length, offset) or not length:
        return True  # a record of 64 bits has the rest, and is before this one
    return offset + length <= start + at and read(offset, 4) == _ENTRY


def _hdf5(size: int, read: Read) -> bool:
    head = read(0, 128)
    version = head[8] if len(head) > 8 else 255
    try:
        if version in (0, 1):
            wide, at = head[13], 24 if version == 0 else 28
        elif version in (2, 3):
            if version == 3 and head[11] & 1:
                return False  # who wrote it has not closed it
            wide, at = head[9], 12
        else:
            return False
    except IndexError:
        return False
    end = head[at + 2 * wide:at + 3 * wide]  # behind the base address and one of something else
    return wide in (2, 4, 8) and len(end) == wide and int.from_bytes(end, "little") == size


def _safetensors(size: int, read: Read) -> bool:
    if size < 10:
        return False
    length = int.from_bytes(read(0, 8), "little")
    if 8 + length > size:
        return False
    if length > HEADER_MOST:
        return True
    try:
        header = json.loads(read(8, length))
        ends = [int(value["data_offsets"][1]) for key, value in header.items() if key != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return False
    return 8 + length + max(ends, default=0) <= size


def _npy(size: int, read: Read) -> bool:
    import ast

    head = read(0, 12)
    if len(head) < 12:
        return False
    start, length = (10, int.from_bytes(head[8:10], "little")) if head[6] == 1 else (
        12, int.from_bytes(head[8:12], "little"))
    if start + length > size or length > 1 << 20:
        return start + length <= size
    try:
        header = ast.literal_eval(read(start, length).decode("latin-1").strip())
        item = _ITEM.match(header["descr"])
        count = 1
        for extent in header["shape"]:
            count *= int(extent)
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        return True  # of records or objects: their length is not told so simply
    if item is None:
        return True
    return start + length + count * int(item[1]) * (4 if "U" in header["descr"] else 1) <= size
