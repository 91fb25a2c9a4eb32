"""What a record learns while and after the program runs: git, host, data, results.

Apart from values.py, which is needed before the start: every class costs a millisecond of it.
"""

from __future__ import annotations

from bareboat.values import dataclass


@dataclass(frozen=True)
class GitFacts:
    """The repository the project is in. remote: without credentials. dirty: tracked or untracked changes."""

    commit: str = ""
    branch: str = ""
    remote: str = ""
    dirty: bool = False
    changed: tuple[str, ...] = ()  # first names of what is dirty


@dataclass(frozen=True)
class DataFile:
    """A file of the data: size in bytes, mtime in ns, sha256 as 64 hex digits or "" where it was not hashed.
    """

    path: str
    size: int
    mtime: int
    sha256: str = ""


@dataclass(frozen=True)
class DataFingerprint:
    """What the data were. status: "complete" (all hashed), "stat-only", "partial" (the walk did not end in
    time).

    listing: sha256 over (path, size, mtime) of every file; sizes: over (path, size) alone, which survives a
    copy; content: over (path, sha256) when complete, else "". files: the first by name, bounded; the rest
    is in digests.
    """

    status: str = "partial"
    count: int = 0
    bytes: int = 0
    hashed: int = 0
    listing: str = ""
    sizes: str = ""
    content: str = ""
    files: tuple[DataFile, ...] = ()


@dataclass(frozen=True)
class DataSource:
    """The fingerprint of one data mount, by its target inside."""

    target: str
    source: str
    fingerprint: DataFingerprint


@dataclass(frozen=True)
class ResultFile:
    """A file that appeared or changed in results. sha256 "": it could not be read, or was too large to be.

    kept: its bytes are in the results' pack, at offset, so that a repetition can be compared by tolerance.
    """

    path: str  # relative to the results folder
    size: int
    sha256: str
    kept: bool = False
    link: str = ""  # the target of a symlink, which is never followed
    offset: int = 0


@dataclass(frozen=True)
class HostFacts:
    """The machine, as far as numbers may depend on it. memory in bytes; level: "x86-64-v3"; gpus: name and
    memory.
    """

    name: str = ""
    kernel: str = ""
    machine: str = ""
    cpu: str = ""
    cores: int = 0
    level: str = ""
    flags: tuple[str, ...] = ()
    memory: int = 0
    libc: str = ""
    gpus: tuple[str, ...] = ()
    driver: str = ""
    mark: str = ""  # which machine, not to be guessed from its name; "" where there is none


@dataclass(frozen=True)
class Curve:
    """How use went: a point each, at most supervisor.meter.POINTS. seconds: from the start to a point's end; cpu: CPUs
    in use, its mean; memory, gpu_memory: bytes, its most; read, written: bytes in it; gpu: percent, its mean, () as
    gpu_memory where it was not known all the time.
    """

    seconds: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()
    memory: tuple[int, ...] = ()
    read: tuple[int, ...] = ()
    written: tuple[int, ...] = ()
    gpu: tuple[float, ...] = ()
    gpu_memory: tuple[int, ...] = ()


@dataclass(frozen=True)
class Used:
    """What an attempt used until the last look at it. cpus: that it could use; memory_peak, memory_mean: bytes of all
    its processes, shared pages once, at the looks; read, written: bytes of storage; gpu: percent of its GPUs, the mean;
    gpu_memory: bytes, the peak.
    """

    cpus: float = 0.0
    cpu_seconds: float = 0.0
    memory_peak: int = 0
    memory_mean: int = 0
    read: int = 0
    written: int = 0
    gpu: float | None = None
    gpu_memory: int | None = None
    curve: Curve = Curve()


@dataclass(frozen=True)
class Attempt:
    """One start of a run that was started again since. Times, resumed and used: as RunRecord's."""

    number: int
    started: str = ""
    ended: str = ""
    exit_code: int | None = None
    reason: str = ""
    resumed: str = ""
    used: Used | None = None
