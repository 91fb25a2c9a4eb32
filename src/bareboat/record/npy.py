"""NumPy's files without NumPy: the npy header and plain numbers, and npz as an archive of them. Pure.

numpy.lib.format, versions 1 to 3. Arrays of objects are pickles and are never read: they are compared by
their bytes.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from bareboat.record.tolerance import Mismatch, Worst

MAGIC = b"\x93NUMPY"
NPZ_BOUND = 512 << 20  # bytes that the members of one npz may unpack to, together
_FLOATS = {"f4": "f", "f8": "d", "c8": "f", "c16": "d"}  # array codes; complex numbers are pairs


@dataclass(frozen=True)
class Header:
    """dtype as numpy writes it ("<f8"); structured ones as their text. start: offset of the data."""

    dtype: str
    fortran: bool
    shape: tuple[int, ...]
    start: int


def header(data: bytes) -> Header:
    """The header of npy bytes. Raises Mismatch when it is not one."""
    import ast

    try:
        if data[:6] != MAGIC or data[6] not in (1, 2, 3):
            raise ValueError("no npy magic")
        wide = data[6] > 1
        (length,) = struct.unpack_from("<I" if wide else "<H", data, 8)
        start = (12 if wide else 10) + length
        if length > 1 << 20 or start > len(data):
            raise ValueError("header beyond the file")
        fields = ast.literal_eval(
            data[start - length : start].decode("latin-1" if data[6] < 3 else "utf-8").strip()
        )
        shape = fields["shape"]
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("bad shape")
        return Header(str(fields["descr"]), bool(fields["fortran_order"]), shape, start)
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        SyntaxError,
        struct.error,
        RecursionError,
        MemoryError,
    ) as e:
        raise Mismatch(f"not a readable npy file ({e})") from None


def arrays(old: bytes, new: bytes, where: str, worst: Worst) -> None:
    """Two npy files: shape and dtype exact, floats by tolerance, everything else by bytes. Raises Mismatch.
    """
    a, b = header(old), header(new)
    if a.dtype != b.dtype:
        raise Mismatch(f"{where}dtype {a.dtype} became {b.dtype}")
    if a.shape != b.shape or a.fortran != b.fortran:
        raise Mismatch(
            f"{where}shape {a.shape} became {b.shape}"
            if a.shape != b.shape
            else f"{where}the order in memory differs"
        )
    x, y = old[a.start :], new[b.start :]
    if x == y:
        return
    if "O" in a.dtype:
        raise Mismatch(f"{where}arrays of Python objects differ; they are compared by their bytes alone")
    if a.dtype[1:] not in _FLOATS and a.dtype[1:] != "f2":
        raise Mismatch(f"{where}values of dtype {a.dtype} differ, which is exact")
    if len(x) != len(y):
        raise Mismatch(f"{where}{len(x)} bytes of values became {len(y)}")
    left, right = _floats(a.dtype, x), _floats(a.dtype, y)
    pair = 2 if a.dtype[1] == "c" else 1
    for i, (p, q) in enumerate(zip(left, right, strict=True)):
        if p != q:
            worst.number(p, q, _Place(where, i // pair))


@dataclass(frozen=True)
class _Place:
    where: str
    index: int

    def __str__(self) -> str:
        return f"{self.where}item {self.index}"


def _floats(dtype: str, data: bytes) -> Sequence[float]:
    big = dtype[0] == ">"
    if dtype[1:] == "f2":
        return [v[0] for v in struct.iter_unpack(">e" if big else "<e", data[: len(data) // 2 * 2])]
    values: array[float] = array(_FLOATS[dtype[1:]])
    values.frombytes(data[: len(data) // values.itemsize * values.itemsize])
    if big != (sys.byteorder == "big"):
        values.byteswap()
    return values


def archives(old: bytes, new: bytes, worst: Worst) -> None:
    """Two npz files, member by member. Raises Mismatch."""
    import io
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(io.BytesIO(old)) as a, zipfile.ZipFile(io.BytesIO(new)) as b:
            names = sorted(a.namelist())
            if names != sorted(b.namelist()) or len(set(names)) != len(names):
                raise Mismatch("the arrays in it have other names")
            for name in names:
                x, y = _member(a, name), _member(b, name)
                if x != y:
                    arrays(x, y, f"{name.removesuffix('.npy')}: ", worst)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
    ) as error:
        raise Mismatch(f"not a readable npz file ({error})") from None


def _member(archive: object, name: str) -> bytes:
    import zipfile

    assert isinstance(archive, zipfile.ZipFile)
    if sum(info.file_size for info in archive.infolist()) > NPZ_BOUND:
        raise Mismatch("too large to be compared by value")
    info = archive.getinfo(name)
    with archive.open(info) as member:
        data = member.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise ValueError("a member's size is not what the archive says")
    return data
