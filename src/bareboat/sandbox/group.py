"""The limits of one run at work: a cgroup around its processes, or a watcher where there is none."""

from __future__ import annotations

import os
import time

from bareboat.host import process
from bareboat.sandbox import limits as rules
from bareboat.workload import Limits


class Group:
    """What holds one run to its limits. Falls back to watching when the cgroup cannot be made after all."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.mechanism = "none"
        self._made = ""  # our own cgroup's directory, to be removed
        self._directory = ""  # the cgroup around the run, ours or systemd's
        self._events: int | None = None
        self._root = False
        self.joined = False  # others may be in the sandbox that are not below its outer process
        if limits.memory is not None or limits.cpus is not None or limits.pids is not None:
            machine = rules.offer()
            self.mechanism, self._root = rules.limit_plan(limits, machine).mechanism, machine.root
        self._watcher = rules.Watcher(limits, self._root)

    @property
    def watches(self) -> bool:
        """Whether look() has something to do."""
        watched = self.limits.memory is not None or (self._root and self.limits.pids is not None)
        return self.mechanism == "watch" and watched

    def put(self, pid: int) -> None:
        """Put a process, and so all it will start, into the group."""
        try:
            if self.mechanism == "cgroup":
                self._own(pid)
            elif self.mechanism == "systemd":
                self._scope(pid)
        except (OSError, process.ProcessError):
            self.mechanism = "watch"

    def _own(self, pid: int) -> None:
        self._made = f"{rules.ROOT}/bareboat-{pid}"
        os.mkdir(self._made)
        for name, text in rules.cgroup_files(self.limits).items():
            if os.path.exists(f"{self._made}/{name}"):
                _write(f"{self._made}/{name}", text)
        _write(f"{self._made}/cgroup.procs", str(pid))
        self._watch_events(self._made)

    def _scope(self, pid: int) -> None:
        before = _cgroup(pid)
        answer = process.run(rules.scope_command(self.limits, pid, f"bareboat-{pid}-{time.monotonic_ns()}"))
        end = time.monotonic() + 2
        while answer.code == 0 and time.monotonic() < end:
            if _cgroup(pid) != before:
                self._watch_events(rules.ROOT + _cgroup(pid))
                return
            time.sleep(0.005)
        self.mechanism = "watch"

    def _watch_events(self, directory: str) -> None:
        self._directory = directory
        try:
            self._events = os.open(f"{directory}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._events = None

    def look(self, outer: int) -> str:
        """Why the run must end now, or ""."""
        return self._watcher.look(outer, self.joined)

    def freeze(self, frozen: bool) -> bool:
        """Stop every process of the group, or let them go on; False where there is no cgroup of the run's own."""
        if not self._directory:
            return False
        try:
            _write(f"{self._directory}/cgroup.freeze", "1" if frozen else "0")
        except OSError:
            return False
        return True

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed for memory in this group."""
        if self._events is None:
            return False
        try:
            text = os.pread(self._events, 4096, 0).decode()
        except OSError:  # systemd has removed the scope already
            return self.limits.memory is not None
        return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in text.splitlines())

    def remove(self) -> None:
        """Remove what was made. Idempotent."""
        if self._events is not None:
            os.close(self._events)
            self._events = None
        if self._made:
            try:
                os.rmdir(self._made)
            except OSError:
                pass  # not empty yet: the kernel is still taking it apart; it is nobody's
            self._made = ""


def _cgroup(pid: int) -> str:
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        for line in file:
            if line.startswith("0::"):
                return line[3:].rstrip("\n")
    return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
