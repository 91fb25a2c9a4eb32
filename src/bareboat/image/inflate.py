"""A zip member's content: inflated in bounded pieces, and judged by length and CRC-32 before it counts. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bareboat.image.wheelzip import CHUNK, DEFLATED, Member, Refusal, Source


def inflate(source: Source, member: Member, filename: str) -> Iterator[bytes]:
    """The member's content in chunks, with its length and CRC-32 verified when the last one has been taken.

    Raises ArchiveError "wheel.corrupt" when the data is not what the directory says; never yields more than
    the declared size, nor chunks above CHUNK bytes.
    """
    if member.packed <= CHUNK and member.size <= CHUNK:
        yield inflate_small(source, member, filename)
        return
    inflater = Inflater(member, filename)
    for raw in packed_chunks(source, member, filename):
        yield from inflater.feed(raw)
    yield from inflater.finish()


class Inflater:
    """Turns a member's packed bytes into its content, piece by piece, and judges the whole at the end."""

    def __init__(self, member: Member, filename: str) -> None:
        self._member, self._refuse, self._engine = member, Refusal(filename), _zlib()
        self._stream: Any = self._engine.decompressobj(-15) if member.method == DEFLATED else None
        self._crc = self._size = 0

    def feed(self, raw: bytes) -> Iterator[bytes]:
        """The content that the next packed bytes give."""
        if self._stream is None:
            yield self._counted(raw)
            return
        pending = raw
        while pending:
            if self._stream.eof:
                raise self._refuse("corrupt", "data follows the end of the compressed stream", self._member.name)
            chunk = self._inflated(pending)
            pending = self._stream.unconsumed_tail
            if chunk:
                yield chunk

    def finish(self) -> Iterator[bytes]:
        """What the decompressor held back; raises unless length and CRC-32 are as declared."""
        if self._stream is not None:
            while not self._stream.eof:
                chunk = self._inflated(b"")
                if not chunk and not self._stream.eof:
                    raise self._refuse("corrupt", "the compressed stream is cut off", self._member.name)
                if chunk:
                    yield chunk
        _check_content(self._size, self._crc, self._member, self._refuse)

    def _inflated(self, raw: bytes) -> bytes:
        try:
            chunk: bytes = self._stream.decompress(raw, CHUNK)
        except self._engine.error as e:
            raise self._refuse("corrupt", f"the compressed data is damaged ({e})", self._member.name) from None
        if self._stream.unused_data:
            raise self._refuse("corrupt", "data follows the end of the compressed stream", self._member.name)
        return self._counted(chunk)

    def _counted(self, chunk: bytes) -> bytes:
        self._size += len(chunk)
        if self._size > self._member.size:
            what = f"holds more than the {self._member.size} bytes it declares"
            raise self._refuse("corrupt", what, self._member.name)
        self._crc = self._engine.crc32(chunk, self._crc)
        return chunk


def inflate_small(source: Source, member: Member, filename: str) -> bytes:
    """The whole content of a member at once, verified; for members whose size the caller has bounded."""
    engine = _zlib()
    refuse = Refusal(filename)
    raw = source.read_at(member.offset, member.packed)
    if len(raw) != member.packed:
        raise refuse("truncated", "the file ends inside this member", member.name)
    if member.method == DEFLATED:
        stream = engine.decompressobj(-15)
        try:
            data: bytes = stream.decompress(raw, member.size + 1)
        except engine.error as e:
            raise refuse("corrupt", f"the compressed data is damaged ({e})", member.name) from None
        if len(data) > member.size:
            raise refuse("corrupt", f"holds more than the {member.size} bytes it declares", member.name)
        if stream.unused_data:
            raise refuse("corrupt", "data follows the end of the compressed stream", member.name)
        if not stream.eof:
            raise refuse("corrupt", "the compressed stream is cut off", member.name)
    else:
        data = raw
    _check_content(len(data), engine.crc32(data), member, refuse)
    return data


def packed_chunks(source: Source, member: Member, filename: str, step: int = CHUNK) -> Iterator[bytes]:
    """The member's bytes as they lie in the archive, in chunks of `step`, the last one shorter."""
    done = 0
    while done < member.packed:
        want = min(step, member.packed - done)
        raw = source.read_at(member.offset + done, want)
        if len(raw) != want:
            raise Refusal(filename)("truncated", "the file ends inside this member", member.name)
        done += len(raw)
        yield raw


def _check_content(size: int, crc: int, member: Member, refuse: Refusal) -> None:
    if size != member.size:
        raise refuse("corrupt", f"holds {size} bytes and declares {member.size}", member.name)
    if crc != member.crc:
        raise refuse("corrupt", f"CRC-32 is {crc:08x} and not {member.crc:08x}", member.name)


def _zlib() -> Any:  # one of two modules with the same functions
    try:
        from isal import isal_zlib

        return isal_zlib
    except ImportError:
        import zlib

        return zlib
