"""A reader of tar streams: member by member, never seeking, nothing kept in memory. Pure.

ustar, GNU long names and PAX (POSIX.1-2017 pax, GNU tar manual); in layers V7, sparse members and global headers too.
Whatever could be read in two ways is refused, since a name that is checked must be the name that is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from bareboat.errors import ArchiveError
from bareboat.image import sparse

BLOCK = 512
CHUNK = 1 << 18
MAX_HEADER = 1 << 20  # a pax header or long name may not be larger
MAX_NAME = 4096
MAX_DEPTH = 256
FILE, HARDLINK, SYMLINK, DIRECTORY, OTHER = "file", "hardlink", "symlink", "directory", "other"
_KINDS = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"1": HARDLINK,
    b"2": SYMLINK,
    b"5": DIRECTORY,
    b"3": OTHER,
    b"4": OTHER,
    b"6": OTHER,
}
_XATTR = "SCHILY.xattr."


class Readable(Protocol):
    """What a tar is read from: read(n) gives at most n bytes, and b"" only at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Rules:
    """What of tar is read. loose_names: "/a", "a//b" and "a/./b" are names (never ".."); loose_end: the end need not be
    marked; sparse: sparse members and global headers are read, else refused and passed over.
    """

    loose_names: bool = False
    loose_end: bool = False
    sparse: bool = False


STRICT = Rules()  # Debian's packages: dpkg-deb writes one form
LAYER = Rules(loose_names=True, loose_end=True, sparse=True)  # what image builders have written in ten years


@dataclass(frozen=True)
class Member:
    """A tar entry. path: relative, normalised, "" for the root itself; link: target as stored (hard links
    relative, normalised). kind "other" is a device or fifo. mode: permission bits with setuid, setgid,
    sticky. mtime: whole seconds. xattrs: names and values; device: type flag, major, minor of what is "other".
    """

    path: str
    kind: str
    mode: int = 0o644
    size: int = 0
    link: str = ""
    uid: int = 0
    gid: int = 0
    owner: str = ""
    group: str = ""
    mtime: int = 0
    xattrs: tuple[tuple[str, str], ...] = ()
    device: tuple[str, int, int] | None = None


def clean_path(name: str, where: str, rules: Rules = STRICT) -> str:
    """A member's name as a relative path. ArchiveError "tar.path" for what leaves the root or is
    ambiguous."""
    if rules.loose_names:
        return _loose_path(name, where)
    if "\0" in name or name.startswith("/") or len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise ArchiveError(
            "tar.path", f"the member name {_short(name)} is absolute, too long or holds a NUL", where=where
        )
    while name.startswith("./"):
        name = name[2:]
    name = name.rstrip("/")
    if name in ("", "."):
        return ""
    parts = name.split("/")
    if len(parts) > MAX_DEPTH or any(p in ("", ".", "..") for p in parts):
        raise ArchiveError(
            "tar.path", f"the member name {_short(name)} has empty, '.' or '..' parts or is too deep", where=where
        )
    return name


def _loose_path(name: str, where: str) -> str:
    """".." is refused even where it stays inside: on the way through a link it means another directory than in text."""
    if "\0" in name or len(name) > MAX_NAME or len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise ArchiveError("tar.path", f"the member name {_short(name)} is over {MAX_NAME:,} bytes or holds a NUL",
                           where=where)
    parts = [p for p in name.split("/") if p not in ("", ".")]
    if ".." in parts:
        raise ArchiveError("tar.path", f"the member name {_short(name)} has a '..' part", where=where,
                           hint="the archive is malformed or malicious; nothing of it is kept")
    if len(parts) > MAX_DEPTH:
        raise ArchiveError("tar.path", f"the member name {_short(name)} is over {MAX_DEPTH} directories deep",
                           where=where)
    return "/".join(parts)


def _short(name: str) -> str:
    return repr(name if len(name) <= 200 else name[:200] + "…")


