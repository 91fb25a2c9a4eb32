"""The strict zip reader: every member is known, named once and accounted for before one byte is written.

The general-purpose readers disagree on malformed archives (the last of two stacked archives, the first of two
duplicates), so an archive that two readers could understand differently is refused here. The rule that does
most of it: local headers, data and descriptors tile the file from byte 0 to the central directory without gap
or overlap, and each local header says what the central directory says. APPNOTE 6.3.10, clauses by number
below.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

from bareboat.errors import ArchiveError

STORED, DEFLATED = 0, 8
CHUNK = 1 << 20  # bytes read, and at most handed on, at a time

_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_LOCATOR64 = struct.Struct("<4sLQL")  # 4.3.15
_EXTRA = struct.Struct("<HH")

_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_DESCRIPTOR = 0x0008
_UTF8 = 0x0800
_KNOWN_FLAGS = 0x0006 | _DESCRIPTOR | _UTF8  # 0x0006: how hard the compressor tried
_U16, _U32 = 0xFFFF, 0xFFFFFFFF


class Source(Protocol):
    """Bytes that can be read anywhere: a file's descriptor, or memory in tests. Safe to use from several
    threads.
    """

    size: int

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly count bytes, or fewer only at the end."""
        ...


@dataclass(frozen=True)
class ZipLimits:
    """What one wheel may unpack to. ratio is judged above ratio_from unpacked bytes: zeros in models are
    real.
    """

    bytes: int = 64 << 30
    entries: int = 2_000_000
    ratio: int = 200
    ratio_from: int = 64 << 20
    name: int = 4096
    depth: int = 56  # with the path of site-packages, within what a tree may have


LIMITS = ZipLimits()


