"""init: write a commented bareboat.toml that says what convention already gave, and where it came from."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bareboat.errors import ProjectError
from bareboat.host.files import fsync
from bareboat.project import Overrides, load
from bareboat.project.folder import DOCKERFILES
from bareboat.project.parse import FILE, PYPROJECT
from bareboat.project.values import Project
from bareboat.toml import quote

NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True)
class Line:
    """A key with the value that holds for this folder, as TOML, and where it came from."""

    key: str
    value: str
    source: str


@dataclass(frozen=True)
class Understood:
    """What init found: the project as convention has it, its lines, and what is worth a word."""

    project: Project
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def understand(folder: Path) -> Understood:
    """Look at a folder as if it had no project file. Raises ProjectError where convention is at odds."""
    project = load(folder, Overrides(read_file=False))
    notes = list(project.notes)
    name = next((name for name in DOCKERFILES if (project.root / name).is_file()), "")
    if name:
        notes.append(f"{name} is not read: list its packages in requirements.txt and in apt")
    return Understood(project, tuple(_lines(project)), tuple(notes))


def _lines(project: Project) -> Iterator[Line]:
    yield Line("name", quote(project.name), "the folder's name" if not project.package else PYPROJECT)
    if project.python.specifier:
        yield Line("python.version", quote(project.python.specifier), project.python.source)
    if project.dependencies.named:
        yield Line("python.requirements", _array(project.dependencies.named), "the first source there is")
    if project.apt:
        yield Line("apt", _array(project.apt), project.apt_source)
    for kind in ("code", "data", "results"):
        mounts = [mount for mount in project.mounts if mount.kind == kind]
        if mounts:
            place = mounts[0].source.relative_to(project.root).as_posix()
            how = "read-write" if kind == "results" else "read-only"
            targets = " and ".join(mount.target for mount in mounts)
            missing = "" if mounts[0].source.exists() else ", made by the first run"
            yield Line(kind, quote(place), f"at {targets}, {how}{missing}")


def _array(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(quote(value) for value in values) + "]"


def text(found: Understood) -> str:
    """The commented file: valid TOML as it stands, and with any of its lines uncommented."""
    from bareboat.project.keys import PROJECT, PYTHON
    from bareboat.project.schema import SCHEMA_FILE

    out = [
        f"#:schema {SCHEMA_FILE.as_uri()}",
        "# What bareboat understands of this folder. These lines hold already: take a # away to change one.",
        "",
    ]
    width = max(len(line.key) + len(line.value) for line in found.lines) + 3
    for line in found.lines:
        out.append(f"#{line.key} = {line.value}".ljust(min(width, 60) + 1) + f"  # {_one_line(line.source)}")
    out += [
        "",
        *(f"# Note: {_one_line(note)}." for note in found.notes),
        *([""] if found.notes else []),
        "# What else may be said:",
        "",
    ]
    said = {line.key for line in found.lines}
    keys = [(key.name, key) for key in PROJECT.keys if key.name != "python"]
    keys[1:1] = [(f"python.{key.name}", key) for key in PYTHON.keys]
    for name, key in keys:
        if name not in said:
            without = f" Without it: {key.default}." if key.default else ""
            out += [f"# {key.help}{without}", f"#{name} = {key.example}", ""]
    return "\n".join(out).rstrip("\n") + "\n"


def _one_line(words: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def init(folder: Path, *, force: bool = False) -> tuple[Path, Understood]:
    """Write bareboat.toml into a folder. Atomic; an existing file is replaced only by force.

    Raises ProjectError "project.exists" (also where pyproject.toml has tool.bareboat), "project.unwritable".
    """
    path = Path(os.path.abspath(folder)) / FILE
    if not force and os.path.lexists(path):
        raise _exists(path)
    _refuse_tool_table(path.parent)
    found = understand(folder)
    new = path.with_name(f".{FILE}.{os.getpid()}")
    try:
        with new.open("x", encoding="utf-8") as file:
            file.write(text(found))
            file.flush()
            fsync(file.fileno())
        if force:
            new.replace(path)
        else:
            _place(new, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as wrong:
        raise ProjectError(
            "project.unwritable",
            f"cannot be written: {wrong.strerror}",
            where=str(path),
            hint="`bareboat init --print` shows the text without writing it.",
        ) from None
    finally:
        new.unlink(missing_ok=True)
    return path, found


def _place(new: Path, path: Path) -> None:
    """Give the file its name unless the name is taken, meanwhile too; raises FileExistsError then."""
    try:
        os.link(new, path)
    except OSError as wrong:
        if wrong.errno not in NO_HARD_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        new.replace(path)


def _exists(path: Path) -> ProjectError:
    return ProjectError(
        "project.exists",
        "there is one already",
        where=str(path),
        hint="`bareboat init --force` replaces it; `bareboat init --print` shows what it would say.",
    )


def _refuse_tool_table(root: Path) -> None:
    from bareboat import toml
    from bareboat.project.parse import read

    content = read(root / PYPROJECT)
    tool = toml.parse(content, PYPROJECT, "project", ProjectError).get("tool") if content else None
    if isinstance(tool, dict) and "bareboat" in tool:
        raise ProjectError(
            "project.exists",
            "tool.bareboat describes this project already",
            where=PYPROJECT,
            hint="Remove that table first: only one of the two may be there.",
        )
