"""Processes of this machine by descriptor, so that a stranger who got an old number is never meant."""

from __future__ import annotations

import os
import signal


def children(pid: int) -> list[int]:
    """The children of a process now; [] when it is gone."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except FileNotFoundError:
        return _scanned(pid) if os.path.exists(f"/proc/{pid}") else []
    except OSError:
        return []
    return found


def _scanned(parent: int) -> list[int]:
    """As children, for a kernel built without /proc/PID/task/TID/children."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and parent_of(int(name)) == parent]


def parent_of(pid: int) -> int:
    """The parent's number; 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def open_child(pid: int, parent: int) -> int:
    """A pidfd for a child of parent; -1 when it is not that any more."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return -1
    if parent_of(pid) != parent:
        os.close(descriptor)
        return -1
    return descriptor


def descendants(pid: int) -> list[int]:
    """All below a process, nearest first; it may change while it is made."""
    found, wave = [], children(pid)
    while wave:
        found += wave
        wave = [below for process in wave for below in children(process)]
    return found


def innermost(pid: int) -> int:
    """A process's number in its own pid namespace; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"NSpid:"):
                    return int(line.split()[-1])
    except OSError:
        pass
    return 0


def signal_program(outer: int, number: int) -> bool:
    """Signal the program of a sandbox: number 2 in the namespace two below its outer process. False: none there."""
    for init in children(outer):
        for process in children(init):
            if innermost(process) == 2:
                descriptor = open_child(process, init)
                if descriptor < 0:
                    return False
                try:
                    signal.pidfd_send_signal(descriptor, signal.Signals(number))
                except ProcessLookupError:
                    return False
                finally:
                    os.close(descriptor)
                return True
    return False


def resident(pid: int) -> int:
    """Bytes of memory a process has in RAM, shared pages included; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def proportional(pid: int) -> int:
    """As resident, with each shared page divided by those who share it; resident where that is not told."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return resident(pid)
    return 0