@dataclass(frozen=True)
class Member:
    """One file of the archive. offset: of its compressed bytes; method STORED or DEFLATED; sizes in bytes."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    executable: bool


class Refusal:
    """Makes this archive's errors: each names the wheel's file, the member, and what to do."""

    def __init__(self, filename: str) -> None:
        self.filename = filename

    def __call__(self, code: str, what: str, member: str = "", hint: str = "") -> ArchiveError:
        where = f"{self.filename}: {member!r}" if member else self.filename
        return ArchiveError(
            f"wheel.{code}",
            what,
            where=where,
            hint=hint or "this wheel cannot be installed safely; choose another version, or ask its publisher",
        )


def read_members(source: Source, filename: str, limits: ZipLimits = LIMITS) -> tuple[Member, ...]:
    """All files of the archive, in the order of the central directory; directories are checked and left out.

    Raises ArchiveError "wheel.*" for anything another reader could understand differently, or that is unsafe.
    """
    refuse = Refusal(filename)
    start, end, count = _central_directory(source, refuse)
    if count > limits.entries:
        raise refuse("too-many-entries", f"{count} entries, more than the limit of {limits.entries}")
    if end - start < count * _CENTRAL.size:
        raise refuse("zip-directory", "the central directory is shorter than its number of entries allows")
    data = source.read_at(start, end - start)
    if len(data) != end - start:
        raise refuse("zip-directory", "the central directory is cut off")
    entries: list[tuple[int, Member, int, bytes]] = []
    at = 0
    for _ in range(count):
        entry, at = _central_entry(data, at, refuse, limits)
        entries.append(entry)
    if at != len(data):
        raise refuse("zip-directory", "bytes are left over behind the last entry of the central directory")
    members = _reconcile(source, entries, start, refuse)
    _check_names(members, refuse)
    _check_totals(members, refuse, limits)
    return tuple(m for m in members if not m.name.endswith("/"))


def _central_directory(source: Source, refuse: Refusal) -> tuple[int, int, int]:
    """Start, end and number of entries of the central directory, which must lie directly before the end
    records.
    """
    tail_size = min(source.size, _END.size + _U16 + _LOCATOR64.size)
    tail_at = source.size - tail_size
    tail = source.read_at(tail_at, tail_size)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        hint = "the file is not a zip archive, or cut off: download it again"
        raise refuse("not-a-zip", "no end of central directory was found", hint=hint)
    _, disk, start_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise refuse("trailing-bytes", "bytes follow the end of the archive, or its comment hides a second one")
    end = tail_at + at
    if at >= _LOCATOR64.size and tail[at - _LOCATOR64.size : at - _LOCATOR64.size + 4] == b"PK\6\7":
        _, disk64, end64, disks = _LOCATOR64.unpack_from(tail, at - _LOCATOR64.size)
        if disk64 or disks > 1 or end64 != end - _LOCATOR64.size - _END64.size:
            raise refuse("zip-directory", "the zip64 end record is not where it belongs")
        record = source.read_at(end64, _END64.size)
        if len(record) != _END64.size or record[:4] != b"PK\6\6":
            raise refuse("zip-directory", "the zip64 end record is missing")
        _, length, _, _, d, sd, here64, count64, size64, start64 = _END64.unpack(record)
        if length != _END64.size - 12 or d or sd:
            raise refuse("zip-directory", "the zip64 end record is malformed")
        for small, big, most in (
            (here, here64, _U16),
            (count, count64, _U16),
            (size, size64, _U32),
            (start, start64, _U32),
        ):
            if small not in (big, most):
                raise refuse("zip-directory", "the two end records contradict each other")
        here, count, size, start, end = here64, count64, size64, start64, end64
    elif _U32 in (size, start) or count == _U16:
        raise refuse("zip-directory", "the zip64 end record is missing")
    if disk or start_disk or here != count:
        raise refuse("zip-directory", "archives of several parts are not wheels")
    if start + size != end:
        raise refuse(
            "leading-bytes",
            "the central directory is not where the archive says: there are bytes before "
            "the archive, or a second archive in the file",
        )
    return start, end, count


def _central_entry(
    data: bytes, at: int, refuse: Refusal, limits: ZipLimits
) -> tuple[tuple[int, Member, int, bytes], int]:
    """One entry: (offset of its local header, member still without offset, flags, raw name), and the next's
    place.
    """
    if len(data) - at < _CENTRAL.size or data[at : at + 4] != b"PK\1\2":
        raise refuse("zip-directory", "an entry of the central directory is malformed")
    (
        _,
        _,
        _,
        flags,
        method,
        _,
        _,
        crc,
        packed,
        size,
        name_size,
        extra_size,
        comment_size,
        disk,
        _,
        attributes,
        local,
    ) = _CENTRAL.unpack_from(data, at)
    name_at = at + _CENTRAL.size
    extra_at = name_at + name_size
    after = extra_at + extra_size + comment_size
    if after > len(data):
        raise refuse("zip-directory", "an entry of the central directory is cut off")
    raw = data[name_at:extra_at]
    name = _name(raw, flags, refuse, limits)
    if flags & _ENCRYPTED:
        raise refuse("encrypted", "the member is encrypted", name)
    if flags & ~_KNOWN_FLAGS:
        raise refuse("zip-feature", f"uses a zip feature that wheels have not (flags {flags:#06x})", name)
    if method not in (STORED, DEFLATED):
        raise refuse("compression", f"unknown compression method {method}; wheels are stored or deflated", name)
    if extra_size or _U32 in (size, packed, local) or disk:
        want = [size == _U32, packed == _U32, local == _U32]
        big = _extra(data[extra_at : extra_at + extra_size], sum(want), raw, name, refuse)
        if size == _U32 and big:
            size = big.pop(0)
        if packed == _U32 and big:
            packed = big.pop(0)
        if local == _U32 and big:
            local = big.pop(0)
        if disk:
            raise refuse("zip-directory", "archives of several parts are not wheels", name)
    if method == STORED and packed != size:
        raise refuse("size-mismatch", f"stored with {packed} bytes for {size}", name)
    mode = attributes >> 16
    kind = mode & 0o170000
    directory = name.endswith("/")
    if kind == 0o120000:
        raise refuse("symlink", "the member is a symbolic link, which wheels must not hold", name)
    if kind not in (0, 0o100000, 0o040000) or (kind and (kind == 0o040000) != directory):
        raise refuse("file-type", f"the member is not a plain file (mode {mode:o})", name)
    if directory and size:
        raise refuse("file-type", "a directory with content", name)
    return (local, Member(name, method, crc, packed, size, 0, bool(mode & 0o111)), flags, raw), after


def _extra(extra: bytes, wanted: int, raw: bytes, name: str, refuse: Refusal) -> list[int]:
    """The zip64 values of an extra field (4.5.3), in their order; refuses a field that renames the member."""
    at, values = 0, None
    while at + 4 <= len(extra):
        kind, size = _EXTRA.unpack_from(extra, at)
        body = extra[at + 4 : at + 4 + size]
        if len(body) != size:
            raise refuse("zip-extra", "an extra field is cut off", name)
        if kind == 0x0001:
            if values is not None or len(body) < 8 * wanted:
                raise refuse("zip-extra", "the zip64 field is malformed", name)
            values = [v for (v,) in struct.iter_unpack("<Q", body[: 8 * wanted])]
        elif kind == 0x7075 and body[5:] != raw:
            raise refuse("name-mismatch", "an extra field gives the member another name", name)
        at += 4 + size
    if wanted and values is None:
        # 0xffffffff without a zip64 field is the number itself; no wheel is that exact size by honest means.
        raise refuse("zip-extra", "the zip64 field is missing", name)
    return values or []


def _name(raw: bytes, flags: int, refuse: Refusal, limits: ZipLimits) -> str:
    """The member's name, decoded and judged by itself."""
    shown = raw[:200].decode("utf-8", "backslashreplace")
    if not raw or len(raw) > limits.name:
        raise refuse("name", f"a member's name is empty or longer than {limits.name} bytes", shown)
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise refuse("name-encoding", "the name is not UTF-8, or not marked as such", shown) from None
    if not name.isprintable() and any(c < " " or c == "\x7f" for c in name):
        raise refuse("name", "the name holds a control character", name)
    if "\\" in name:
        raise refuse("name", "the name holds a backslash", name)
    if name.startswith("/") or name[1:2] == ":":
        raise refuse("absolute-name", "the name is an absolute path", name)
    parts = name.removesuffix("/").split("/")
    for part in parts:
        if part in ("", ".", ".."):
            raise refuse("path-traversal", f"the name holds {part!r} as a component", name)
        if part.startswith(".wh."):
            raise refuse("name", "names that begin with .wh. mean a removal in an image", name)
    if len(parts) > limits.depth or any(len(p) > 80 and len(p.encode()) > 255 for p in parts):
        raise refuse("name", "the path is too deep, or a component longer than 255 bytes", name)
    return name


