"""The process inside that does file operations for one SFTP or SCP channel, seen from the gateway.

What it answers comes from a container and is believed in nothing but its own files: lengths are bounded, every value
is of its expected type, and a frame that is wrong ends the channel.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections import deque

from bareboat.sessions.ssh import scripts
from bareboat.sessions.ssh.inside import Inside, Running

HEAD = struct.Struct("!II")
HELLO = b"bareboat files 1\n"
MOST_TEXT, MOST_DATA = 1 << 20, 1 << 22


class Helper:
    """File operations inside by name; see files_inside.Files for them. Answers come in the order of requests."""

    def __init__(self, running: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._running, self._reader, self._writer = running, reader, writer
        self._waiting: deque[asyncio.Future[tuple[object, bytes]]] = deque()
        self._broken = ""
        self._task = asyncio.get_running_loop().create_task(self._answers())

    @classmethod
    async def start(cls, inside: Inside) -> Helper:
        """Start it where programs start. Raises Unavailable "ssh.python" where the image has no Python 3."""
        running, reader, writer = await scripts.start(inside, "files", HELLO, "sftp and scp need")
        return cls(running, reader, writer)

    async def ask(self, operation: str, *words: object, data: bytes = b"") -> object:
        """The value of an operation. Raises OSError: the operation's own, or EIO where the helper is gone."""
        return (await self._ask([operation, *words], data))[0]

    async def read(self, number: int, offset: int, size: int) -> bytes:
        """Bytes of an open file, fewer at its end."""
        return (await self._ask(["read", number, offset, min(size, MOST_DATA)], b""))[1]

    async def _ask(self, request: list[object], data: bytes) -> tuple[object, bytes]:
        if self._broken:
            raise OSError(5, self._broken)
        text = json.dumps(request).encode("ascii")
        future: asyncio.Future[tuple[object, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._writer.write(b"".join((HEAD.pack(len(text), len(data)), text, data)))
        try:
            await self._writer.drain()
        except OSError:
            pass  # its end is noticed where answers are read
        return await future

    async def _answers(self) -> None:
        why = "the container ended, or the helper inside was killed"
        try:
            while True:
                text, data = HEAD.unpack(await self._reader.readexactly(HEAD.size))
                if text > MOST_TEXT or data > MOST_DATA or not self._waiting:
                    why = "the helper inside gave a wrong answer"
                    return
                said = json.loads(await self._reader.readexactly(text))
                found = await self._reader.readexactly(data)
                future = self._waiting.popleft()
                if future.done():
                    continue
                match said:
                    case ["ok"]:
                        future.set_result((None, found))
                    case ["ok", value]:
                        future.set_result((value, found))
                    case ["error", int(number), str(text_)]:
                        future.set_exception(OSError(number, text_))
                    case _:
                        future.set_exception(OSError(5, "the helper inside gave a wrong answer"))
        except (asyncio.IncompleteReadError, OSError, ValueError, RecursionError):
            pass
        finally:
            self._broken = why
            for future in self._waiting:
                if not future.done():
                    future.set_exception(OSError(5, why))
            self._running.signal(9)

    async def close(self) -> None:
        """Let it end, and wait for that. Idempotent."""
        self._writer.close()
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            pass
        await self._running.wait()
