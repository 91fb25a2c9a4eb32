"""A folder → Project: the project file where there is one, convention for all it does not say."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat import toml
from bareboat.errors import ProjectError
from bareboat.project import parse, places, sources, versions
from bareboat.project.values import Overrides, Package, Project, PythonRequest, Resources
from bareboat.values import Any, dataclass

DOCKERFILES = ("Dockerfile", "Containerfile", "dockerfile")
VERSION_FILES = (".python-version", "runtime.txt")
APT_FILE = "apt.txt"
MARKS = (
    "requirements.txt",
    "uv.lock",
    "pylock.toml",
    APT_FILE,
    *VERSION_FILES,
)  # any one makes a folder ours


def find_root(start: Path) -> Path:
    """The project that a directory is in: the nearest upwards with a project file, else the directory.

    A file above `start` counts only if it is this user's or root's: nobody else may place one in /tmp for us.
    """
    start = Path(os.path.abspath(start))
    for folder in (start, *start.parents):
        for name in (parse.FILE, parse.PYPROJECT):
            path = folder / name
            try:
                owner = path.stat().st_uid
            except OSError:
                continue
            if folder != start and owner not in (os.geteuid(), 0):
                continue
            if name == parse.FILE or _has_table(path):
                return folder
    return start


def _has_table(path: Path) -> bool:
    """Whether a pyproject.toml has [tool.bareboat]; one that is broken has not: it may be anybody's."""
    try:
        content = path.read_bytes()
        if b"bareboat" not in content:
            return False
        tool = toml.parse(content, str(path), "project", ProjectError).get("tool")
    except (OSError, ProjectError):
        return False
    return isinstance(tool, dict) and "bareboat" in tool


@dataclass(frozen=True, eq=False, repr=False, match_args=False)
class _File:
    """The project file: its name, its table, how errors name a key of it, and pyproject.toml beside it."""

    name: str | None
    table: dict[str, Any]
    prefix: str
    pyproject: dict[str, Any] | None


def load(folder: Path, overrides: Overrides | None = None) -> Project:
    """Understand a folder, which must be the root itself (see find_root). Reads files, makes none.

    Raises ProjectError with a code "project.…": file, key path, what is allowed.
    """
    try:
        return _load(folder, overrides)
    except OSError as wrong:  # what may not even be looked at: no search permission, too long a name
        raise unreadable(wrong, folder) from None


def unreadable(wrong: OSError, folder: Path) -> ProjectError:
    """The error of something of a project that this user, or this file system, does not let us look at."""
    where = os.fsdecode(wrong.filename) if wrong.filename else str(folder)
    return ProjectError("project.unreadable", f"cannot be read: {wrong.strerror}", where=where)


def _load(folder: Path, overrides: Overrides | None) -> Project:
    root, chosen = Path(os.path.abspath(folder)), overrides or Overrides()
    if not root.is_dir():
        raise ProjectError("project.no-folder", "there is no such directory", where=str(root))
    file = _project_file(root, chosen.read_file)
    table = file.table
    python = table.get("python", {})
    python = {"version": python} if isinstance(python, str) else python
    described = sources.Described(root, python, f"{file.prefix}python", file.pyproject)
    dependencies, notes = sources.dependencies(described)
    if file.name is None and chosen.read_file:
        _refuse_dockerfile(root, file.pyproject)
    mounts = places.mounts(places.Layout(root, table, file.prefix, chosen), notes)
    apt, apt_source = _apt(root, table, file.prefix, notes)
    _present(root, table, file.prefix)
    return Project(
        root=root,
        name=table.get("name") or _given(file.pyproject) or _plain(root.name),
        named=bool(table.get("name") or _given(file.pyproject)),
        file=file.name,
        python=_python(root, python, file, chosen, notes),
        base=chosen.base or table.get("base"),
        replace=tuple(table.get("replace", ())),
        dependencies=dependencies,
        apt=apt,
        apt_source=apt_source,
        platforms=chosen.platforms or tuple(dict.fromkeys(table.get("platforms", ()))),
        mounts=mounts,
        env=tuple((name, str(value)) for name, value in table.get("env", {}).items()),
        env_file=table.get("env-file"),
        workdir=_workdir(table, file.prefix),
        startup=table.get("startup"),
        command=_argv(table["command"]) if "command" in table else (),
        commands=tuple((name, _argv(value)) for name, value in table.get("commands", {}).items()),
        resources=_resources(table.get("resources", {}), f"{file.prefix}resources"),
        gpu=table.get("gpu", ""),
        network=table.get("network", "host"),
        engine=table.get("engine"),
        cache=table.get("cache"),
        train=tuple((name, _typed(value)) for name, value in table.get("train", {}).items()),
        package=_package(root, file.pyproject, mounts),
        notes=tuple(notes),
    )


