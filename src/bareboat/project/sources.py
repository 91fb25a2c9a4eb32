"""Where the Python packages come from: exactly one source wins, and contradictions are errors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bareboat.errors import ProjectError
from bareboat.project.requirements import included_files
from bareboat.project.values import Dependencies
from bareboat.values import Any, dataclass

MADE_BY_US = b"made by bareboat"
LOCK, PYLOCK, PYPROJECT, REQUIREMENTS = "uv.lock", "pylock.toml", "pyproject.toml", "requirements.txt"
UNREAD = ("Pipfile", "environment.yml", "environment.yaml", "poetry.lock", "setup.cfg", "setup.py")


@dataclass(frozen=True, eq=False, repr=False, match_args=False)  # made on every start: as cheap as can be
class Described:
    """What the folder has: the project file's python table, and pyproject.toml where there is one."""

    root: Path
    python: dict[str, Any]
    where: str  # "bareboat.toml: python", for errors
    pyproject: dict[str, Any] | None


def dependencies(folder: Described) -> tuple[Dependencies, list[str]]:
    """The source that wins and notes about it.

    Order: the project file's requirements; uv.lock; a pylock.toml of the user's own; [project] dependencies,
    extras or groups of pyproject.toml; requirements.txt; the project file's packages alone; none. Packages of
    the project file are added to requirements and pyproject.toml, and contradict a lock.
    """
    named = folder.python.get("requirements")
    notes: list[str] = []
    if named is not None:
        named = [named] if isinstance(named, str) else list(named)
        source, files = _named(folder, named)
    else:
        source, files = _found(folder, notes)
        dynamic = _dynamic_files(folder) if source == "requirements" else []
        named = dynamic if dynamic and os.path.normpath(dynamic[0]) == files[0] else list(files[:1])
    packages = tuple(folder.python.get("packages", ()))
    groups, extras = tuple(folder.python.get("groups", ())), tuple(folder.python.get("extras", ()))
    if packages and source in (LOCK, "pylock"):
        raise ProjectError(
            "project.contradiction",
            f"{files[0]} is a lock, and packages cannot be added to it",
            where=f"{folder.where}.packages",
            hint=f"Add them where {files[0]} is made, or say where to resolve from: "
            'requirements = "pyproject.toml".',
        )
    if groups or extras:
        if source == "none":
            source, files = "pyproject", (PYPROJECT,)
        _selected(folder, source, groups, extras)
    if source == "none" and packages:
        source = "inline"
    for package in packages:
        if package.lstrip().startswith("-"):
            raise ProjectError(
                "project.value",
                f"{package!r} is an option, not a requirement",
                where=f"{folder.where}.packages",
                hint="Put options into a requirements file.",
            )
    return Dependencies(source, files, packages, groups, extras, tuple(named or files[:1])), notes


def _named(folder: Described, names: list[str]) -> tuple[str, tuple[str, ...]]:
    where = f"{folder.where}.requirements"
    special = {LOCK: LOCK, PYPROJECT: "pyproject"}
    kinds = [special.get(name, "pylock" if _is_pylock(name) else "requirements") for name in names]
    if len(set(kinds)) > 1 or (len(names) > 1 and kinds[0] != "requirements"):
        raise ProjectError(
            "project.contradiction",
            f"{' and '.join(names)} cannot be one source",
            where=where,
            hint="Name requirements files, or one of uv.lock, pylock.toml, pyproject.toml.",
        )
    if not names:
        return "none", ()
    for name in names:
        _require(folder.root, name, where)
    if kinds[0] == "requirements":
        files: dict[str, None] = {}
        for name in names:
            files.update(dict.fromkeys(included_files(folder.root, name, where)))
        return "requirements", tuple(files)
    if kinds[0] == LOCK:
        _require(folder.root, PYPROJECT, LOCK)
        return LOCK, (LOCK, PYPROJECT)
    return kinds[0], tuple(names)


