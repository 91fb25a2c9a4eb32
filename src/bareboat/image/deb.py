"""A Debian binary package as values and streams (deb(5), Debian Policy 3.9 and 5.3). Pure: reads what it
is given.

The one place that knows the format: ar, control.tar, data.tar in whichever compression, and the usr-merge
rewrite.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from bareboat.errors import ArchiveError
from bareboat.image.tarstream import FILE, HARDLINK, SYMLINK, Member, Readable, TarStream

MAGIC = b"!<arch>\n"
MAX_CONTROL = 16 << 20  # unpacked
MAX_DATA = 16 << 30  # unpacked
RATIO, RATIO_AFTER = 200, 64 << 20  # a data.tar may not grow further than this, once it is large
XZ_MEMORY = 512 << 20
ALIASED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32")  # merged into /usr (Debian's usrmerge)
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config", "triggers")


@dataclass(frozen=True)
class Control:
    """A package's control part. fields: the control file's; scripts: names of maintainer scripts that will
    not run; text: the control file as it was shipped."""

    fields: dict[str, str]
    text: str
    scripts: tuple[str, ...] = ()
    conffiles: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)  # the maintainer scripts themselves


@dataclass(frozen=True)
class _Section:
    name: str
    offset: int
    size: int


class _Window(io.RawIOBase):
    """A bounded part of a seekable file as a file of its own."""

    def __init__(self, file: BinaryIO, section: _Section) -> None:
        self._file, self._left = file, section.size
        file.seek(section.offset)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


class _Inflating:
    """read(n) over lzma's or bz2's decompressor objects, which bound what one call may produce."""

    def __init__(
        self, source: Readable, engine: object, errors: tuple[type[Exception], ...], where: str
    ) -> None:
        self._source, self._engine, self._errors, self._where = source, engine, errors, where

    def read(self, size: int) -> bytes:
        engine = self._engine
        while not engine.eof:  # type: ignore[attr-defined]
            feed = self._source.read(1 << 16) if engine.needs_input else b""  # type: ignore[attr-defined]
            if engine.needs_input and not feed:  # type: ignore[attr-defined]
                raise ArchiveError(
                    "deb.truncated", "the package ends in the middle of its data", where=self._where
                )
            try:
                data: bytes = engine.decompress(feed, size)  # type: ignore[attr-defined]
            except self._errors as error:
                raise ArchiveError(
                    "deb.data", f"the package does not decompress: {error}", where=self._where
                ) from error
            if data:
                return data
        return b""


class _Guarded:
    """Errors of a decompressing file as ours, and a bound on how far it may grow."""

    def __init__(
        self, source: Readable, stored: int, errors: tuple[type[Exception], ...], where: str
    ) -> None:
        self._source, self._errors, self._where = source, errors, where
        self._bound = max(stored * RATIO, RATIO_AFTER)

    def read(self, size: int) -> bytes:
        try:
            data = self._source.read(size)
        except self._errors as error:
            raise ArchiveError(
                "deb.data", f"the package does not decompress: {error}", where=self._where
            ) from error
        self._bound -= len(data)
        if self._bound < 0:
            raise ArchiveError(
                "deb.bomb", f"the package unpacks to more than {RATIO} times its size", where=self._where
            )
        return data


def _inflate(file: BinaryIO, section: _Section, stem: str, where: str) -> Readable:
    window = io.BufferedReader(_Window(file, section), 1 << 16)
    suffix = section.name[len(stem) :]
    errors: tuple[type[Exception], ...] = ()
    source: Readable
    if suffix == "":
        return window
    if suffix == ".xz":
        import lzma

        errors = (lzma.LZMAError, MemoryError)
        engine = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
        source = _Inflating(window, engine, errors, where)
    elif suffix == ".bz2":
        import bz2

        source = _Inflating(window, bz2.BZ2Decompressor(), (OSError, ValueError), where)
    elif suffix == ".gz":
        from isal import igzip, isal_zlib

        errors = (OSError, EOFError, isal_zlib.error)  # type: ignore[assignment]
        source = igzip.IGzipFile(fileobj=window, mode="rb")  # type: ignore[no-untyped-call]
    elif suffix == ".zst":
        import zstandard

        errors = (zstandard.ZstdError,)
        source = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
            window, read_across_frames=True
        )
    else:
        raise ArchiveError(
            "deb.compression",
            f"unknown compression of the member {section.name!r}",
            where=where,
            hint="bareboat reads data.tar plain or with .xz, .zst, .gz and .bz2",
        )
    return _Guarded(source, section.size, errors, where)


def _sections(file: BinaryIO, where: str) -> list[_Section]:
    """The ar members, as deb(5) allows them: common format, names up to 16 bytes, even offsets."""
    file.seek(0, io.SEEK_END)
    end = file.tell()
    file.seek(0)
    if file.read(8) != MAGIC:
        raise ArchiveError("deb.format", "this is not a Debian package (no ar archive)", where=where)
    found: list[_Section] = []
    offset = 8
    while offset < end:
        file.seek(offset)
        header = file.read(60)
        size = header[48:58].strip()
        if len(header) < 60 or header[58:] != b"`\n" or not size.isdigit():
            raise ArchiveError("deb.truncated", "a damaged ar header", where=where)
        name = header[:16].decode("ascii", "replace").rstrip(" ").removesuffix("/")
        section = _Section(name, offset + 60, int(size))
        if section.offset + section.size > end:
            raise ArchiveError("deb.truncated", f"the member {name!r} is cut off", where=where)
        found.append(section)
        offset = section.offset + section.size + section.size % 2
        if len(found) > 64:
            raise ArchiveError("deb.format", "too many ar members", where=where)
    return found


def parse_fields(text: str) -> dict[str, str]:
    """The first paragraph of a control file (Debian Policy 5.1): folded values keep their line ends."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.strip():
            if fields:
                break
        elif line[0] in " \t":
            if name:
                fields[name] += "\n" + line.strip()
        elif not line.startswith("#"):
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields


