"""What to run, where every choice has been made: an engine needs nothing else."""

from __future__ import annotations

from pathlib import Path

from bareboat.values import dataclass


@dataclass(frozen=True)
class Mount:
    """A host file or directory at an absolute path inside. The source has been checked to exist."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Rootfs:
    """The image on disk: read-only trees, bottom to top. merged: the trees hold one that is already the whole."""

    trees: tuple[Path, ...]


@dataclass(frozen=True)
class Limits:
    """memory, shm_size, scratch_size in bytes; cpus a decimal count; pids a process count. None: no limit."""

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    shm_size: int | None = None
    scratch_size: int | None = None  # the thin writable layer; None: the engine's default bound


@dataclass(frozen=True)
class Workload:
    """Image, argv, env, mounts, resources, limits. env is complete: nothing of the host's is added by an engine."""

    root: Rootfs
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    mounts: tuple[Mount, ...] = ()
    code_overlays: tuple[tuple[str, Path], ...] = ()  # target of a code mount → tree laid over it (compiled extensions)
    uid: int = 1000  # inside; mapped to the caller outside. 0 only when asked for
    gid: int = 1000
    home: str = "/home/user"  # writable, thrown away
    network: str = "host"  # "host" or "none"
    tty: bool = False
    limits: Limits = Limits()
    hostname: str = "bareboat"
    scratch: str = "tmpfs"  # where the thin writable layer lives: "tmpfs" or "disk"
    scratch_dir: Path | None = None  # for "disk": an empty directory of this run's own
    platform: str = ""  # "linux/arm64", only where that is not this machine's: to be emulated


@dataclass(frozen=True)
class Lost:
    """What was written to the thin layer and is gone: count, bytes, the first names (absolute, inside)."""

    count: int = 0
    bytes: int = 0
    first: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How the program ended. code: as Docker's (128+n by signal). reason: "", "out of memory", "killed" …"""

    code: int
    reason: str = ""
    lost: Lost = Lost()
    seconds: float = 0.0
    peak_memory: int | None = None  # bytes, of the largest process, where it is known