def _is_pylock(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last == PYLOCK or (last.startswith("pylock.") and last.endswith(".toml"))


def _require(root: Path, name: str, where: str) -> None:
    if not (root / name).is_file():
        what = f"{name} is not a file" if (root / name).exists() else f"{name} does not exist"
        raise ProjectError("project.missing-file", what, where=where, hint="Create it, or correct the name.")


def _found(folder: Described, notes: list[str]) -> tuple[str, tuple[str, ...]]:
    root, has = folder.root, {name: (folder.root / name).is_file() for name in (LOCK, PYLOCK, REQUIREMENTS)}
    project = (folder.pyproject or {}).get("project")
    project = project if isinstance(project, dict) else {}
    if has[LOCK]:
        if folder.pyproject is None:
            raise ProjectError(
                "project.missing-file",
                "uv.lock stands without the pyproject.toml it was made from",
                where=LOCK,
                hint="Bring pyproject.toml back, or remove uv.lock.",
            )
        return LOCK, (LOCK, PYPROJECT)
    if has[PYLOCK] and not made_by_us(root / PYLOCK):
        return "pylock", (PYLOCK,)
    source, files = _pyproject(folder, project, has[REQUIREMENTS])
    if source == "pyproject" and has[REQUIREMENTS]:
        notes.append(
            "requirements.txt is not read: pyproject.toml lists the dependencies "
            '(python.requirements = "requirements.txt" chooses it)'
        )
    if source != "none":
        return source, files
    if has[REQUIREMENTS]:
        return "requirements", included_files(root, REQUIREMENTS)
    if (root / REQUIREMENTS).exists():
        raise ProjectError("project.unreadable", "requirements.txt is not a file", where=REQUIREMENTS)
    notes.append("no requirements.txt, and nothing else that lists packages: plain Python")
    unread = [name for name in UNREAD if (root / name).is_file()]
    if folder.pyproject is not None and "setup.py" in unread:
        unread.remove("setup.py")  # what a build system reads beside pyproject.toml
    tool = (folder.pyproject or {}).get("tool")
    if isinstance(tool, dict) and isinstance(tool.get("poetry"), dict) and tool["poetry"].get("dependencies"):
        unread.append("pyproject.toml's tool.poetry.dependencies")
    if unread:
        notes.append(f"{' and '.join(unread)} is not read; list the packages in requirements.txt")
    return "none", ()


def _pyproject(
    folder: Described, project: dict[str, Any], has_requirements: bool
) -> tuple[str, tuple[str, ...]]:
    listed = project.get("dependencies")
    if listed is not None and (
        not isinstance(listed, list) or not all(isinstance(each, str) for each in listed)
    ):
        raise ProjectError(
            "project.pyproject",
            "must be an array of strings (PEP 621)",
            where="pyproject.toml: project.dependencies",
        )
    if listed is not None:
        return "pyproject", (PYPROJECT,)
    dynamic = project.get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        read_by_setuptools = _dynamic_files(folder)
        if read_by_setuptools:
            files: dict[str, None] = {}
            for name in read_by_setuptools:
                files.update(
                    dict.fromkeys(
                        included_files(folder.root, name, "pyproject.toml: tool.setuptools.dynamic")
                    )
                )
            return "requirements", tuple(files)
        return ("none", ()) if has_requirements else ("pyproject", (PYPROJECT,))
    return "none", ()


def _dynamic_files(folder: Described) -> list[str]:
    """[tool.setuptools.dynamic] dependencies = {file = …}: requirements files by another name."""
    value: Any = folder.pyproject
    for key in ("tool", "setuptools", "dynamic", "dependencies", "file"):
        value = value.get(key) if isinstance(value, dict) else None
    names = [value] if isinstance(value, str) else value
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def made_by_us(path: Path) -> bool:
    """Whether a pylock.toml is bareboat's own: its first line says so."""
    try:
        with path.open("rb") as file:
            return MADE_BY_US in file.readline(1000)
    except OSError:
        return False


def _selected(folder: Described, source: str, groups: tuple[str, ...], extras: tuple[str, ...]) -> None:
    """Groups and extras must exist in pyproject.toml, from which the source was made."""
    if source == "pylock":
        return  # the lock itself names those it was made for
    if source == "requirements" or folder.pyproject is None:
        key = "groups" if groups else "extras"
        raise ProjectError(
            "project.contradiction",
            f"{key} are pyproject.toml's, and the packages come from "
            f"{'requirements files' if source == 'requirements' else 'elsewhere'}",
            where=f"{folder.where}.{key}",
            hint='Write requirements = "pyproject.toml", or leave them out.',
        )
    project = folder.pyproject.get("project")
    optional = project.get("optional-dependencies") if isinstance(project, dict) else None
    _known(groups, folder.pyproject.get("dependency-groups"), f"{folder.where}.groups", "dependency-groups")
    _known(extras, optional, f"{folder.where}.extras", "project.optional-dependencies")


def _known(chosen: Iterable[str], table: object, where: str, key: str) -> None:
    names = {normalised(name): name for name in table} if isinstance(table, dict) else {}
    for name in chosen:
        if normalised(name) not in names:
            from bareboat.project.kinds import nearest

            near = nearest(name, names.values())
            listed = ", ".join(names.values()) or "none"
            raise ProjectError(
                "project.unknown-name",
                f"{name!r} is not in pyproject.toml's {key}",
                where=where,
                hint=f"Did you mean {near!r}?" if near else f"There are: {listed}.",
            )


def normalised(name: str) -> str:
    """A name as PEP 503 and PEP 735 compare it."""
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)