def _typed(value: object) -> str:
    """A value as the option of its name would be typed."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _project_file(root: Path, wanted: bool) -> _File:
    own = parse.read(root / parse.FILE) if wanted else None
    content = parse.read(root / parse.PYPROJECT)
    pyproject = None if content is None else toml.parse(content, parse.PYPROJECT, "project", ProjectError)
    table = None if pyproject is None or not wanted else parse.tool_table(pyproject)
    if own is not None and table is not None:
        raise ProjectError(
            "project.two-files",
            "bareboat.toml and pyproject.toml's tool.bareboat both describe this project",
            where=str(root),
            hint="Keep one of them.",
        )
    if own is not None:
        return _File(parse.FILE, parse.document(own), f"{parse.FILE}: ", pyproject)
    if table is not None:
        return _File(parse.PYPROJECT, table, f"{parse.PYPROJECT}: tool.bareboat.", pyproject)
    return _File(None, {}, "", pyproject)


def _refuse_dockerfile(root: Path, pyproject: dict[str, Any] | None) -> None:
    name = next((name for name in DOCKERFILES if (root / name).is_file()), None)
    if name and "project" not in (pyproject or {}) and not any((root / mark).exists() for mark in MARKS):
        raise ProjectError(
            "project.dockerfile-only",
            "building Dockerfiles is not there yet",
            where=str(root / name),
            hint="List the Python packages in requirements.txt and the system packages in apt.txt "
            "(one a line), or run `bareboat init` for a commented bareboat.toml.",
        )


def _given(pyproject: dict[str, Any] | None) -> str:
    """The name that pyproject.toml gives, "" where it gives none."""
    project = (pyproject or {}).get("project")
    given = project.get("name") if isinstance(project, dict) else None
    return _plain(given) if isinstance(given, str) else ""


def _plain(text: str) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text).strip("-._")
    return plain[:128].lower() or "project"


def _python(
    root: Path, python: dict[str, Any], file: _File, chosen: Overrides, notes: list[str]
) -> PythonRequest:
    """From the command line alone if it says so, else from all places, which must agree."""
    project = (file.pyproject or {}).get("project")
    required = project.get("requires-python") if isinstance(project, dict) else None
    requests = []
    if chosen.python:
        requests.append(versions.request(chosen.python, "--python"))
    else:
        if "version" in python:
            requests.append(versions.request(python["version"], f"{file.prefix}python.version"))
        for name in VERSION_FILES:
            content = parse.read(root / name)
            if content is None:
                continue
            said, note = versions.from_version_file(toml.decode(content, name, "project", ProjectError), name)
            requests.extend([said] if said else [])
            notes.extend([note] if note else [])
    if required is not None:
        if not isinstance(required, str):
            raise ProjectError(
                "project.pyproject",
                "must be a string (PEP 621)",
                where="pyproject.toml: project.requires-python",
            )
        if required.strip():
            requests.append(versions.request(required, "pyproject.toml: project.requires-python"))
    return versions.agreed(requests)


def _apt(root: Path, table: dict[str, Any], prefix: str, notes: list[str]) -> tuple[tuple[str, ...], str]:
    if "apt" in table:
        if (root / APT_FILE).exists():
            notes.append(f"apt.txt is not read: {prefix}apt lists the system packages")
        return tuple(dict.fromkeys(table["apt"])), f"{prefix}apt"
    content = parse.read(root / APT_FILE)
    if content is None:
        return (), ""
    names: dict[str, None] = {}
    for number, line in enumerate(toml.decode(content, APT_FILE, "project", ProjectError).splitlines(), 1):
        for name in line.partition("#")[0].split():
            plain = name.replace("+", "").replace("-", "").replace(".", "")
            fine = (
                name.isascii() and plain.isalnum() and name == name.lower() and name[0].isalnum() and name[1:]
            )
            if not fine:
                raise ProjectError(
                    "project.value",
                    f"{name!r} is not a Debian package's name",
                    where=f"{APT_FILE}:{number}",
                    hint="Write one name a line, without versions.",
                )
            names[name] = None
    return tuple(names), APT_FILE


def _present(root: Path, table: dict[str, Any], prefix: str) -> None:
    for key in ("env-file", "startup"):
        if key in table and not (root / table[key]).is_file():
            raise ProjectError(
                "project.missing-file",
                f"{table[key]} does not exist",
                where=prefix + key,
                hint="Create it, or correct the name.",
            )


def _workdir(table: dict[str, Any], prefix: str) -> str:
    from posixpath import normpath

    text = str(table.get("workdir", places.APP))
    return "/" + normpath("/" + text.lstrip("/")).lstrip("/")


def _argv(value: str | list[str]) -> tuple[str, ...]:
    """A list is argv; a string is for the shell, as in a Dockerfile's CMD."""
    return ("/bin/sh", "-c", value) if isinstance(value, str) else tuple(value)


def _resources(table: dict[str, Any], where: str) -> Resources:
    from bareboat.errors import UsageError
    from bareboat.units import parse_size

    sizes: dict[str, int | None] = {}
    for key in ("memory", "shm-size"):
        value = table.get(key, 0)
        try:
            sizes[key] = (
                parse_size(value if isinstance(value, str) else int(value)) or None
            )  # 0: no limit, as Docker
        except UsageError as wrong:
            raise ProjectError("project.value", wrong.what, where=f"{where}.{key}", hint=wrong.hint) from None
    gpus = table.get("gpus", "none")
    gpus = str(int(gpus)) if not isinstance(gpus, str) else gpus
    pids, cpus = table.get("pids"), table.get("cpus")
    return Resources(
        sizes["memory"],
        None if cpus is None else float(cpus),
        None if pids is None else int(pids),
        sizes["shm-size"],
        None if gpus in ("none", "0") else gpus,
    )


def _package(root: Path, pyproject: dict[str, Any] | None, mounts: tuple[Any, ...]) -> Package | None:
    code = next((mount for mount in mounts if mount.kind == "code"), None)
    if pyproject is None or code is None:
        return None
    from bareboat.project.packaged import package

    return package(root, pyproject, code.target, code.source)
