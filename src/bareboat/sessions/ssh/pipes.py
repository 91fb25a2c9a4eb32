"""Descriptors as asyncio streams, and copying from one to the other."""

from __future__ import annotations

import asyncio
import os
from typing import Protocol

CHUNK = 1 << 16


class Source(Protocol):
    """What can be read from: asyncio's and asyncssh's readers."""

    async def read(self, n: int = -1) -> bytes: ...


class Sink(Protocol):
    """What can be written to: asyncio's and asyncssh's writers."""

    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def can_write_eof(self) -> bool: ...
    def write_eof(self) -> None: ...


async def reader_of(descriptor: int) -> asyncio.StreamReader:
    """A stream to read from a descriptor, which it closes at its end."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=CHUNK, loop=loop)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader, loop=loop),
                                 os.fdopen(descriptor, "rb", buffering=0))
    return reader


async def writer_of(descriptor: int) -> asyncio.StreamWriter:
    """A stream to write to a descriptor, which it closes."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), loop=loop),
        os.fdopen(descriptor, "wb", buffering=0))
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def copy(source: Source, sink: Sink, *, end: bool = True) -> None:
    """Everything to its end, no faster than the sink takes it; then, with end, the sink's end is said. A side that is
    gone is an end.
    """
    try:
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
        if end and sink.can_write_eof():
            sink.write_eof()
    except OSError:
        pass
