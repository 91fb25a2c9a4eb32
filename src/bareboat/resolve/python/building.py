"""Sources into wheels: what a build backend gets and what is kept of its answer; the sandbox is an argument.

No code of a package runs on the host: pyproject.toml is read as data, everything else happens in a BuildRoom,
whose sandbox has no network (PEP 517 hooks in processes of their own, see pep517_inside.py).
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from bareboat.errors import LockError, ResolveError
from bareboat.lock import Wheel
from bareboat.resolve.python.origins import Origin
from bareboat.resolve.python.target import Target

EPOCH = "315619200"  # image.plan.EPOCH: no archive a backend makes may say when it was built
LARGEST = 4 * 1024 * 1024  # bytes of a pyproject.toml
LOG_TAIL = 4000  # characters of a backend's output that an error shows
_COMPILED = (
    ".c",
    ".cc",
    ".cpp",
    ".cxx",
    ".pyx",
    ".pxd",
    ".f",
    ".f90",
    ".F90",
    ".for",
    ".cu",
    ".rs",
    ".go",
    ".S",
)

Resolve = Callable[[tuple[str, ...]], tuple[Wheel, ...]]


@dataclass(frozen=True)
class BuildSpec:
    """One start of pep517_inside. source: read-only; out: an empty directory for its answer; want: see there.

    toolchain: compilers and Python's headers are needed. env: complete. requires: wheels the backend is
    given.
    """

    name: str
    source: Path
    subdirectory: str
    out: Path
    want: str
    target: Target
    requires: tuple[Wheel, ...]
    toolchain: bool
    env: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Errand:
    """A script of ours, run by the base's Python in the sandbox with the host's network (no code of
    packages).

    folder: writable at /bareboat/out. ca: the host's CA bundle.
    """

    script: Path
    arguments: tuple[str, ...]
    folder: Path
    env: tuple[tuple[str, str], ...]
    ca: Path | None = None


class BuildRoom(Protocol):
    """The sandbox and the store, as building needs them."""

    def run(self, spec: BuildSpec) -> str:
        """Run the driver without network and return the end of its output; its answer is in spec.out."""
        ...

    def errand(self, errand: Errand) -> tuple[int, str]:
        """Run a script of ours with the host's network; its exit code and the end of its output."""
        ...

    def blob(self, sha256: str) -> Path | None:
        """The file with this digest, if the store has it."""
        ...

    def keep(self, path: Path) -> str:
        """Put a file into the store, moving it where it may; returns its sha256."""
        ...

    def download(self, url: str, sha256: str) -> Path:
        """A file of the network in the store; sha256 "" takes what comes. Raises ResolveError
        "download.*"."""
        ...

    def remembered(self, key: str) -> Mapping[str, object] | None:
        """What `remember` was told under this key."""
        ...

    def remember(self, key: str, value: Mapping[str, object]) -> None:
        """Keep a build's outcome for the next time the same is asked."""
        ...


@dataclass(frozen=True)
class BuildSystem:
    """[build-system] of pyproject.toml, with PEP 517's defaults."""

    requires: tuple[str, ...]
    backend: str
    path: tuple[str, ...]


def build_wheel(origin: Origin, target: Target, scratch: Path, room: BuildRoom, resolve: Resolve) -> Wheel:
    """The wheel of a source, its blob in the store. Built once for the same source, target and build
    requirements.

    resolve: build requirements → wheels for the target. Raises ResolveError "python.build-failed" with
    the end of the backend's output, "python.build-system".
    """
    system = build_system(origin)
    requires = resolve(system.requires)
    key = _key(origin, target, requires)
    known = room.remembered(key)
    if known is not None and room.blob(str(known["sha256"])) is not None:
        return _wheel(origin, known, str(known["with"]))
    toolchain = _compiles(origin)
    spec = BuildSpec(
        origin.name,
        origin.path,
        origin.subdirectory,
        scratch,
        "wheel",
        target,
        requires,
        toolchain,
        environment(system),
    )
    report = run_driver(room, spec, 1)
    more = report.get("requires")
    if more:
        requires = resolve((*system.requires, *(str(r) for r in more)))
        report = run_driver(room, replace(spec, requires=requires, want="wheel-now"), 2)
    path = Path(report["out"]) / str(report["wheel"])
    info, size = read_metadata(path), path.stat().st_size
    value = {
        "filename": path.name,
        "sha256": room.keep(path),
        "size": size,
        "name": info["name"],
        "version": info["version"],
        "with": built_with(requires, path.name, target),
    }
    room.remember(key, value)
    return _wheel(origin, value, str(value["with"]))


