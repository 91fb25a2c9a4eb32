"""What a container of docker's or podman's leaves: files that go with it, and itself where its bareboat was killed."""

from __future__ import annotations

import os

from bareboat.workload import Workload

_NOISE = ("/var/cache", "/var/log", "/var/tmp", "/run", "/tmp", "/root", "/dev", "/proc", "/sys")


def lost(changes: str, load: Workload) -> tuple[str, ...]:
    """The paths of docker's list of changes that the program made and that are gone: no directories with something in
    them, nothing under home, /tmp and caches, no places of mounts. Sorted.
    """
    paths = sorted(line[2:] for line in changes.splitlines() if line[:2] in ("A ", "C "))
    parents = {path.rpartition("/")[0] for path in paths}
    skip = (*_NOISE, load.home, *(m.target for m in load.mounts), *(t.target for t in load.tmpfs))
    made = ("hosts", "hostname", "resolv.conf", "mtab", "passwd", "group")  # by the engine, in every container
    own = {"/etc", load.cwd, *(f"/etc/{name}" for name in made)}
    return tuple(p for p in paths if p not in parents and p not in own and not p.endswith(".pyc")
                 and not any(p == s or p.startswith(s + "/") for s in skip)
                 and not any(part in ("__pycache__", ".cache", ".ipynb_checkpoints") for part in p.split("/"))
                 and not any(m.target.startswith(p + "/") for m in load.mounts))


def owner(pid: int) -> str:
    """A process, so that no other is ever taken for it: boot, number, start. "" where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        with open(f"/proc/{pid}/stat", "rb") as file:
            began = file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""
    return f"{boot}:{pid}:{began}"


def abandoned(text: str) -> bool:
    """Whether who is named there lives no more. What names nobody is left alone."""
    parts = text.split(":")
    return len(parts) == 3 and parts[1].isdigit() and bool(owner(os.getpid())) and owner(int(parts[1])) != text
