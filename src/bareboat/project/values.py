"""What a project is, as immutable values; how a folder becomes one is parse.py and convention.py.

Paths inside the image are absolute POSIX strings; paths on the host are pathlib.Path, absolute.
"""

from __future__ import annotations

from pathlib import Path

from bareboat.values import dataclass, field

KEEP_LOCKED = "pylock"


@dataclass(frozen=True)
class Dependencies:
    """Where the Python packages come from. Exactly one source wins: `source` names it, `files` what it read.

    source: "uv.lock", "pylock", "pyproject", "requirements", "inline" (the project file's list) or "none".
    files: every file the resolution depends on, relative to the root, the source's own first, then all those
    that -r and -c pull in. named: those of them that resolution starts from.
    requirements: PEP 508 lines from the project file, added to the source's own.
    """

    source: str = "none"
    files: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class PythonRequest:
    """The Python asked for: a PEP 440 specifier or a bare X.Y; `source` is the file and key that says so."""

    specifier: str = ""
    source: str = ""


@dataclass(frozen=True)
class ProjectMount:
    """A mount of the project: what convention or the file asks for, before anything is checked on disk.

    kind: "code", "data", "results", "mount"; "volume" of the store, by its name; "anonymous", a volume that is thrown
    away with the container; "cache", the one of the user's; "tmpfs", with its size in bytes (None: the engine's bound),
    mode, and whether programs in it may be started. All but the first four have no source of the host's. copy: a volume
    that is empty is filled from the image.
    """

    source: Path
    target: str
    read_only: bool
    kind: str
    name: str = ""
    copy: bool = True
    size: int | None = None
    mode: int = 0o1777
    programs: bool = False


@dataclass(frozen=True)
class Package:
    """A packaged project (pyproject.toml with a build system), importable from the mounted code.

    name, version: from [project]; version "0" when dynamic. import_path: the directory inside the image that
    goes into a .pth. scripts: console and gui scripts, name → "module:attr". native: it has compiled
    extensions, which are built into a wheel.
    """

    name: str
    version: str
    import_path: str
    scripts: tuple[tuple[str, str], ...] = ()
    entry_points: tuple[tuple[str, str, str], ...] = ()  # group, name, value
    native: bool = False


@dataclass(frozen=True)
class Resources:
    """Limits and shares: bytes, CPUs as a decimal count, processes; None means no limit is asked for."""

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    shm_size: int | None = None
    gpus: str | None = None  # as --gpus has it; "none" is said, None is not


@dataclass(frozen=True)
class Overrides:
    """What the command line says instead of the project file. None: nothing was said.

    python: a version or specifier; code, data, results: absolute paths of this machine; mounts: -v values,
    which also take the place of a project mount at the same target.
    """

    python: str | None = None
    base: str | None = None
    platforms: tuple[str, ...] = ()
    code: Path | None = None
    data: Path | None = None
    results: Path | None = None
    mounts: tuple[ProjectMount, ...] = ()
    read_file: bool = True  # False: by convention alone, as if there were no project file yet (for init)


@dataclass(frozen=True)
class Project:
    """A folder, understood. Made by project.load; nothing in it has been resolved or locked yet."""

    root: Path
    name: str
    file: str | None  # "bareboat.toml", "pyproject.toml" or None: convention alone
    python: PythonRequest = PythonRequest()
    base: str | None = None  # "debian:bookworm", an image, a layout; None: the suite that has the Python
    replace: tuple[str, ...] = ()  # packages of a base image that may be replaced
    dependencies: Dependencies = Dependencies()
    apt: tuple[str, ...] = ()
    apt_source: str = ""  # the file and key the list came from
    platforms: tuple[str, ...] = ()  # "linux/amd64"; empty: this machine's
    mounts: tuple[ProjectMount, ...] = ()  # code, data, results and others, in mount order
    env: tuple[tuple[str, str], ...] = ()
    env_file: str | None = None
    workdir: str = "/app"
    startup: str | None = None  # script, relative to the root, run before the command
    command: tuple[str, ...] = ()  # the default command
    commands: tuple[tuple[str, tuple[str, ...]], ...] = ()  # named commands
    resources: Resources = Resources()
    gpu: str = ""  # "required", "optional" or "none"; "" when the file does not say
    network: str = "host"  # "host" or "none"
    engine: str | None = None  # "bubblewrap", "docker", "podman"; None: as the settings say
    cache: bool | None = None  # whether runs have the user's cache of models and packages; None: as the settings say
    train: tuple[tuple[str, str], ...] = ()  # options of `train` and their values, as they would be typed
    package: Package | None = None
    named: bool = field(default=False, compare=False)  # by its file or pyproject.toml, not by its folder alone
    notes: tuple[str, ...] = field(default=(), compare=False)  # what convention decided, for init and -v
