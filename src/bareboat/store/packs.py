"""New contents on their way into the store: one after the other, in memory, then in a file without a name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bareboat.digests import hasher

IN_MEMORY = (
    32 << 20
)  # bytes held in memory; what is more goes through an unlinked file of the store's file system


class Pack:
    """Contents that will become one blob. Nothing of it is visible in the store; it goes with the value."""

    def __init__(self, home: Path, in_memory: int = IN_MEMORY) -> None:
        self._home, self._bound = home, in_memory
        self._memory = bytearray()
        self._fd: int | None = None
        self._spilled = 0

    @property
    def size(self) -> int:
        """Bytes so far: the offset of what is appended next."""
        return self._spilled + len(self._memory)

    def append(self, chunk: bytes) -> None:
        """Add bytes. Raises OSError when the disk is full."""
        self._memory += chunk
        if len(self._memory) > self._bound:
            self._spill()

    def truncate(self, size: int) -> None:
        """Forget what was appended beyond size."""
        if size >= self._spilled:
            del self._memory[size - self._spilled :]
        else:
            self._spilled = size
            self._memory = bytearray()

    def _spill(self) -> None:
        if self._fd is None:
            import tempfile

            with tempfile.TemporaryFile(dir=self._home / "tmp", prefix="tmp-") as file:
                self._fd = os.dup(file.fileno())
        view = memoryview(self._memory)
        while view:
            written = os.pwrite(self._fd, view, self._spilled)
            self._spilled += written
            view = view[written:]
        self._memory = bytearray()

    def chunks(self) -> Iterator[bytes]:
        """All of it, from the start, in pieces of at most 1 MiB or what memory holds."""
        offset = 0
        while self._fd is not None and offset < self._spilled:
            chunk = os.pread(self._fd, min(1 << 20, self._spilled - offset), offset)
            if not chunk:
                raise OSError("the file of new contents is shorter than what was written")
            offset += len(chunk)
            yield chunk
        if self._memory:
            yield bytes(self._memory)

    def sha256(self) -> str:
        """Digest of all of it, as 64 hex digits."""
        digest = hasher(self.size)
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def close(self) -> None:
        """Let the file go. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._memory = bytearray()
        self._spilled = 0

    def __del__(self) -> None:
        self.close()
