"""load: the images of a tar of `bareboat save`, `docker save` or an OCI layout become this machine's."""

from __future__ import annotations

from typing import BinaryIO

from bareboat.errors import ArchiveError
from bareboat.image.reference import parse_reference
from bareboat.registry.archive import Named, read_archive
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment
from bareboat.verbs.pull import keep

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def load(file: BinaryIO, where: str, platform: str, work: Work) -> list[tuple[tuple[str, ...], Environment]]:
    """Every image of an archive, compressed or not, with the names that it was saved under.

    Raises ArchiveError "archive.*" and what pulling raises; images before the one that failed are there.
    """
    stored, found = read_archive(work.store, opened(file), where)
    if not found:
        raise ArchiveError("archive.unknown", "its index names no image", where=where)
    loaded = []
    for named in found:
        names = tuple(dict.fromkeys(short_name(n) for n in named.names))
        loaded.append((names, keep(stored, named.content.digest, names, platform, work)))
    return loaded


class _Stream:
    """A file whose first bytes were looked at."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def read(self, size: int = -1, /) -> bytes:
        if self._head and size >= 0:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        return self._file.read(size)

    def readinto(self, buffer: bytearray) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def opened(file: BinaryIO) -> BinaryIO | _Stream:
    """The tar of a stream that may be compressed with gzip or zstd, told by its first bytes."""
    head = file.read(4)
    stream = _Stream(head, file)
    if head.startswith(_GZIP):
        from isal import igzip

        return igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-any-return]
    if head == _ZSTD:
        import zstandard

        return zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(stream)  # type: ignore[return-value]
    return stream


def short_name(name: str) -> str:
    """An archive's name for an image as a name of this machine's: a bare tag is no repository, but all there is."""
    return parse_reference(name).short if "/" in name or ":" in name else name


__all__ = ["Named", "load", "opened", "short_name"]