def _reconcile(
    source: Source, entries: list[tuple[int, Member, int, bytes]], end: int, refuse: Refusal
) -> list[Member]:
    """Compare each local header with the directory, and see that they tile the file up to `end`."""
    found: dict[int, Member] = {}
    expected = 0
    for local, member, flags, raw in sorted(entries, key=lambda e: e[0]):
        name = member.name
        if local != expected:
            what = "overlaps another member" if local < expected else "is preceded by bytes of no member"
            raise refuse("overlap" if local < expected else "hidden-bytes", what, name)
        head = source.read_at(local, _LOCAL.size + len(raw) + 64)
        if len(head) < _LOCAL.size + len(raw) or head[:4] != b"PK\3\4":
            raise refuse("local-header", "the local header is missing", name)
        _, _, lflags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack_from(head)
        if name_size != len(raw) or head[_LOCAL.size : _LOCAL.size + name_size] != raw:
            raise refuse("name-mismatch", "the local header gives the member another name", name)
        if lflags != flags or method != member.method:
            raise refuse("local-header", "local header and central directory disagree", name)
        if extra_size:
            extra = head[_LOCAL.size + name_size : _LOCAL.size + name_size + extra_size]
            if len(extra) < extra_size:
                extra = source.read_at(local + _LOCAL.size + name_size, extra_size)
            if len(extra) < extra_size:
                raise refuse("local-header", "the local header is cut off", name)
            big = _extra(extra, (size == _U32) + (packed == _U32), raw, name, refuse)
            wide = extra.startswith(b"\1\0")
            if size == _U32 and big:
                size = big.pop(0)
            if packed == _U32 and big:
                packed = big.pop(0)
        else:
            wide = False
        streamed = bool(flags & _DESCRIPTOR)
        for value, true in ((crc, member.crc), (packed, member.packed), (size, member.size)):
            if value != true and not (streamed and value == 0):
                raise refuse("local-header", "local header and central directory disagree on size or CRC", name)
        offset = local + _LOCAL.size + name_size + extra_size
        expected = offset + member.packed
        if expected > end:
            raise refuse("overlap", "the member runs into the central directory", name)
        if streamed:
            expected += _descriptor_size(source.read_at(expected, min(24, end - expected)), member, wide, refuse)
        found[local] = Member(name, method, member.crc, member.packed, member.size, offset, member.executable)
    if expected != end:
        raise refuse("hidden-bytes", "bytes of no member lie before the central directory")
    if len(found) != len(entries):
        raise refuse("overlap", "two entries name the same bytes")
    return [found[local] for local, _, _, _ in entries]


def _descriptor_size(data: bytes, member: Member, wide: bool, refuse: Refusal) -> int:
    """Length of the data descriptor (4.3.9): with or without signature, 32 or 64 bits; its values must be
    right.
    """
    values = (member.crc, member.packed, member.size)
    for form in ("<4sLQQ", "<4sLLL") if wide else ("<4sLLL", "<4sLQQ"):
        size = struct.calcsize(form)
        if len(data) >= size and data[:4] == b"PK\7\x08" and struct.unpack_from(form, data)[1:] == values:
            return size
    for form in ("<LQQ", "<LLL") if wide else ("<LLL", "<LQQ"):
        size = struct.calcsize(form)
        if len(data) >= size and struct.unpack_from(form, data) == values:
            return size
    raise refuse("local-header", "the data descriptor contradicts the central directory", member.name)


def _check_names(members: list[Member], refuse: Refusal) -> None:
    exact: set[str] = set()
    folded: dict[str, str] = {}
    parents: set[str] = set()
    for m in members:
        name = m.name.removesuffix("/")
        if name in exact:
            raise refuse("duplicate-name", "the name occurs twice", m.name)
        exact.add(name)
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise refuse("case-collision", f"the name differs from {other!r} only in upper and lower case", m.name)
        at = name.rfind("/")
        while at > 0 and (parent := name[:at]) not in parents:
            parents.add(parent)
            at = name.rfind("/", 0, at)
    for m in members:
        if m.name in parents:
            raise refuse("duplicate-name", "the name is a file and a directory", m.name)


def _check_totals(members: list[Member], refuse: Refusal, limits: ZipLimits) -> None:
    size, packed = sum(m.size for m in members), sum(m.packed for m in members)
    if size > limits.bytes:
        raise refuse("too-large", f"unpacks to {size} bytes, more than the limit of {limits.bytes}")
    if size > limits.ratio_from and size > packed * limits.ratio:
        raise refuse("ratio", f"{packed} bytes unpack to {size}, more than {limits.ratio} times as much")
