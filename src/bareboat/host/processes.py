"""Processes of this machine by descriptor, so that a stranger who got an old number is never meant."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence


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


def open_init(outer: int) -> int:
    """A pidfd for number 1 of the namespace two below a sandbox's outer process; -1 when it is gone."""
    for init in children(outer):
        if innermost(init) == 1:
            return open_child(init, outer)
    return -1


def open_program(outer: int) -> int:
    """A pidfd for the program: number 2 of the namespace two below a sandbox's outer process; -1 when it is gone."""
    for below in (children, _scanned):  # the kernel's own list may leave out a child while others come and go
        for init in below(outer):
            for process in below(init):
                if innermost(process) == 2:
                    return open_child(process, init)
    return -1


def has_started(outer: int) -> bool:
    """Whether the program of a sandbox is there and is no copy of bwrap any more."""
    for init in children(outer):
        for process in children(init):
            if innermost(process) == 2:
                try:
                    return not os.path.samestat(os.stat(f"/proc/{process}/exe"), os.stat(f"/proc/{init}/exe"))
                except OSError:
                    return True  # not ours to look at, or gone again
    return False


def signal_by(descriptor: int, number: int) -> bool:
    """Signal the process behind a pidfd and close it; False when it is gone, was never there (-1), or is another's."""
    if descriptor < 0:
        return False
    try:
        signal.pidfd_send_signal(descriptor, signal.Signals(number))
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def signal_program(outer: int, number: int) -> bool:
    """Signal the program of a sandbox, and nothing else. False: none there."""
    return signal_by(open_program(outer), number)


def members(pid: int) -> list[int]:
    """Every process in the innermost pid namespace of a process, those that joined from outside included."""
    try:
        wanted = os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return []
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}/ns/pid").st_ino == wanted:
                    found.append(int(name))
            except OSError:
                continue  # gone, or another user's
    return found


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal (SigCgt of proc(5)); False when it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    except OSError:
        pass
    return False


def warn(init: int, number: int) -> int:
    """Signal every process in the pid namespace of init, but it, that catches the signal; how many.

    What is asked of a number is asked once a descriptor holds what it names: a stranger who got the number since is
    seen to be one, and one who gets it later is not signalled.
    """
    try:
        wanted = os.stat(f"/proc/{init}/ns/pid").st_ino
    except OSError:
        return 0
    told = 0
    for pid in members(init):
        if pid == init:
            continue
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            meant = os.stat(f"/proc/{pid}/ns/pid").st_ino == wanted and catches(pid, number)
        except OSError:
            meant = False
        if meant:
            told += signal_by(descriptor, number)
        else:
            os.close(descriptor)
    return told


def state(pid: int) -> str:
    """R, S, D, T, Z … as proc(5) has them; "X" when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return "X"


def told(pid: int) -> tuple[int, float, str] | None:
    """(uid, CPU seconds, argv) of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            argv = file.read(4096).replace(b"\0", b" ").decode(errors="surrogateescape").strip()
        with open(f"/proc/{pid}/comm", "rb") as file:
            argv = argv or f"[{file.read().decode(errors='surrogateescape').strip()}]"
        return os.stat(f"/proc/{pid}").st_uid, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), argv
    except OSError:
        return None


def spent(pid: int) -> float:
    """CPU seconds of a process and of those below it that it has waited for; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def sums(pids: Sequence[int], first: int = 0) -> tuple[float, int, int, int]:
    """CPU seconds, bytes of memory (shared pages once, where the kernel tells), bytes read from storage and written to
    it. first: their first process, which has waited for some that ended, and whose memory is not theirs.
    """
    every = [*((first,) if first else ()), *pids]
    moved = [storage(pid) for pid in every]
    return (sum(map(spent, every)), sum(map(proportional, pids)), sum(read for read, _ in moved),
            sum(written for _, written in moved))


def storage(pid: int) -> tuple[int, int]:
    """Bytes that a process, and those below it that it has waited for, have read from storage and written to it; zeros
    when that is not told.
    """
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            found = dict(line.split(b": ") for line in file.read().splitlines())
        return int(found[b"read_bytes"]), int(found[b"write_bytes"])
    except (OSError, KeyError, ValueError):
        return 0, 0


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
