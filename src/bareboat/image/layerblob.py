"""A layer's blob as the tar in it: gzip, zstd or plain, inflated in bounded pieces, judged by its DiffID. Pure.

What the bytes are counts, not what the media type says (registries are full of the wrong suffix): the DiffID, which the
config pins, decides whether they were read right. Decision 0105.
"""

from __future__ import annotations

import hashlib
from typing import Any, BinaryIO

from bareboat.errors import ArchiveError
from bareboat.image.limits import Limits, beyond
from bareboat.image.tarstream import BLOCK, Readable
from bareboat.lock import ImageLayer

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"  # RFC 8878 3.1.2: 0x184D2A5?, little-endian
_WINDOW = 1 << 27  # RFC 8878 wants 8 MiB; zstd --ultra --long writes up to this
_FEED, _PIECE = 1 << 17, 1 << 18


class LayerBlob:
    """read(n) gives the tar's bytes; finish() reads the rest and verifies the DiffID.

    Raises ArchiveError: layer.compression (neither tar nor gzip nor zstd), layer.corrupt, layer.too-large,
    layer.ratio, layer.diff-id.
    """

    def __init__(self, file: BinaryIO, layer: ImageLayer, limits: Limits) -> None:
        self._where, self._limits = layer.digest, limits
        self._stored, self._diff_id = layer.size, layer.diff_id
        self._source, self._errors = _opened(file, self._where)
        self._hash = hashlib.new(layer.diff_id.partition(":")[0])
        self._held, self._at = b"", 0
        self.total = 0

    def read(self, size: int, /) -> bytes:
        """At most size bytes of the tar; b"" at its end."""
        held, at = self._held, self._at
        if at + size <= len(held):
            self._at = at + size
            return held[at : at + size]
        if at < len(held):
            self._at = len(held)
            return held[at:]
        self._fill()
        self._at = min(size, len(self._held))
        return self._held[: self._at]

    def _fill(self) -> None:
        try:
            data = self._source.read(_PIECE)
        except self._errors as error:
            raise ArchiveError("layer.corrupt", f"the layer does not decompress: {error}", where=self._where) from error
        self._held = data
        self.total += len(data)
        self._hash.update(data)
        limits = self._limits
        if self.total > limits.bytes:
            raise beyond("too-large", f"the layer unpacks to more than {limits.bytes:,} bytes", self._where)
        if self.total > limits.ratio_after and self.total > limits.ratio * self._stored:
            raise beyond("ratio", f"the layer unpacks to more than {limits.ratio} times its size", self._where)

    def finish(self) -> None:
        """Read what follows the archive's end, and judge the whole."""
        self._held = b"-"
        while self._held:
            self._fill()
        name = self._diff_id.partition(":")[0]
        found = f"{name}:{self._hash.hexdigest()}"
        if found != self._diff_id:
            raise ArchiveError("layer.diff-id", f"the layer's tar is {found}, and its config says {self._diff_id}",
                               where=self._where, hint="whoever pushed the image is at fault; nothing of it is kept")


def _opened(file: BinaryIO, where: str) -> tuple[Readable, tuple[Any, ...]]:
    head = file.read(BLOCK)
    file.seek(0)
    if not head or _is_header(head) or not head.strip(b"\0"):
        return file, ()
    if head.startswith(_GZIP):
        from isal import isal_zlib

        reader: Readable = isal_zlib._GzipReader(file, _FEED)  # many members; in C, so that small ones are cheap
        return reader, (OSError, EOFError, OverflowError, isal_zlib.error)
    if head.startswith(_ZSTD) or (head[1:4] == _SKIPPABLE and head[0] & 0xF0 == 0x50):
        import zstandard

        stream = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
            file, read_size=_FEED, read_across_frames=True, closefd=False)
        return stream, (zstandard.ZstdError, MemoryError)
    raise ArchiveError("layer.compression", "the layer is neither a tar nor gzip nor zstd", where=where,
                       hint="bareboat reads layers that are tar, tar+gzip or tar+zstd")


def _is_header(block: bytes) -> bool:
    """Whether a block is a tar header by its checksum: gzip and zstd never look like that by chance."""
    text = block[148:156].strip(b" \0")
    return (len(block) == BLOCK and bool(text) and not text.strip(b"01234567")
            and sum(block) - sum(block[148:156]) + 256 == int(text, 8))
