"""The metrics of a run, from tables and event files in its results folder; bounded, for programs made what is there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bareboat.training.events import MARK, joined
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
                elif entry.is_file(follow_symlinks=False) and (
                        entry.name.lower().endswith(ENDINGS) or entry.name.startswith(MARK)):
                    tables.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
            except OSError:
                continue
    found: dict[str, list[float]] = {}
    folders: dict[str, dict[str, list[tuple[int, float]]]] = {}  # an attempt goes on in a file of its own
    for _, path in sorted(tables)[-FILES:]:
        if os.path.basename(path).startswith(MARK):
            joined(folders.setdefault(os.path.dirname(path), {}), _data(path))
        else:
            found.update(scalars(_data(path).decode("utf-8", "replace").removeprefix("\ufeff"), path))
    for path, points in folders.items():
        of = f"{os.path.basename(path)}/" if len(folders) > 1 else ""
        found.update({of + tag: [value for _, value in series] for tag, series in points.items()})
    return found


def _data(path: str) -> bytes:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with open(opened, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > BYTES:
            return b""
        try:
            return file.read(BYTES)
        except OSError:
            return b""