def built_with(requires: tuple[Wheel, ...], filename: str, target: Target) -> str:
    """What a backend was given, for Wheel.built_with; and the C library, where the wheel was linked with it."""
    pins = " ".join(f"{w.name}=={w.version}" for w in requires)
    return pins if filename.endswith("-any.whl") else f"{pins} on {target.libc}".strip()


def rebuilt(wheel: Wheel, origin: Origin, target: Target, scratch: Path, room: BuildRoom, resolve: Resolve) -> None:
    """Make the blob of a locked wheel that this machine does not have, with the backends it was built with.

    Raises LockError "lock.rebuilt-differs" when other bytes come out; nothing takes the locked wheel's
    place then.
    """
    pins = tuple(f" {wheel.built_with}".partition(" on ")[0].split())
    again = build_wheel(origin, target, scratch, room, lambda asked: resolve(pins or asked))
    if again.sha256 != wheel.sha256:
        raise LockError(
            "lock.rebuilt-differs",
            f"{wheel.name} {wheel.version} was built again and is not the wheel that was locked",
            where=wheel.built_from,
            hint=f"Copy {wheel.filename} from the machine that locked it, or run "
            f"`bareboat lock --upgrade {wheel.name}`.",
        )


def _wheel(origin: Origin, value: Mapping[str, Any], built_with: str) -> Wheel:
    return Wheel(
        name=str(value["name"]),
        version=str(value["version"]),
        filename=str(value["filename"]),
        url="",
        sha256=str(value["sha256"]),
        size=int(value["size"]),
        direct_url=origin.direct_url,
        built_from=origin.built_from,
        built_with=built_with,
    )


