"""What commands are about to take of this machine, between choosing it and the start of the container that has it.

A file of lines "NAME PID START BOOT TIME", read and rewritten under its own flock. A claim is worth nothing once its
process has ended or SECONDS have passed: then a container has it, whose record says so, or nobody.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from bareboat.store.paths import Layout

SECONDS = 600.0  # an image may have to be given to an engine first
_MOST = 1 << 20  # bytes of the file


class Claims:
    """others: names that other processes have claimed."""

    def __init__(self, rows: list[tuple[str, ...]]) -> None:
        me = _me()
        self.rows = [row for row in rows if row[1:4] != me]
        self.others = {row[0] for row in self.rows}

    def take(self, names: Collection[str]) -> None:
        """Claim these names, written when the context ends; taken by somebody else or not."""
        self.rows += [(name, *_me(), f"{time.time():.0f}") for name in names]


@contextmanager
def claims(layout: Layout) -> Iterator[Claims]:
    """The claims, for this process alone until the context ends. Where there can be no such file there are none."""
    try:
        fd = os.open(layout.at("locks", "claims"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:  # a read-only file system
        yield Claims([])
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        text = os.pread(fd, _MOST, 0).decode("utf-8", "replace")
        found = Claims([row for line in text.splitlines() if _is_worth(row := tuple(line.split(" ")))])
        yield found
        data = "".join(" ".join(row) + "\n" for row in found.rows).encode()
        os.ftruncate(fd, 0)
        os.pwrite(fd, data, 0)
    finally:
        os.close(fd)


def _is_worth(row: tuple[str, ...]) -> bool:
    if len(row) != 5 or not row[1].isdigit() or not row[4].isdigit():
        return False
    age = time.time() - int(row[4])
    return -5 < age < SECONDS and (row[3] != _boot() or _began(int(row[1])) == row[2])


def _me() -> tuple[str, str, str]:
    return str(os.getpid()), _began(os.getpid()), _boot()


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks: with its number, who it is; "0" where that is not told, "" when it
    is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except FileNotFoundError:
        return "" if os.path.exists("/proc/self/stat") else "0"
    except (OSError, IndexError):
        return ""


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read(64).strip().decode() or "-"
    except OSError:
        return "-"
