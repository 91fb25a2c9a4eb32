"""A strict reader of tar streams: member by member, never seeking, nothing kept in memory. Pure.

ustar, GNU long names and PAX (POSIX.1-2017 pax, GNU tar manual). Whatever could be read in two ways is
refused, since a name that is checked must be the name that is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from bareboat.errors import ArchiveError

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


class Readable(Protocol):
    """What a tar is read from: read(n) gives at most n bytes, and b"" only at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Member:
    """A tar entry. path: relative, normalised, "" for the root itself; link: target as stored (hard links
    relative, normalised). kind "other" is a device or fifo. mode: permission bits with setuid, setgid,
    sticky."""

    path: str
    kind: str
    mode: int = 0o644
    size: int = 0
    link: str = ""
    uid: int = 0
    gid: int = 0
    owner: str = ""
    group: str = ""


def clean_path(name: str, where: str) -> str:
    """A member's name as a relative path. ArchiveError "tar.path" for what leaves the root or is
    ambiguous."""
    if "\0" in name or name.startswith("/") or len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise ArchiveError(
            "tar.path", f"the member name {name!r} is absolute, too long or holds a NUL", where=where
        )
    while name.startswith("./"):
        name = name[2:]
    name = name.rstrip("/")
    if name in ("", "."):
        return ""
    parts = name.split("/")
    if len(parts) > MAX_DEPTH or any(p in ("", ".", "..") for p in parts):
        raise ArchiveError(
            "tar.path", f"the member name {name!r} has empty, '.' or '..' parts or is too deep", where=where
        )
    return name


def _number(field: bytes, where: str) -> int:
    if field[:1] == b"\x80":  # GNU base-256, positive
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise ArchiveError(
            "tar.header", f"the number {field!r} in a tar header is not octal", where=where
        ) from None


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


class TarStream:
    """Iterate over a tar: `for member in stream` with `stream.chunks()` for the current file's bytes.

    max_bytes bounds the whole stream; beyond it, ArchiveError "tar.bomb". Broken: "tar.header",
    "tar.truncated".
    """

    def __init__(self, source: Readable, where: str, max_bytes: int = 64 << 30) -> None:
        self._source, self._where, self._max = source, where, max_bytes
        self._left = self._padding = self.total = 0

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
            raise ArchiveError(
                "tar.truncated", "the archive ends in the middle of a member", where=self._where
            )
        return b"".join(parts)

    def chunks(self) -> Iterator[bytes]:
        """The current member's content, in pieces; empty once consumed."""
        while self._left:
            data = self._read(min(self._left, CHUNK))
            self._left -= len(data)
            yield data

    def _skip(self) -> None:
        for _ in self.chunks():
            pass
        if self._padding:
            self._read(self._padding)
            self._padding = 0

    def _small(self, size: int) -> bytes:
        if size > MAX_HEADER:
            raise ArchiveError("tar.header", f"an extended header of {size} bytes", where=self._where)
        data = self._read(size)
        if size % BLOCK:
            self._read(BLOCK - size % BLOCK)
        return data

    def __iter__(self) -> Iterator[Member]:
        extended: dict[str, str] = {}
        while True:
            self._skip()
            header = self._read(BLOCK)
            if not header.strip(b"\0"):
                return  # what follows the first zero block is padding
            stored = _number(header[148:156], self._where)
            if sum(header[:148]) + 256 + sum(header[156:]) != stored:
                raise ArchiveError("tar.header", "a tar header's checksum is wrong", where=self._where)
            kind, size = header[156:157], _number(header[124:136], self._where)
            if kind in b"xLKg":
                data = self._small(size)
                if kind == b"L":
                    extended["path"] = _text(data)
                elif kind == b"K":
                    extended["linkpath"] = _text(data)
                elif kind == b"x":
                    extended.update(self._pax(data))
                continue
            member = self._member(header, kind, size, extended)
            extended = {}
            self._left = member.size
            self._padding = -member.size % BLOCK
            yield member

    def _pax(self, data: bytes) -> dict[str, str]:
        found: dict[str, str] = {}
        while data:
            length, space, _ = data.partition(b" ")
            size = int(length) if space and length.isdigit() else 0
            record = data[len(length) + 1 : size]
            key, equals, value = record.partition(b"=")
            if size < 5 or size > len(data) or not equals or not value.endswith(b"\n"):
                raise ArchiveError("tar.header", "a malformed pax record", where=self._where)
            if key.startswith(b"GNU.sparse"):
                raise ArchiveError("tar.header", "sparse members are not supported", where=self._where)
            found[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
            data = data[size:]
        return found

    def _member(self, header: bytes, code: bytes, size: int, extended: dict[str, str]) -> Member:
        where = self._where
        kind = _KINDS.get(code)
        if kind is None:
            raise ArchiveError("tar.header", f"a member of unknown type {code!r}", where=where)
        name = _text(header[:100])
        if header[257:263] == b"ustar\0" and header[345] != 0:
            name = _text(header[345:500]) + "/" + name
        if "path" in extended:
            name = extended["path"]
        if "size" in extended:
            pax_size = extended["size"]
            if not pax_size.isdigit() or (size not in (0, int(pax_size)) and size < 1 << 33):
                raise ArchiveError("tar.header", "a member's pax size contradicts its header", where=where)
            size = int(pax_size)
        link = extended.get("linkpath", _text(header[157:257]))
        path = clean_path(name, where)
        if kind == HARDLINK:
            link = clean_path(link.lstrip("/"), where)
        elif kind == SYMLINK and (not link or "\0" in link or len(link) > MAX_NAME):
            raise ArchiveError("tar.path", f"the symbolic link {path!r} has no usable target", where=where)
        if kind == FILE and name.endswith("/"):
            kind = DIRECTORY  # as in V7 archives
        return Member(
            path,
            kind,
            _number(header[100:108], where) & 0o7777,
            size if kind == FILE else 0,
            link if kind in (HARDLINK, SYMLINK) else "",
            _number(header[108:116], where),
            _number(header[116:124], where),
            _text(header[265:297]),
            _text(header[297:329]),
        )
