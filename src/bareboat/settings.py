"""Every setting and variable, in one table: the fields of Settings. docs/settings.md is generated from it.

A value comes from the first of: command line, environment, the user's settings.toml, the administrator's. What the
administrator's file names under `fixed` comes from there alone, and so do the most that a run may ask for (`limits`).
What belongs to a project is in its project file, not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bareboat.errors import BareboatError
from bareboat.values import Any, dataclass, field, fields, replace

SYSTEM_FILE = Path("/etc/bareboat/settings.toml")
FIXED = "fixed"  # the administrator's list of settings that nobody else may set


class SettingsError(BareboatError):
    """A setting is unknown, of the wrong type, or cannot be found: source, name, what is allowed."""


@dataclass(frozen=True)
class Setting:
    """A row of the table. kind: "path", "text", "url", "flag", "count", "number" (0 too), "cpus", "size", "seconds",
    "duration", "choice", "hosts" (a list), "host-urls" or "host-paths" (tables of a text or a list of texts by host).
    """

    name: str  # as in settings.toml: "debian.mirror"
    kind: str
    help: str
    default: str = ""  # as the documentation shows it
    choices: tuple[str, ...] = ()
    administrator: bool = False  # only the administrator's file may set it

    @property
    def variable(self) -> str:
        """The environment variable: BAREBOAT_DEBIAN_MIRROR."""
        return "BAREBOAT_" + self.name.upper().replace(".", "_").replace("-", "_")

    @property
    def allowed(self) -> str:
        """What a value may be; completes "must be …"."""
        return {
            "path": "an absolute path (~ is the home directory)",
            "text": "text",
            "url": "a URL that begins with http://, https:// or file:///",
            "flag": "true or false",
            "count": "a whole number of at least 1",
            "number": "a whole number of at least 0",
            "cpus": "a number above 0, such as 4 or 0.5",
            "size": "a size like 8g, 512m or a number of bytes",
            "seconds": "a number of seconds, at least 0",
            "duration": "a time like 90s, 30m, 24h, 7d or a number of seconds",
            "choice": " or ".join(self.choices),
            "hosts": "a list of hosts, HOST or HOST:PORT",
            "host-urls": "a table of a URL, or a list of URLs, for each host; as a variable HOST=URL HOST=URL",
            "host-paths": "a table of an absolute path for each host; as a variable HOST=PATH HOST=PATH",
        }[self.kind]


def _setting(
    name: str, kind: str, default: Any, help: str, *, shown: str = "", choices: tuple[str, ...] = (),
    administrator: bool = False,
) -> Any:
    if not shown and default is not None:
        shown = str(default).lower() if isinstance(default, bool) else str(default)
    return field(default=default, metadata={"setting": Setting(name, kind, help, shown, choices, administrator)})


def _limit(name: str, kind: str, help: str) -> Any:
    return _setting(f"limits.{name}", kind, None, help, shown="none", administrator=True)


def _queue(name: str, kind: str, help: str) -> Any:
    return _setting(f"queue.{name}", kind, None, help, shown="none", administrator=True)


MIB = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """The settings in force, typed.

    sources: name → where its value came from ("BAREBOAT_JOBS", a file); what is not in it has its default.
    """

    home: Path = _setting(  # the field of a row of the table; nothing is shared
        "home",
        "path",
        Path(),
        "All state of bareboat: store, records, caches.",
        shown="$XDG_DATA_HOME/bareboat, else ~/.local/share/bareboat",
    )
    engine: str = _setting("engine", "choice", "bubblewrap", "What runs containers.",
                           choices=("bubblewrap", "docker", "podman"))
    offline: bool = _setting("offline", "flag", False, "Never use the network; say what is missing instead.")
    jobs: int | None = _setting(
        "jobs", "count", None, "Parallel downloads, unpackings and compilations.", shown="the number of CPUs"
    )
    index_max_age: float = _setting(
        "index-max-age",
        "seconds",
        600.0,
        "How old an answer of the package index or archive may be before it is asked again.",
        shown="600",
    )
    keep_archives: bool = _setting("keep-archives", "flag", False,
                                   "Keep downloaded wheels and Debian packages once they are unpacked; without them a "
                                   "tree that was collected is fetched again.")
    compression: str = _setting("compression", "choice", "gzip",
                                "How layers of ours are compressed where they are shipped; zstd is smaller, and Docker "
                                "before 23 cannot read it.", choices=("gzip", "zstd"))
    python_mirror: str | None = _setting(
        "python.mirror",
        "url",
        None,
        "A mirror of python-build-standalone, for Pythons that no suite has: the URL above the builds' dates, as for "
        "UV_PYTHON_INSTALL_MIRROR.",
        shown="where uv's list of downloads says",
    )
    layer_size: int = _setting("layer-size", "size", 64 * 1024 * MIB,
                               "The most that one layer of an image may unpack to.", shown="64g")
    layer_entries: int = _setting("layer-entries", "count", 2_000_000,
                                  "The most files, directories and links in one layer of an image.")
    layer_ratio: int = _setting("layer-ratio", "count", 200,
                                "How many times its packed size a layer of over 1g may unpack to.")
    debian_mirror: str | None = _setting(
        "debian.mirror",
        "url",
        None,
        "Debian's archive, the URL above dists/ and pool/.",
        shown="the host's own apt source",
    )
    debian_security_mirror: str | None = _setting(
        "debian.security-mirror",
        "url",
        None,
        "Debian's security archive, the URL above dists/.",
        shown="the host's own apt source",
    )
    debian_keyring: Path | None = _setting(  # as above
        "debian.keyring",
        "path",
        None,
        "The keys that InRelease must be signed with.",
        shown="the host's archive keyring, else the one that ships",
    )
    debian_snapshot: str | None = _setting(
        "debian.snapshot",
        "url",
        None,
        "A snapshot archive for packages that the mirror has dropped; "
        "{date} in it becomes the lock's date as YYYYMMDDTHHMMSSZ.",
        shown="none",
    )
    debian_check_valid_until: bool = _setting(
        "debian.check-valid-until",
        "flag",
        True,
        "Refuse an InRelease whose Valid-Until has passed when locking.",
    )
    ubuntu_mirror: str | None = _setting(
        "ubuntu.mirror",
        "url",
        None,
        "Ubuntu's archive, the URL above dists/ and pool/.",
        shown="the host's own apt source",
    )
    registry_insecure: tuple[str, ...] = _setting(
        "registry.insecure",
        "hosts",
        (),
        "Registries that may be spoken to without TLS, or with anybody's certificate.",
        shown="none; this machine's own are",
    )
    registry_mirrors: tuple[tuple[str, str], ...] = _setting(
        "registry.mirrors",
        "host-urls",
        (),
        "Where to pull from before the registry itself.",
        shown="registries.conf",
    )
    registry_ca: tuple[tuple[str, str], ...] = _setting(
        "registry.ca",
        "host-paths",
        (),
        "The CA file that a registry's certificate may also be signed by.",
        shown="certs.d",
    )
    cluster_repository: str | None = _setting(
        "cluster.repository", "text", None, "The repository of a registry to which images of runs on a cluster are "
        "pushed, as ghcr.io/lab/runs.", shown="none")
    cluster_cache: Path | None = _setting(
        "cluster.cache", "path", None, "A directory on the own disk of each of Slurm's nodes, in which each user's "
        "images are kept beside the store.", shown="none: read from the store")
    cluster_cache_size: int | None = _setting(
        "cluster.cache-size", "size", None, "The most that one user's images may take there.",
        shown="a quarter of the disk")
    scratch: str = _setting(
        "scratch", "choice", "tmpfs", "Where a run's thin writable layer lives.", choices=("tmpfs", "disk")
    )
    scratch_size: int | None = _setting(
        "scratch-size",
        "size",
        None,
        "The bound of a run's thin writable layer.",
        shown="half of the memory, or of the free disk",
    )
    cache: bool = _setting("cache", "flag", False, "Give runs this user's cache of models and packages, which all "
                           "projects share; a project file and --cache, --no-cache say it for one.")
    cache_directory: Path | None = _setting(  # as above
        "cache-directory", "path", None, "Where that cache is.", shown="the volume bareboat-cache of the store")
    shm_size: int | None = _setting(
        "shm-size", "size", None, "The size of /dev/shm.", shown="half of the memory"
    )
    log_size: int = _setting("log-size", "size", 256 * MIB, "At which size a run's log is rotated.", shown="256m")
    log_files: int = _setting("log-files", "count", 3, "How many rotated logs of a run are kept beside its newest.")
    results_keep_file: int = _setting(
        "results-keep-file",
        "size",
        64 * MIB,
        "Largest result file whose bytes are kept with the run's record.",
        shown="64m",
    )
    results_keep_total: int = _setting(
        "results-keep-total",
        "size",
        512 * MIB,
        "Largest sum of result files whose bytes are kept with one record.",
        shown="512m",
    )
    data_fingerprint_seconds: float = _setting(
        "data-fingerprint-seconds",
        "seconds",
        5.0,
        "How long reading the data's sizes and times may take per run; then the record says partial.",
        shown="5",
    )
    gpu_cdi: str = _setting("gpu.cdi", "text", "/etc/cdi:/var/run/cdi",
                            "Directories with CDI specifications of GPUs, parted by colons; the later ones go before.")
    gpu_nvml: Path | None = _setting("gpu.nvml", "path", None, "NVIDIA's management library.",
                                     shown="libnvidia-ml.so.1, as the loader finds it")
    queue_path: Path | None = _setting(
        "queue.path", "path", None, "The directory of this user's queue of unattended runs: on a disk of this machine.",
        shown="queue below home")
    queue_user_gpus: int | None = _queue("user-gpus", "count", "How many GPUs the runs of one user may have at once.")
    queue_user_cpus: float | None = _queue("user-cpus", "cpus", "How many CPUs the runs of one user may have at once.")
    queue_user_memory: int | None = _queue("user-memory", "size", "How much memory they may have at once.")
    queue_user_runs: int | None = _queue("user-runs", "count", "How many runs of one user may go on at once.")
    queue_weights: str = _setting(
        "queue.weights", "text", "", "Shares of users in the queue that are not 1: \"alice=2 bob=0.5\".", shown="none",
        administrator=True)
    leases_path: Path | None = _setting(
        "leases.path", "path", None, "The directory in which the users of this machine agree who has which GPU; one "
        "and the same for all of them.", shown="/run/lock/bareboat where every user may write to /run/lock")
    shared_store_path: Path | None = _setting(
        "shared-store.path", "path", None, "A store of somebody else's whose trees and blobs are used where they are "
        "and never written.", shown="none")
    shared_store_owner: str = _setting("shared-store.owner", "text", "root",
                                       "Who must own it: a user's name or number.")
    defaults_memory: int | None = _setting("defaults.memory", "size", None,
                                           "Memory of a run that asks for none.", shown="limits.memory")
    defaults_cpus: float | None = _setting("defaults.cpus", "cpus", None,
                                           "CPUs of a run that asks for none.", shown="limits.cpus")
    defaults_pids: int | None = _setting("defaults.pids", "count", None,
                                         "Processes of a run that asks for none.", shown="limits.pids")
    defaults_max_time: float | None = _setting("defaults.max-time", "duration", None,
                                               "How long a run that does not say may take.", shown="limits.max-time")
    limits_memory: int | None = _limit("memory", "size", "The most memory that a run may ask for.")
    limits_cpus: float | None = _limit("cpus", "cpus", "The most CPUs that a run may ask for.")
    limits_pids: int | None = _limit("pids", "count", "The most processes that a run may ask for.")
    limits_gpus: int | None = _limit("gpus", "number", "The most GPUs that a run may ask for; 0: none.")
    limits_shm_size: int | None = _limit("shm-size", "size", "The largest /dev/shm that a run may ask for.")
    limits_max_time: float | None = _limit("max-time", "duration", "The longest that a run may take.")
    sources: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    fixed: tuple[str, ...] = field(default=(), repr=False)  # names that the administrator's file alone decides
    notes: tuple[str, ...] = field(
        default=(), compare=False
    )  # variables that look like settings and are none; what was said of a fixed setting, and is not used

    def source(self, name: str) -> str:
        """Where the value of a setting ("debian.mirror") came from; "default" when nobody set it."""
        return dict(self.sources).get(name, "default")

    def table(self) -> list[tuple[str, object, str]]:
        """Every setting in order: name, value, where the value came from."""
        return [(name, getattr(self, field), self.source(name)) for name, (field, _) in rows().items()]

    @property
    def limited(self) -> bool:
        """Whether what a run asks for has to be looked at: somebody set a most or a default, or fixed a setting."""
        return bool(self.fixed) or any(name.startswith(("limits.", "defaults.")) for name, _ in self.sources)

    def override(self, **said: object) -> Settings:
        """These settings with what a command line says, by field; None: nothing. Raises SettingsError "settings.fixed"
        for one that the administrator fixed, unless it says the same.
        """
        spoken: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        if not spoken:
            return self
        names = {attribute: name for name, (attribute, _) in rows().items() if attribute in spoken}
        for attribute, name in names.items():
            if name in self.fixed and getattr(self, attribute) != spoken[attribute]:
                raise _fixed(name, self.source(name))
        sources = {**dict(self.sources), **dict.fromkeys(names.values(), "command line")}
        return replace(self, **spoken, sources=tuple(sources.items()))


def rows() -> dict[str, tuple[str, Setting]]:
    """Every setting by name, in order, with the field of Settings that holds it."""
    found = ((f.name, f.metadata["setting"]) for f in fields(Settings) if "setting" in f.metadata)
    return {setting.name: (attribute, setting) for attribute, setting in found}


def load(
    environ: Mapping[str, str], command_line: Mapping[str, str] | None = None, system_file: Path | None = None,
    administrator: int = 0,
) -> Settings:
    """The settings in force. Reads the user's and the administrator's file where they are, and nothing else.

    command_line: name → text, as typed after --set. administrator: the uid that the administrator's file must belong
    to. Raises SettingsError: "settings.unknown", "settings.value", "settings.home", "settings.toml",
    "settings.encoding", "settings.unreadable", "settings.untrusted", "settings.administrator", "settings.fixed".
    """
    known = rows()
    system_file = system_file or SYSTEM_FILE
    ruled, fixed = _administrators(system_file, known, administrator)
    notes: list[str] = []
    found: dict[str, tuple[object, str]] = {}
    for name, text in (command_line or {}).items():
        if name not in known:
            raise _unknown(name, "command line", known)
        found[name] = _from_text(_open(known[name][1], "command line"), text, "command line"), "command line"
        if name in fixed and (name not in ruled or found[name][0] != ruled[name]):
            raise _fixed(name, str(system_file))
    for name, (_, setting) in known.items():
        text = environ.get(setting.variable, "")
        if not text or name in found:
            continue
        if name in fixed:
            if name not in ruled or _from_text(setting, text, setting.variable) != ruled[name]:
                notes.append(f"{setting.variable} is not used: {name} is fixed by {system_file}")
            continue
        found[name] = _from_text(_open(setting, setting.variable), text, setting.variable), setting.variable
    file = user_file(environ)
    for name, value in _read(file, known) if file else ():
        if name not in fixed:
            found.setdefault(name, (value, str(file)))
        elif name not in ruled or value != ruled[name]:
            notes.append(f"{name} in {file} is not used: it is fixed by {system_file}")
    for name, value in ruled.items():
        found.setdefault(name, (value, str(system_file)))
    if "home" not in found:
        found["home"] = _data_home(environ) / "bareboat", "default"
    values: dict[str, Any] = {known[name][0]: value for name, (value, _) in found.items()}
    sources = tuple((name, found[name][1]) for name in known if name in found)
    return Settings(**values, sources=sources, fixed=tuple(n for n in known if n in fixed),
                    notes=(*_misspelt(environ, known), *notes))


def user_file(environ: Mapping[str, str]) -> Path | None:
    """$XDG_CONFIG_HOME/bareboat/settings.toml, or below ~/.config; None where there is no home at all."""
    directory = environ.get("XDG_CONFIG_HOME", "")
    if not directory.startswith("/"):  # the XDG specification: relative paths are to be ignored
        home = _home(environ)
        if home is None:
            return None
        return home / ".config/bareboat/settings.toml"
    return Path(directory) / "bareboat/settings.toml"


def _home(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME", "")
    if home.startswith("/"):
        return Path(home)
    import os
    import pwd

    try:
        entry = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
    return Path(entry) if entry.startswith("/") and entry != "/nonexistent" else None


def _data_home(environ: Mapping[str, str]) -> Path:
    directory = environ.get("XDG_DATA_HOME", "")
    if directory.startswith("/"):
        return Path(directory)
    home = _home(environ)
    if home is None:
        raise SettingsError(
            "settings.home",
            "HOME is not set and this user has no home directory",
            hint="Set BAREBOAT_HOME to a directory that you may write to.",
        )
    return home / ".local/share"


def _read(file: Path, known: Mapping[str, tuple[str, Setting]]) -> Iterator[tuple[str, object]]:
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as wrong:
        if file.parent.name == "bareboat" and isinstance(wrong, PermissionError) and not _is_ours(file):
            return  # HOME of another user, as under sudo: nothing there was meant for us
        raise SettingsError(
            "settings.unreadable", f"cannot be read: {wrong.strerror}", where=str(file)
        ) from None
    for name, value in _flat(_parse(content, file), "", known):
        if name not in known:
            raise _unknown(name, str(file), known)
        yield name, _from_value(_open(known[name][1], f"{file}: {name}"), value, f"{file}: {name}")


def _administrators(
    file: Path, known: Mapping[str, tuple[str, Setting]], owner: int
) -> tuple[dict[str, object], frozenset[str]]:
    """What the administrator's file says, and which settings it fixes. A name above others stands for all of them."""
    import os

    if not os.path.lexists(file):
        return {}, frozenset()
    from bareboat.trusted import read_trusted

    content = read_trusted(file, owner, SettingsError)
    document = {} if content is None else dict(_parse(content, file))
    names = document.pop(FIXED, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SettingsError("settings.value", f"{FIXED} must be a list of names of settings", where=f"{file}: {FIXED}")
    fixed: set[str] = set()
    for name in names:
        meant = {row for row in known if row == name or row.startswith(f"{name}.")}
        if not meant:
            raise _unknown(name, f"{file}: {FIXED}", known)
        fixed |= meant
    ruled: dict[str, object] = {}
    for name, value in _flat(document, "", known):
        if name not in known:
            raise _unknown(name, str(file), known)
        ruled[name] = _from_value(known[name][1], value, f"{file}: {name}")
    return ruled, frozenset(fixed)


def _parse(content: bytes, file: Path) -> Mapping[str, object]:
    from bareboat import toml

    return toml.parse(content, str(file), "settings", SettingsError)


def _open(setting: Setting, where: str) -> Setting:
    """The setting, where anybody may set it."""
    if setting.administrator:
        raise SettingsError("settings.administrator", f"{setting.name} is the administrator's to set", where=where,
                            hint=f"It belongs into {SYSTEM_FILE}; a run's own limits are flags and the project file's.")
    return setting


def _fixed(name: str, where: str) -> SettingsError:
    return SettingsError("settings.fixed", f"{name} is fixed and cannot be set to something else", where=where,
                         hint="Leave it out, or ask the administrator; bareboat config shows what holds.")


def _is_ours(file: Path) -> bool:
    import os

    try:
        return file.parent.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _flat(
    document: Mapping[str, object], prefix: str, known: Mapping[str, object]
) -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        name = prefix + key
        if isinstance(value, dict) and name not in known and any(row.startswith(name + ".") for row in known):
            yield from _flat(value, name + ".", known)
        else:
            yield name, value


def _unknown(name: str, where: str, known: Mapping[str, object]) -> SettingsError:
    near = _nearest(name, list(known))
    return SettingsError(
        "settings.unknown",
        f"there is no setting {name!r}",
        where=where,
        hint=f"Did you mean {near!r}?" if near else f"Settings are: {', '.join(known)}.",
    )


def _misspelt(environ: Mapping[str, str], known: Mapping[str, tuple[str, Setting]]) -> Iterator[str]:
    strange = [v for v in environ if v.startswith("BAREBOAT_")]
    if not strange:
        return
    variables = [setting.variable for _, setting in known.values()]
    for variable in sorted(set(strange) - set(variables)):
        near = _nearest(variable, variables)
        if near:  # others may name their own variables so: only what looks like a slip is worth a word
            yield f"{variable} is not a setting; did you mean {near}?"


def _nearest(name: str, names: list[str]) -> str:
    import difflib

    return next(iter(difflib.get_close_matches(name, names, 1, 0.75)), "")


def _from_text(setting: Setting, text: str, where: str) -> object:
    from bareboat.settings_values import from_text  # nobody needs it who sets nothing

    return from_text(setting, text, where)


def _from_value(setting: Setting, value: object, where: str) -> object:
    from bareboat.settings_values import from_value

    return from_value(setting, value, where)
