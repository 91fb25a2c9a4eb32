"""What the fault rows share: figures to print, a place to work, things to put in, and the look at what is
visible.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bareboat.errors import BareboatError
from bareboat.store import Store
from bareboat.store.treewriter import TreeWriter


@dataclass
class Figures:
    """What one row of SECURITY.md's table prints. bad: must be empty for the real store, and not for a
    control.
    """

    row: int
    title: str
    counts: dict[str, int] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    def add(self, name: str, count: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + count

    def line(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        return f"row {self.row}: {self.title}: {counts}; bad {len(self.bad)}"


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty directory: BAREBOAT_FAULT_DIR, memory where there is some, else the temporary directory."""
    parent = os.environ.get("BAREBOAT_FAULT_DIR") or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    path = Path(tempfile.mkdtemp(prefix="bareboat-faults-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def rounds(default: int) -> int:
    """How many: BAREBOAT_FAULT_ROUNDS, or the sample that CI takes."""
    return int(os.environ.get("BAREBOAT_FAULT_ROUNDS", default))


def content(seed: int) -> bytes:
    """Bytes that are a function of a number; 1 byte to 300 kB."""
    chance = random.Random(seed)
    return chance.randbytes(int(10 ** chance.uniform(0, 5.5)))


def chunked(data: bytes, size: int = 16384) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def tree_of(seed: int) -> Callable[[TreeWriter], None]:
    """A small tree that is a function of a number."""

    def fill(writer: TreeWriter) -> None:
        chance = random.Random(seed)
        for i in range(chance.randint(1, 12)):
            writer.file(f"d{i % 3}/f{i}", 0o644, chunked(chance.randbytes(chance.randint(0, 20_000))))
        writer.symlink("link", "d0/f0")

    return fill


def corrupt(store: Store) -> list[str]:
    """Everything that is visible and wrong: blobs by digest, trees, documents and records; and dangling
    tags.
    """
    found = [f"{d.kind} {d.key}: {d.what}" for d in store.check().damaged]
    try:
        plans = set(store.keys("plans"))
        found += [f"tag {name} dangles" for name, plan in store.tags().items() if plan not in plans]
    except BareboatError as error:
        found.append(str(error))
    return found


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
