"""Sparse members of tar archives (GNU tar manual, "Storing Sparse Files"): where the stored bytes lie. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bareboat.errors import ArchiveError

_ZEROS = bytes(1 << 18)
_MOST = 1 << 62


@dataclass(frozen=True)
class Map:
    """extents: offset and length of each stored piece, ascending, inside size bytes; the rest are zeros."""

    extents: tuple[tuple[int, int], ...]
    size: int

    def expand(self, stored: Iterator[bytes]) -> Iterator[bytes]:
        """The content as it is meant, from its stored pieces."""
        at, held, start = 0, b"", 0
        for offset, length in self.extents:
            yield from _zeros(offset - at)
            left = length
            while left:
                if start == len(held):
                    held, start = next(stored), 0
                piece = held[start : start + left]
                start += len(piece)
                left -= len(piece)
                yield piece
            at = offset + length
        yield from _zeros(self.size - at)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        piece = min(count, len(_ZEROS))
        yield _ZEROS[:piece] if piece < len(_ZEROS) else _ZEROS
        count -= piece


def numbers(texts: Sequence[str], where: str) -> list[int]:
    """Decimal numbers of a map. Raises ArchiveError "tar.header"."""
    if not all(t.isascii() and t.isdigit() and len(t) < 20 for t in texts):
        raise ArchiveError("tar.header", "a sparse member's map is not of decimal numbers", where=where)
    return [int(t) for t in texts]


def checked(values: Sequence[int], size: int, stored: int, where: str) -> Map:
    """The map of alternating offsets and lengths. Raises ArchiveError "tar.header" unless they ascend, lie inside size
    and are in sum what is stored.
    """
    extents = tuple(zip(values[::2], values[1::2], strict=False))
    at = 0
    for offset, length in extents:
        if offset < at:
            raise ArchiveError("tar.header", "a sparse member's map overlaps itself", where=where)
        at = offset + length
    if len(values) % 2 or at > size or size > _MOST or sum(length for _, length in extents) != stored:
        raise ArchiveError("tar.header", "a sparse member's map contradicts its size", where=where)
    return Map(extents, size)
