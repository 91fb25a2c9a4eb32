"""A sandbox that runs, in the hands of the process that started it: engine.base.Live of the embedded engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from bareboat.errors import EngineError
from bareboat.host import processes
from bareboat.sandbox.group import Group
from bareboat.sandbox.plumbing import Plumbing
from bareboat.workload import Handle, Process, Usage

_SETTLE = 1.0  # seconds that a stop may take to arrive


class Inhabited:
    """outer: the sandbox's outermost process, a child of ours that is waited for only when this is over."""

    def __init__(self, outer: int, pipes: Plumbing, group: Group, kill: Callable[[str], None]) -> None:
        self._outer, self._pipes, self._group, self._kill = outer, pipes, group, kill

    def signal(self, number: int) -> bool:
        """The program itself."""
        return processes.signal_program(self._outer, number)

    def warn(self, number: int) -> int:
        """Those that catch it."""
        for init in processes.children(self._outer):
            return processes.warn(init, number)
        return 0

    def catches(self, number: int) -> bool:
        """Any of them."""
        return any(processes.catches(pid, number) for pid in self._members())

    def ask(self, number: int) -> bool:
        """The program, or those below it that catch the signal, which it does not."""
        if not any(processes.catches(pid, number) for pid in self._members() if processes.innermost(pid) == 2) and (
                self.warn(number)):
            return True
        return self.signal(number)

    def kill(self, reason: str) -> None:
        """Everything: a pid namespace dies with its first process."""
        self._kill(reason)

    def pause(self) -> None:
        """By the freezer of our own cgroup, else SIGSTOP for the whole namespace in one call. Raises EngineError."""
        if not self._group.freeze(True):
            self._all(signal.SIGSTOP)
            end = time.monotonic() + _SETTLE
            while time.monotonic() < end and any(processes.state(pid) in "RS" for pid in self._members()):
                time.sleep(0.001)  # it is on its way to those that run at this moment

    def unpause(self) -> None:
        """The other way. Raises EngineError."""
        if not self._group.freeze(False):
            self._all(signal.SIGCONT)

    def _all(self, number: int) -> None:
        from bareboat.sandbox.join import signal_all

        init = processes.open_init(self._outer)
        if init < 0:
            raise EngineError("engine.gone", "the container has ended")
        try:
            signal_all(init, number)
        finally:
            os.close(init)

    def resize(self, window: tuple[int, int]) -> None:
        """The program's terminal."""
        self._pipes.resize(window)

    def _members(self) -> list[int]:
        """All but bwrap's own first process, the program first."""
        for init in processes.children(self._outer):
            return sorted(pid for pid in processes.members(init) if pid != init)
        return []

    def processes(self) -> list[Process]:
        """What runs in it, in order of their start."""
        found = ((pid, processes.told(pid)) for pid in self._members())
        return [Process(pid, told[0], told[1], processes.resident(pid), told[2]) for pid, told in found if told]

    def usage(self) -> Usage:
        """Sums over its processes; shared pages count once, where the kernel tells. Those that ended are in what the
        ones that waited for them, or bwrap's first, have used.
        """
        pids = self._members()
        first = next(iter(processes.children(self._outer)), 0)
        seconds, memory, read, written = processes.sums(pids, first)
        return Usage(seconds, memory, len(pids), read, written)

    def handle(self) -> Handle:
        """A pidfd of its first process; -1 when it is gone. From now on others may have joined."""
        self._group.joined = True
        return Handle(pidfd=processes.open_init(self._outer))
