"""What to run, where every choice has been made: an engine needs nothing else."""

from __future__ import annotations

import posixpath
from pathlib import Path

from bareboat.errors import UsageError
from bareboat.values import dataclass

OWN = ("/proc", "/dev", "/sys")  # made new in every container, on every engine
_NO_TARGET = ("/proc/", "/dev/fd", "/dev/std", "/dev/pts", "/dev/ptmx", "/dev/core")


@dataclass(frozen=True)
class Mount:
    """A host file or directory at an absolute path inside. The source has been checked to exist."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Tmpfs:
    """A file system in memory at an absolute path inside; size in bytes, None for the engine's own bound. Without
    set-user-id programs and devices; programs: whether files in it may be started at all, which Docker's default is
    not.
    """

    target: str
    size: int | None = None
    mode: int = 0o1777
    read_only: bool = False
    programs: bool = False


@dataclass(frozen=True)
class Device:
    """A device node of the host, usable inside at target and not to be changed there."""

    source: Path
    target: str


@dataclass(frozen=True)
class Driver:
    """What granted GPUs need inside besides the image: the host's part of it, for engines without a way of their own.

    mounts: of the driver's files. links: (absolute path inside, what it points to), made in the thin layer in place of
    what the image has there. libraries: (soname, path inside), which the loader is to find before the image's own.
    env: goes before the workload's. granted: which GPUs, of every vendor, as --gpus has it; for every engine. holder:
    the id of the run for which they were leased.
    """

    devices: tuple[Device, ...] = ()
    mounts: tuple[Mount, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    libraries: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    granted: str = ""
    holder: str = ""


@dataclass(frozen=True)
class Port:
    """A TCP port of the host that leads to one inside. host 0: a free one is chosen at the start."""

    host: int
    inside: int
    address: str = "127.0.0.1"


@dataclass(frozen=True)
class Rootfs:
    """The image on disk: read-only trees, bottom to top. plan_blob: sha256 of the blob with the whole plan, for engines
    that want the image and not its trees.
    """

    trees: tuple[Path, ...]
    plan_blob: str = ""


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
    tmpfs: tuple[Tmpfs, ...] = ()
    devices: tuple[Device, ...] = ()
    gpus: str = ""  # NVIDIA's GPUs that were granted, "device=0,1": for engines with a way of their own
    driver: Driver = Driver()  # the same for the others, which take it and not gpus
    ports: tuple[Port, ...] = ()
    run: str = ""  # the id of the run it is for, where there is one: engines that keep lists of their own show it


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


@dataclass(frozen=True)
class Exec:
    """One more program in a container that runs. env is complete; uid, gid: the numbers inside; limits and network: the
    container's own.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    uid: int
    gid: int
    tty: bool = False
    limits: Limits = Limits()
    network: str = "host"


@dataclass(frozen=True)
class Handle:
    """A container that runs, as another process of the same user may enter it. id: the engine's own name for it, ""
    when it has none; pidfd: of a process in all of its namespaces, -1 when the engine enters by name.
    """

    id: str = ""
    pidfd: int = -1


@dataclass(frozen=True)
class Process:
    """A process of a container, for top. pid: the host's number; memory: resident bytes; seconds of CPU used."""

    pid: int
    uid: int
    seconds: float
    memory: int
    argv: str


@dataclass(frozen=True)
class Usage:
    """What a container uses now. cpu_seconds since its start; memory in bytes; read and written bytes of storage."""

    cpu_seconds: float
    memory: int
    pids: int
    read: int = 0
    written: int = 0


def checked(workload: Workload) -> None:
    """Refuse what no engine can run. Raises UsageError "engine.argv", "engine.nul", "engine.env", "engine.network"."""
    if not workload.argv or not workload.argv[0]:
        raise UsageError("engine.argv", "there is no command to run", hint="Say what to run after --.")
    for text in (*workload.argv, *(part for pair in workload.env for part in pair)):
        if "\0" in text:
            raise UsageError("engine.nul", "arguments and variables cannot contain a NUL", where=repr(text[:60]))
    for name, _ in workload.env:
        if not name or "=" in name:
            raise UsageError("engine.env", "not a name for an environment variable", where=repr(name))
    if workload.network not in ("host", "none"):
        raise UsageError("engine.network", "the network is host or none", where=workload.network)


def absolute(path: str, what: str) -> str:
    """A path inside, normalised. Raises UsageError "engine.path"."""
    if not path.startswith("/") or "\0" in path:
        raise UsageError("engine.path", f"{what} must be an absolute path", where=path or "(empty)")
    return "/" + posixpath.normpath(path).lstrip("/")


def mount_target(path: str) -> str:
    """As absolute, where something may be mounted. Raises UsageError "engine.mount-target"."""
    target = absolute(path, "the target of a mount")
    if target == "/" or target in OWN or target.startswith(_NO_TARGET):
        raise UsageError("engine.mount-target", "nothing can be mounted here: bareboat makes it new for every run",
                         where=path)
    return target
