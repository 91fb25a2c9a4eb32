"""The locks of GPUs: a file for each, locked as a whole, or shared with some of its slot files locked beside it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence

from bareboat.lease.strangers import names, open_lock
from bareboat.lease.values import SLOTS

PREFIX = "gpu-"


class Refused(Exception):
    """A unit cannot be had. what: "" where somebody has it, else what is wrong with its file, in words."""

    def __init__(self, unit: str, what: str = "") -> None:
        super().__init__(unit)
        self.unit, self.what = unit, what


def take(directory: int, units: Sequence[tuple[str, int]]) -> list[int]:
    """Lock all of these or none, the lowest name first; waits for nothing. Raises Refused."""
    held: list[int] = []
    try:
        for unit, slots in sorted(units):
            held += _take(directory, unit, slots)
        return held
    except BaseException:
        for descriptor in held:
            os.close(descriptor)
        raise


def _take(directory: int, unit: str, slots: int) -> list[int]:
    whole = slots >= SLOTS
    first = _locked(directory, unit, PREFIX + unit, fcntl.LOCK_EX if whole else fcntl.LOCK_SH)
    if first is None:
        raise Refused(unit)
    held = [first]
    try:
        for number in range(SLOTS):
            if whole or len(held) > slots:
                return held
            slot = _locked(directory, unit, f"{PREFIX}{unit}.{number}", fcntl.LOCK_EX)
            if slot is not None:
                held.append(slot)
        if len(held) <= slots:
            raise Refused(unit)
        return held
    except BaseException:
        for descriptor in held:
            os.close(descriptor)
        raise


def _locked(directory: int, unit: str, name: str, how: int) -> int | None:
    """Its descriptor, locked; None where somebody has it."""
    while True:
        try:
            descriptor = open_lock(directory, name)
        except OSError as error:
            raise Refused(unit, f"{name}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise Refused(unit, f"{name}: {error.strerror}") from None
        if names(directory, name, descriptor):
            return descriptor
        os.close(descriptor)  # it was removed and made again meanwhile: a lock on nothing


def locked(directory: int, unit: str) -> bool:
    """Whether anybody has a part of it, whoever it is."""
    try:
        descriptor = open_lock(directory, PREFIX + unit)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)


def lockers(directory: int, unit: str) -> Iterator[int]:
    """The processes that have a lock on it, as far as the kernel tells us of them (proc_locks(5))."""
    try:
        status = os.stat(PREFIX + unit, dir_fd=directory, follow_symlinks=False)
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in lines:
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == wanted and int(fields[4]) > 0:
            yield int(fields[4])


