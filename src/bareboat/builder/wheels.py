"""Wheels become trees: each once per machine, straight from the archive into the store, several at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import ArchiveError
from bareboat.image.plan import Interpreter
from bareboat.image.wheel import Layout, chunks, read_layout, wheel_tree_key
from bareboat.lock import Wheel

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter

__all__ = ["FileSource", "make_wheel_tree", "wheel_tree_key"]


class FileSource:
    """A blob as a Source: positioned reads, so that threads may share it and nothing is mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self.size = os.fstat(self._fd).st_size

    def read_at(self, offset: int, count: int) -> bytes:
        data = os.pread(self._fd, count, offset)
        if len(data) < count and offset + len(data) < self.size:  # a short read: the kernel may stop at 2 GiB
            parts = [data]
            done = len(data)
            while done < count and (more := os.pread(self._fd, count - done, offset + done)):
                parts.append(more)
                done += len(more)
            data = b"".join(parts)
        return data

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def make_wheel_tree(store: Store, wheel: Wheel, interp: Interpreter) -> Path:
    """The wheel as a read-only tree in the store, made if it is not there. Idempotent, atomic.

    The wheel's blob must be in the store. Raises ArchiveError "wheel.*" and leaves nothing behind.
    """
    key = wheel_tree_key(wheel, interp)
    found = store.tree(key)
    if found is not None:
        return found
    blob = store.blob(wheel.sha256)
    if blob is None:
        raise ArchiveError(
            "wheel.missing", "the wheel is not in the store", where=wheel.filename,
            hint="run again while the package index can be reached",
        )
    with FileSource(blob) as source:
        layout = read_layout(source, wheel, interp)

        def fill(tree: TreeWriter) -> None:
            for entry in layout.entries:
                tree.file(entry.path, entry.mode, chunks(source, entry, wheel.filename))
            store.put_json("manifests", key, manifest(layout))

        return store.make_tree(key, fill)


def manifest(layout: Layout) -> dict[str, object]:
    """What a tree holds, as JSON: path → [size, digest]; for finding conflicts without reading trees."""
    return {"files": {e.path: [e.size, e.digest] for e in layout.entries}}
