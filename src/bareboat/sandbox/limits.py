"""Limits: by a cgroup where one can be had, otherwise by what can be done without.

plan() is pure; what the machine offers is Offer, looked at by offer(). systemd's user manager gives a scope of our own
(the same that systemd-run --user --scope makes, asked for by its D-Bus call, since our process exists already); root
may make a cgroup; anybody else gets a watcher that reads /proc.
"""

from __future__ import annotations

import os

from bareboat.host import processes
from bareboat.host.process import Command
from bareboat.values import dataclass
from bareboat.workload import Limits

PERIOD = 100_000  # microseconds, as cpu.max has it
ROOT = "/sys/fs/cgroup"


@dataclass(frozen=True)
class Offer:
    """What this machine has. systemd: the user manager may make scopes with memory and pids; own: a directory."""

    systemd: bool = False
    own: str = ""
    root: bool = False
    cpus: int = 1


@dataclass(frozen=True)
class Plan:
    """How limits are enforced: mechanism "none", "systemd", "cgroup" or "watch", and the line that says so."""

    mechanism: str
    sentence: str


def offer() -> Offer:
    """Look at this machine's cgroups. Only asked when there is a limit."""
    uid = os.geteuid()
    manager = f"{ROOT}/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    bus = os.path.exists(f"/run/user/{uid}/bus") and any(
        os.access(f"{folder}/busctl", os.X_OK) for folder in ("/usr/bin", "/bin"))
    systemd = bus and {"memory", "pids"} <= _words(manager)
    own = ROOT if uid == 0 and {"memory", "pids"} <= _words(f"{ROOT}/cgroup.subtree_control") else ""
    return Offer(systemd, own, uid == 0, len(os.sched_getaffinity(0)))


def _words(path: str) -> set[str]:
    try:
        with open(path, encoding="ascii") as file:
            return set(file.read().split())
    except OSError:
        return set()


def limit_plan(limits: Limits, machine: Offer | None = None) -> Plan:
    """How the limits will be kept on this machine, in one line for the user."""
    asked = []
    if limits.memory is not None:
        asked.append(f"memory {limits.memory / (1 << 20):.0f} MiB")
    if limits.cpus is not None:
        asked.append(f"{limits.cpus:g} CPUs")
    if limits.pids is not None:
        asked.append(f"{limits.pids} processes")
    if not asked:
        return Plan("none", "")
    have = machine or offer()
    if have.own:
        return Plan("cgroup", f"{', '.join(asked)} (by a cgroup)")
    if have.systemd:
        return Plan("systemd", f"{', '.join(asked)} (by a systemd scope)")
    how = []
    if limits.memory is not None:
        how.append("memory is watched and the run ended when above")
    if limits.cpus is not None:
        how.append(f"bound to {whole_cpus(limits.cpus, have.cpus)} whole CPUs")
    if limits.pids is not None:
        how.append("processes are watched" if have.root else "processes by RLIMIT_NPROC")
    return Plan("watch", f"{', '.join(asked)} (no cgroup of our own here: {'; '.join(how)})")


def whole_cpus(cpus: float, have: int) -> int:
    """A decimal count of CPUs as whole ones, never more than there are."""
    return max(1, min(have, -int(-cpus // 1)))


def scope_command(limits: Limits, pid: int, unit: str) -> Command:
    """Ask systemd's user manager for a scope around a process: StartTransientUnit (org.freedesktop.systemd1)."""
    properties: list[tuple[str, ...]] = [("PIDs", "au", "1", str(pid))]
    if limits.memory is not None:
        properties += [("MemoryMax", "t", str(limits.memory)), ("MemorySwapMax", "t", "0")]
    if limits.cpus is not None:
        properties.append(("CPUQuotaPerSecUSec", "t", str(int(limits.cpus * 1_000_000))))
    if limits.pids is not None:
        properties.append(("TasksMax", "t", str(limits.pids + 4)))
    words = [word for item in properties for word in item]
    return Command(
        ("busctl", "--user", "--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
         "org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))",
         f"{unit}.scope", "fail", str(len(properties)), *words, "0"),
        timeout=10,
    )


def cgroup_files(limits: Limits) -> dict[str, str]:
    """File of a cgroup (v2) → what is written to it."""
    files: dict[str, str] = {}
    if limits.memory is not None:
        files["memory.max"] = str(limits.memory)
        files["memory.swap.max"] = "0"
        files["memory.oom.group"] = "1"
    if limits.cpus is not None:
        files["cpu.max"] = f"{max(1000, int(limits.cpus * PERIOD))} {PERIOD}"
    if limits.pids is not None:
        files["pids.max"] = str(limits.pids + 4)  # guard, bwrap, its init, and room for one fork
    return files


@dataclass
class Watcher:
    """Reads /proc for everything below a process, as often as it is asked; says why a run must end."""

    limits: Limits
    count: bool  # processes too: where RLIMIT_NPROC does not bind (root)

    def look(self, outer: int, joined: bool = False) -> str:
        """The reason to end, or "". outer: the sandbox's outermost process, itself not counted. joined: there may be
        processes that entered from outside, so every process of the machine is looked at.
        """
        below = processes.descendants(outer)[1:]  # without bwrap's init
        if joined:
            init = next(iter(processes.children(outer)), 0)
            below = [pid for pid in processes.members(init) if pid != init]
        if self.count and self.limits.pids is not None and len(below) > self.limits.pids:
            return "too many processes"
        if self.limits.memory is None:
            return ""
        if sum(processes.resident(pid) for pid in below) <= self.limits.memory:
            return ""
        # Pages shared between workers were counted for each of them: ask for the true share before ending a run.
        return "out of memory" if sum(map(processes.proportional, below)) > self.limits.memory else ""
