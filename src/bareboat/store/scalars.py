"""The metrics of a run, from the tables in its results folder; bounded, for folders are what programs made of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bareboat.training.scalars import ENDINGS, scalars

FILES, BYTES, DEEP, LOOKED_AT = 16, 16 << 20, 2, 2000  # tables; bytes of one; folders below; entries altogether


def metrics_of(folder: Path) -> dict[str, list[float]]:
    """Name → values in their order. Where two tables have one name, the newer table's; what cannot be read is left out.
    """
    tables: list[tuple[int, str]] = []
    left = LOOKED_AT
    waiting = [(os.fspath(folder), 0)]
    while waiting and left:
        path, depth = waiting.pop(0)
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)[:left]
        except OSError:
            continue
        left -= len(entries)
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False) and depth < DEEP and entry.name != "checkpoints":
                    waiting.append((entry.path, depth + 1))
                elif entry.is_file(follow_symlinks=False) and entry.name.lower().endswith(ENDINGS):
                    tables.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
            except OSError:
                continue
    found: dict[str, list[float]] = {}
    for _, path in sorted(tables)[-FILES:]:
        found.update(scalars(_text(path), path))
    return found


def _text(path: str) -> str:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with open(opened, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > BYTES:
            return ""
        try:
            return file.read(BYTES).decode("utf-8", "replace").removeprefix("\ufeff")
        except OSError:
            return ""
