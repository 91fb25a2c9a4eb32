"""Zip archives built by hand, byte by byte: every field can be made to lie. For tests only."""

from __future__ import annotations

import struct
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

REGULAR = 0o100644 << 16
UTF8 = 0x0800
STREAMED = 0x0008


@dataclass(frozen=True)
class Part:
    """One member. None in a local_* or declared field: the truth."""

    name: bytes
    data: bytes = b""
    method: int = 8
    flags: int = UTF8
    attributes: int = REGULAR
    local_name: bytes | None = None
    local_crc: int | None = None
    local_size: int | None = None
    local_packed: int | None = None
    local_method: int | None = None
    local_flags: int | None = None
    crc: int | None = None
    size: int | None = None
    packed: bytes | None = None
    descriptor: str = "<4sLLL"  # only with STREAMED
    extra: bytes = b""
    local_extra: bytes = b""
    zip64: bool = False
    before: bytes = b""
    offset: int | None = None
    in_directory: bool = True

    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        if self.method != 8:
            return self.data
        c = zlib.compressobj(6, zlib.DEFLATED, -15)
        return c.compress(self.data) + c.flush()


@dataclass(frozen=True)
class Archive:
    """The whole file. count, start, size: lies of the end record."""

    parts: Sequence[Part]
    prefix: bytes = b""
    suffix: bytes = b""
    comment: bytes = b""
    gap: bytes = b""
    count: int | None = None
    start: int | None = None
    size: int | None = None
    zip64_end: bool = False
    repeat: tuple[int, ...] = field(default=())  # indexes of entries listed twice

    def build(self) -> bytes:
        out, directory = bytearray(self.prefix), []
        for p in self.parts:
            out += p.before
            at, body = len(out), p.body()
            crc = zlib.crc32(p.data) if p.crc is None else p.crc
            size = len(p.data) if p.size is None else p.size
            flags = p.flags if p.local_flags is None else p.local_flags
            streamed = flags & STREAMED
            lcrc = (0 if streamed else crc) if p.local_crc is None else p.local_crc
            lsize = (0 if streamed else size) if p.local_size is None else p.local_size
            lpacked = (0 if streamed else len(body)) if p.local_packed is None else p.local_packed
            lextra, extra = p.local_extra, p.extra
            if p.zip64:
                lextra = struct.pack("<HHQQ", 1, 16, lsize, lpacked) + lextra
                extra = struct.pack("<HHQQ", 1, 16, size, len(body)) + extra
                lsize = lpacked = 0xFFFFFFFF
            name = p.name if p.local_name is None else p.local_name
            method = p.method if p.local_method is None else p.local_method
            out += struct.pack(
                "<4s5H3L2H", b"PK\3\4", 20, flags, method, 0, 33, lcrc, lpacked, lsize, len(name), len(lextra)
            )
            out += name + lextra + body
            if streamed:
                values = (crc, len(body), size)
                out += struct.pack(p.descriptor, *(values if "s" not in p.descriptor else (b"PK\7\x08", *values)))
            dsize, dpacked = (0xFFFFFFFF, 0xFFFFFFFF) if p.zip64 else (size, len(body))
            if p.in_directory:
                directory.append(
                    struct.pack(
                        "<4s6H3L5H2L",
                        b"PK\1\2",
                        0x0314,
                        20,
                        p.flags,
                        p.method,
                        0,
                        33,
                        crc,
                        dpacked,
                        dsize,
                        len(p.name),
                        len(extra),
                        0,
                        0,
                        0,
                        p.attributes,
                        at if p.offset is None else p.offset,
                    )
                    + p.name
                    + extra
                )
        out += self.gap
        directory += [directory[i] for i in self.repeat]
        start, central = len(out), b"".join(directory)
        out += central
        count = len(directory) if self.count is None else self.count
        start = start if self.start is None else self.start
        size = len(central) if self.size is None else self.size
        if self.zip64_end:
            end = len(out)
            out += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
            out += struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
            count, size, start = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
        out += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, start, len(self.comment))
        return bytes(out + self.comment + self.suffix)


def record_row(name: str, data: bytes) -> str:
    digest = urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
    quoted = f'"{name}"' if "," in name else name
    return f"{quoted},sha256={digest},{len(data)}"


INFO = "demo-1.0.dist-info"
FILENAME = "demo-1.0-py3-none-any.whl"
WHEEL = b"Wheel-Version: 1.0\nGenerator: forge\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"


def wheel_parts(
    files: dict[str, bytes] | None = None,
    *,
    record: str | None = None,
    info: str = INFO,
    wheel: bytes = WHEEL,
) -> list[Part]:
    """The members of a right wheel: the files, then the metadata, RECORD last."""
    contents = {"demo/__init__.py": b"x = 1\n", **(files or {})}
    contents[f"{info}/METADATA"], contents[f"{info}/WHEEL"] = METADATA, wheel
    if record is None:
        record = "".join(record_row(n, d) + "\n" for n, d in contents.items() if not n.endswith("/"))
        record += f"{info}/RECORD,,\n"
    contents[f"{info}/RECORD"] = record.encode()
    return [Part(n.encode(), d) for n, d in contents.items()]


def changed(parts: Sequence[Part], number: int, **fields: object) -> list[Part]:
    """The parts with one of them different."""
    return [replace(p, **fields) if i == number else p for i, p in enumerate(parts)]  # type: ignore[arg-type]