def _number(field: bytes, where: str) -> int:
    if field[:1] == b"\x80":  # GNU base-256, positive
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if text.strip(b"01234567"):
        raise ArchiveError("tar.header", "is not a tar, or is damaged: a number in a header is not octal", where=where,
                           hint="copy it again, and see that it is the right file")
    return int(text, 8) if text else 0


def _time(field: bytes, where: str) -> int:
    """As _number; before 1970 (base-256, negative) is 1970."""
    return 0 if field[:1] == b"\xff" else _number(field, where)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


class TarStream:
    """Iterate over a tar: `for member in stream` with `stream.chunks()` for the current file's bytes.

    max_bytes bounds the whole stream; beyond it, ArchiveError "tar.bomb". Broken: "tar.header",
    "tar.truncated". What follows the end is not read.
    """

    def __init__(self, source: Readable, where: str, max_bytes: int = 64 << 30, rules: Rules = STRICT) -> None:
        self._source, self._where, self._max, self._rules = source, where, max_bytes, rules
        self._left = self._padding = self.total = 0
        self._map: sparse.Map | None = None

    def _read(self, size: int) -> bytes:
        self.total += size
        if self.total > self._max:
            raise ArchiveError(
                "tar.bomb", f"the archive unpacks to more than {self._max} bytes", where=self._where
            )
        data = self._source.read(size)
        if len(data) == size:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and data:
            data = self._source.read(missing)
            parts.append(data)
            missing -= len(data)
        if missing:
            raise self._truncated()
        return b"".join(parts)

    def _truncated(self) -> ArchiveError:
        return ArchiveError("tar.truncated", "the archive ends in the middle of a member", where=self._where)

    def chunks(self) -> Iterator[bytes]:
        """The current member's content, in pieces; empty once consumed. Holes of sparse members are zeros."""
        if self._map is not None:
            found, self._map = self._map, None
            return found.expand(self._stored())
        return self._stored()

    def _stored(self) -> Iterator[bytes]:
        while self._left:
            data = self._read(min(self._left, CHUNK))
            self._left -= len(data)
            yield data

    def _skip(self) -> None:
        self._map = None
        for _ in self._stored():
            pass
        if self._padding:
            self._read(self._padding)
            self._padding = 0

    def _small(self, size: int) -> bytes:
        if size > MAX_HEADER:
            raise ArchiveError("tar.header", f"an extended header of {size:,} bytes; {MAX_HEADER:,} are allowed",
                               where=self._where)
        data = self._read(size)
        if size % BLOCK:
            self._read(BLOCK - size % BLOCK)
        return data

    def _header(self) -> bytes:
        """The next header block, b"" at the end of the archive."""
        if not self._rules.loose_end:
            header = self._read(BLOCK)
            return header if header.strip(b"\0") else b""  # what follows the first zero block is padding
        header = self._block()
        if header and not header.strip(b"\0"):
            header = self._block()
            if header.strip(b"\0"):
                raise ArchiveError("tar.header", "a member follows an end mark of one block: some readers see it, "
                                                 "some do not", where=self._where)
            return b""
        return header

    def _block(self) -> bytes:
        """A block, or b"" where the stream ends before it."""
        data = self._source.read(BLOCK)
        while data and len(data) < BLOCK:
            more = self._source.read(BLOCK - len(data))
            if not more:
                raise self._truncated()
            data += more
        self.total += len(data)
        if self.total > self._max:
            raise ArchiveError("tar.bomb", f"the archive unpacks to more than {self._max:,} bytes", where=self._where)
        return data

    def __iter__(self) -> Iterator[Member]:
        extended: dict[str, str] = {}
        where = self._where
        while True:
            self._skip()
            header = self._header()
            if not header:
                if extended and self._rules.loose_end:
                    raise self._truncated()
                return
            checked = header[148:156]
            if sum(header) - sum(checked) + 256 != _number(checked, where):
                raise ArchiveError("tar.header", "a tar header's checksum is wrong", where=where)
            kind, size = header[156:157], _number(header[124:136], where)
            if kind in b"xLKg":
                data = self._small(size)
                if kind == b"L":
                    self._extend(extended, {"path": _text(data)})
                elif kind == b"K":
                    self._extend(extended, {"linkpath": _text(data)})
                elif kind == b"x":
                    self._extend(extended, self._pax(data))
                elif self._rules.sparse:
                    self._global(data)
                continue
            member = self._member(header, kind, size, extended)
            extended = {}
            yield member

    def _extend(self, extended: dict[str, str], found: dict[str, str]) -> None:
        for key in ("path", "linkpath"):
            if self._rules.loose_names and found.get(key, extended.get(key)) != extended.get(key, found.get(key)):
                raise ArchiveError("tar.header", f"two extended headers give a member a different {key}",
                                   where=self._where)
        extended.update(found)

    def _global(self, data: bytes) -> None:
        """Comments and times for all are passed over; what would rename or resize members is refused."""
        for key in self._pax(data):
            if key in ("path", "linkpath", "size") or key.startswith("GNU.sparse"):
                raise ArchiveError("tar.header", f"a global pax header sets {key}", where=self._where)

    def _pax(self, data: bytes) -> dict[str, str]:
        found: dict[str, str] = {}
        pairs = []
        at = 0
        while at < len(data):
            space = data.find(b" ", at, at + 9)
            size = int(data[at:space]) if space > 0 and data[at:space].isdigit() else 0
            equals = data.find(b"=", space, at + size)
            if size < 5 or at + size > len(data) or equals < 0 or data[at + size - 1] != 10:
                raise ArchiveError("tar.header", "a malformed pax record", where=self._where)
            key = data[space + 1 : equals].decode("utf-8", "replace")
            value = data[equals + 1 : at + size - 1].decode("utf-8", "surrogateescape")
            at += size
            if key.startswith("GNU.sparse"):
                if not self._rules.sparse:
                    raise ArchiveError("tar.header", "sparse members are not supported", where=self._where)
                if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
                    pairs.append(value)
                    continue
            if self._rules.loose_names and not value and key in ("path", "linkpath", "size"):
                raise ArchiveError("tar.header", f"a pax header with an empty {key}", where=self._where)
            found[key] = value
        if pairs:
            found["GNU.sparse.map"] = ",".join(pairs)
        return found

    def _member(self, header: bytes, code: bytes, size: int, extended: dict[str, str]) -> Member:
        where, rules = self._where, self._rules
        old_sparse = rules.sparse and code == b"S"
        kind = FILE if old_sparse else _KINDS.get(code)
        if kind is None:
            raise ArchiveError("tar.header", f"a member of unknown type {code!r}", where=where)
        name = _text(header[:100])
        if header[257:263] == b"ustar\0" and header[345] != 0:
            name = _text(header[345:500]) + "/" + name
        if "path" in extended:
            name = extended["path"]
        if "size" in extended:
            pax_size = extended["size"]
            if not (pax_size.isascii() and pax_size.isdigit() and len(pax_size) < 20) or (
                size not in (0, int(pax_size)) and size < 1 << 33
            ):
                raise ArchiveError("tar.header", "a member's pax size contradicts its header", where=where)
            size = int(pax_size)
        name = extended.get("GNU.sparse.name", name)
        link = extended.get("linkpath", _text(header[157:257]))
        path = clean_path(name, where, rules)
        if kind == HARDLINK:
            link = clean_path(link.lstrip("/"), where, rules)
        elif kind == SYMLINK and (not link or "\0" in link or len(link) > MAX_NAME):
            raise ArchiveError("tar.path", f"the symbolic link {_short(path)} has no usable target", where=where)
        if kind == FILE and name.endswith("/"):
            if size and rules.loose_names:
                raise ArchiveError("tar.header", f"{_short(path)} is a directory by its name and has content",
                                   where=where)
            kind = DIRECTORY  # as in V7 archives
        stored = size if code != b"1" and kind == FILE else 0
        self._left, self._padding = stored, -stored % BLOCK
        real = stored
        if old_sparse or "GNU.sparse.map" in extended or "GNU.sparse.major" in extended:
            real = self._sparse(header, extended, old_sparse)
        uid, gid = self._owner(header[108:116], extended, "uid"), self._owner(header[116:124], extended, "gid")
        return Member(
            path,
            kind,
            _number(header[100:108], where) & 0o7777,
            real,
            link if kind in (HARDLINK, SYMLINK) else "",
            uid,
            gid,
            _text(header[265:297]),
            _text(header[297:329]),
            self._mtime(header[136:148], extended),
            tuple((k[len(_XATTR) :], v) for k, v in extended.items() if k.startswith(_XATTR)) if extended else (),
            (code.decode(), *self._device(header)) if kind == OTHER else None,
        )

    def _device(self, header: bytes) -> tuple[int, int]:
        if header[257:262] != b"ustar":
            return 0, 0
        return _number(header[329:337], self._where), _number(header[337:345], self._where)

    def _owner(self, field: bytes, extended: dict[str, str], key: str) -> int:
        text = extended.get(key, "") if self._rules.loose_names else ""
        if not text:
            return _number(field, self._where)
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise ArchiveError("tar.header", f"a pax header with the {key} {text[:40]!r}", where=self._where)
        return int(text)

    def _mtime(self, field: bytes, extended: dict[str, str]) -> int:
        if not self._rules.loose_names:
            return 0
        text = extended.get("mtime", "").partition(".")[0]
        if not text:
            return _time(field, self._where)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise ArchiveError("tar.header", f"a pax header with the mtime {text[:40]!r}", where=self._where)
        return 0 if text[0] == "-" else int(text)

    def _sparse(self, header: bytes, extended: dict[str, str], old: bool) -> int:
        """Read the map of a sparse member; its real size."""
        where, left = self._where, self._left
        if left == 0 and header[156:157] not in b"0\x007S":
            raise ArchiveError("tar.header", "a sparse member that is no file", where=where)
        if old:
            blocks = [header[386:483]]
            while blocks[-1][-1:] == b"\1":
                if len(blocks) * BLOCK > MAX_HEADER:
                    raise ArchiveError("tar.header", "a sparse member with too large a map", where=where)
                blocks.append(self._read(BLOCK)[:505])
            numbers = [_number(b[at : at + 12], where) for b in blocks for at in range(0, len(b) - 1, 12) if b[at]]
            self._map = sparse.checked(numbers, _number(header[483:495], where), left, where)
        elif extended.get("GNU.sparse.major", "0") == "0":
            real = extended.get("GNU.sparse.realsize", extended.get("GNU.sparse.size", ""))
            listed = extended.get("GNU.sparse.map", "")
            self._map = sparse.checked(sparse.numbers(listed.split(",") if listed else (), where),
                                       sparse.numbers([real], where)[0], left, where)
        else:
            values = sparse.numbers(self._map_lines(), where)
            self._map = sparse.checked(values, sparse.numbers([extended.get("GNU.sparse.realsize", "")], where)[0],
                                       self._left, where)
        return self._map.size

    def _map_lines(self) -> list[str]:
        """GNU.sparse 1.0: the map is in front of the data, a number a line, in whole blocks."""
        blocks: list[bytes] = []
        lines = wanted = 0
        while not wanted or lines < wanted:
            if len(blocks) * BLOCK > MAX_HEADER or self._left < BLOCK:
                raise ArchiveError("tar.header", "a sparse member without a whole map", where=self._where)
            blocks.append(self._read(BLOCK))
            self._left -= BLOCK
            lines += blocks[-1].count(b"\n")
            if not wanted and lines:
                first = b"".join(blocks).partition(b"\n")[0].decode("ascii", "replace")
                wanted = 1 + 2 * sparse.numbers([first], self._where)[0]
        return b"".join(blocks).decode("ascii", "replace").split("\n")[1:wanted]