def _key(origin: Origin, target: Target, requires: tuple[Wheel, ...]) -> str:
    said = [
        origin.digest,
        origin.subdirectory,
        target.python,
        target.libc,
        target.platform,
        *(w.sha256 for w in requires),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def environment(system: BuildSystem) -> tuple[tuple[str, str], ...]:
    """What a backend sees: fixed, so that the same source gives the same bytes."""
    said = json.dumps({"backend": system.backend, "path": system.path, "requires": system.requires})
    return (
        ("BAREBOAT_BUILD_SYSTEM", said),
        ("LC_ALL", "C.UTF-8"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONHASHSEED", "0"),
        ("SOURCE_DATE_EPOCH", EPOCH),
        ("TZ", "UTC"),
    )


def run_driver(room: BuildRoom, spec: BuildSpec, attempt: int) -> dict[str, Any]:
    out = spec.out / f"out-{hashlib.sha256(str(spec.source).encode()).hexdigest()[:12]}-{attempt}"
    out.mkdir(parents=True, exist_ok=True)
    log = room.run(replace(spec, out=out))
    try:
        report = json.loads((out / "report.json").read_bytes())
    except (OSError, ValueError):
        report = {"error": "the build ended without an answer"}
    if not isinstance(report, dict) or "error" in report:
        said = report.get("error", "") if isinstance(report, dict) else ""
        raise ResolveError(
            "python.build-failed",
            f"{spec.name} could not be built into a wheel: {said}\n{log[-LOG_TAIL:].strip()}",
            hint="Builds have no network. Take a version that has a wheel, or add what is missing with apt = [...].",
        )
    name = report.get("wheel")
    if name is not None and (not isinstance(name, str) or "/" in name or not name.endswith(".whl")):
        raise ResolveError("python.build-failed", f"{spec.name}: the backend named {name!r} as its wheel")
    return {**report, "out": str(out)}


def build_system(origin: Origin) -> BuildSystem:
    """[build-system] of a source, read without running or unpacking anything. Raises ResolveError
    "python.build-system".

    PEP 517: without the table, setuptools' legacy backend; PEP 518: without requires, the table is an error.
    """
    text = _member(origin, "pyproject.toml")
    legacy = BuildSystem(("setuptools>=40.8.0",), "setuptools.build_meta:__legacy__", ())
    if text is None:
        return legacy
    from bareboat import toml

    document = toml.parse(text, f"{origin.name}: pyproject.toml", "python", ResolveError)
    table = document.get("build-system")
    if table is None:
        return legacy
    if not isinstance(table, dict) or not _strings(table.get("requires")):
        raise ResolveError(
            "python.build-system", "[build-system] has no requires", where=f"{origin.name}: pyproject.toml"
        )
    backend = table.get("build-backend", legacy.backend)
    path = table.get("backend-path", [])
    if not isinstance(backend, str) or not _strings(path):
        raise ResolveError("python.build-system", "[build-system] is malformed", where=f"{origin.name}: pyproject.toml")
    return BuildSystem(tuple(table["requires"]), backend, tuple(path))


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _member(origin: Origin, name: str) -> bytes | None:
    """A file at the top of the source (below its subdirectory), or None."""
    inner = f"{origin.subdirectory.strip('/')}/{name}".lstrip("/")
    if origin.path.is_dir():
        path = origin.path / inner
        return path.read_bytes() if path.is_file() else None
    try:
        if zipfile.is_zipfile(origin.path):
            with zipfile.ZipFile(origin.path) as z:
                found = [i for i in z.infolist() if i.filename.partition("/")[2] == inner and i.file_size <= LARGEST]
                return z.read(found[0]) if found else None
        with tarfile.open(origin.path) as t:
            for member in t:
                if member.name.removeprefix("./").partition("/")[2] == inner and member.isreg():
                    file = t.extractfile(member)
                    return file.read(LARGEST) if file else None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as e:
        raise ResolveError(
            "python.archive",
            f"cannot be read: {e}",
            where=origin.name,
            hint="A source archive is a .tar.gz or .zip.",
        ) from None
    return None


def _compiles(origin: Origin) -> bool:
    """Whether the source holds anything a compiler would take: only then is the toolchain in the build's
    image."""
    if origin.path.is_dir():
        return any(p.suffix in _COMPILED for p in origin.path.rglob("*"))
    if zipfile.is_zipfile(origin.path):
        with zipfile.ZipFile(origin.path) as z:
            return any(name.endswith(_COMPILED) for name in z.namelist())
    with tarfile.open(origin.path) as t:
        return any(member.name.endswith(_COMPILED) for member in t)


def read_metadata(wheel: Path) -> dict[str, str]:
    """name (normalised), version and the whole METADATA text ("text") of a wheel file."""
    from bareboat.resolve.python.requirements import normalize

    with zipfile.ZipFile(wheel) as z:
        inner = [i for i in z.infolist() if i.filename.endswith(".dist-info/METADATA") and i.filename.count("/") == 1]
        if not inner or inner[0].file_size > LARGEST:
            raise ResolveError("python.build-failed", "the backend's wheel has no METADATA", where=wheel.name)
        text = z.read(inner[0]).decode("utf-8", "replace")
    head = text.replace("\r\n", "\n").split("\n\n")[0]
    fields = dict(line.split(":", 1) for line in reversed(head.split("\n")) if ":" in line and line[0] not in " \t")
    return {
        "name": normalize(fields.get("Name", "").strip()),
        "version": fields.get("Version", "").strip(),
        "text": text,
    }
