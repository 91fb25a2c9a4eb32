"""load: the images of a tar of `bareboat save`, `docker save` or an OCI layout become this machine's."""

from __future__ import annotations

import io
import zlib
from typing import Any, BinaryIO

from bareboat.errors import ArchiveError, UsageError
from bareboat.image.reference import parse_reference
from bareboat.image.tarstream import Readable
from bareboat.registry.archive import read_archive
from bareboat.registry.places import ARCHIVE, Place
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment
from bareboat.verbs.pull import keep

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def load(file: BinaryIO, where: str, platform: str, work: Work) -> list[tuple[tuple[str, ...], Environment]]:
    """Every image of an archive, compressed or not, with the names that it was saved under.

    Raises ArchiveError "archive.*" and what pulling raises; images before the one that failed are there.
    """
    stored, found = read_archive(work.store, opened(file, where), where)
    if not found:
        raise ArchiveError("archive.unknown", "its index names no image", where=where,
                           hint="what `bareboat archive` wrote is taken by `bareboat archive --restore`")
    loaded = []
    for named in found:
        names = tuple(dict.fromkeys(name for n in named.names if (name := _name_here(n, work))))
        loaded.append((names, keep(stored, Place(ARCHIVE, wanted=named.content.digest), names, platform, work)))
    return loaded


def opened(file: BinaryIO, where: str) -> Readable:
    """The tar of a stream that may be compressed with gzip or zstd, told by its first bytes.

    Reading it raises ArchiveError "archive.malformed" where it is broken.
    """
    stream: Any = io.BufferedReader(file if isinstance(file, io.RawIOBase) else _Raw(file), 1 << 16)
    head = stream.peek(4)
    broken: tuple[type[Exception], ...] = ()
    if head.startswith(_GZIP):
        from isal import igzip

        stream = igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]
        broken = (EOFError, igzip.BadGzipFile, zlib.error)
    elif head.startswith(_ZSTD):
        import zstandard

        stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(stream, read_across_frames=True)
        broken = (zstandard.ZstdError,)
    return _Unpacked(stream, broken, where)


class _Unpacked:
    """A stream whose decompressor's errors are an archive's."""

    def __init__(self, stream: Any, broken: tuple[type[Exception], ...], where: str) -> None:
        self._stream, self._broken, self._where = stream, broken, where

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)  # type: ignore[no-any-return]
        except self._broken as error:
            raise ArchiveError("archive.malformed", f"cannot be decompressed: {error}", where=self._where,
                               hint="copy it again: it is cut or damaged") from None


class _Raw(io.RawIOBase):
    """What has only read, as a raw stream."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def short_name(name: str) -> str:
    """An archive's name for an image as a name of this machine's: a bare tag is no repository, but all there is.

    Raises UsageError "reference.malformed".
    """
    if "/" in name or ":" in name:
        return parse_reference(name).short
    return parse_reference(f"tag:{name}").tag


def _name_here(name: str, work: Work) -> str:
    """As short_name; "" for what cannot be a name here, which is said: the image itself is none the worse for it."""
    try:
        return short_name(name)
    except UsageError:
        work.tell.say(f"not named {ascii(name)[:100]}: this is no name of an image")
        return ""