class DebFile:
    """An opened package: `control`, then `members()` once. The caller keeps the file open and closes it.

    ArchiveError: "deb.format", "deb.truncated", "deb.compression", "deb.data", "deb.bomb", "tar.*".
    """

    def __init__(self, file: BinaryIO, where: str = "") -> None:
        self._file, self.where = file, where
        sections = [
            s for s in _sections(file, where) if not s.name.startswith("_")
        ]  # deb(5): _ may be ignored
        names = [s.name for s in sections]
        if (
            len(sections) != 3
            or names[0] != "debian-binary"
            or not names[1].startswith("control.tar")
            or not names[2].startswith("data.tar")
        ):
            raise ArchiveError(
                "deb.format",
                f"the members are {', '.join(names) or 'none'} and not debian-binary, control.tar, data.tar",
                where=where,
            )
        file.seek(sections[0].offset)
        version = file.read(min(sections[0].size, 64))
        if not version.startswith(b"2."):
            raise ArchiveError("deb.format", f"the package format {version[:16]!r} is not 2.0", where=where)
        self._data = sections[2]
        _inflate(
            file, self._data, "data.tar", where
        )  # an unknown compression is refused before anything is read
        self.control = self._read_control(sections[1])

    def _read_control(self, section: _Section) -> Control:
        texts: dict[str, str] = {}
        stream = TarStream(_inflate(self._file, section, "control.tar", self.where), self.where, MAX_CONTROL)
        for member in stream:
            if member.kind == FILE and "/" not in member.path:
                texts[member.path] = b"".join(stream.chunks()).decode("utf-8", "replace")
        if "control" not in texts:
            raise ArchiveError("deb.format", "the package has no control file", where=self.where)
        fields = parse_fields(texts["control"])
        if not fields.get("Package") or not fields.get("Version"):
            raise ArchiveError("deb.format", "the control file names no package or version", where=self.where)
        scripts = {name: texts[name] for name in _SCRIPTS if name in texts}
        conffiles = tuple(
            line.lstrip("/") for line in texts.get("conffiles", "").splitlines() if line.startswith("/")
        )
        return Control(fields, texts["control"], tuple(scripts), conffiles, scripts)

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Each entry of data.tar, usr-merged, with its content; a path comes twice only if the package
        says so."""
        stream = TarStream(_inflate(self._file, self._data, "data.tar", self.where), self.where, MAX_DATA)
        for member in stream:
            yield usr_merge(member), stream.chunks()


def merged_path(path: str) -> str:
    """Where a path lies once /bin, /sbin and /lib* are links into /usr."""
    head, slash, rest = path.partition("/")
    return f"usr/{head}{slash}{rest}" if head in ALIASED else path


def _resolve(directory: str, target: str) -> str:
    parts: list[str] = []
    for part in (target if target.startswith("/") else f"{directory}/{target}").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def usr_merge(member: Member) -> Member:
    """A member as it lies in a usr-merged tree: path and hard link target moved; a relative symbolic link
    that the move would break gets an absolute target. The alias links themselves (/bin → usr/bin) stay."""
    if member.path in ALIASED and member.kind == SYMLINK:
        return member
    path = merged_path(member.path)
    link = member.link
    if member.kind == HARDLINK:
        link = merged_path(link)
    elif member.kind == SYMLINK and path != member.path and not link.startswith("/"):
        meant = merged_path(_resolve(member.path.rpartition("/")[0], link))
        if _resolve(path.rpartition("/")[0], link) != meant:
            link = "/" + meant
    return member if (path, link) == (member.path, member.link) else replace(member, path=path, link=link)
