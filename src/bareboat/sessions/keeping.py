"""What was installed by hand, written into the project: its requirements, pyproject.toml or bareboat.toml, apt list.

Files keep their formatting and comments. Each is read again after the edit and must say what it said, and what was
added; one that cannot be edited so is left alone, and the lines to add are said.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableSequence, Sequence
from pathlib import Path
from typing import Any

from bareboat.errors import ProjectError
from bareboat.host.files import replace_file
from bareboat.project.folder import APT_FILE
from bareboat.project.sources import PYPROJECT, REQUIREMENTS
from bareboat.project.values import Project
from bareboat.sessions import requirements
from bareboat.sessions.installed import Distribution, normalised


def keep(project: Project, asked: Sequence[Distribution], apt: Sequence[str]) -> Iterator[str]:
    """Write them into the project; what was done, a line each. Each file is replaced atomically.

    Raises ProjectError "session.not-ours" where the packages come from a lock of the user's own.
    """
    fit = [d for d in asked if not d.editable]
    for d in asked:
        if d.editable:
            yield f"{d.name} is installed from a folder of this machine: name it in the project yourself"
    if fit:
        yield from _python(project, {d.name: d.requirement for d in fit})
    if apt:
        yield from _apt(project, list(apt))
    if fit or apt:
        yield "the next run locks and has them"


def _python(project: Project, wanted: dict[str, str]) -> Iterator[str]:
    d = project.dependencies
    if d.source in ("uv.lock", "pylock"):
        how = f"uv add {' '.join(f'{w!r}' for w in wanted.values())}" if d.source == "uv.lock" else \
            f"add them where {d.files[0]} is made: {', '.join(wanted.values())}"
        raise ProjectError("session.not-ours", f"the packages come from {d.files[0]}, which is a lock", hint=how)
    if d.source == "pyproject":
        yield from _toml(project.root / PYPROJECT, ("project", "dependencies"), wanted)
    elif d.source == "inline" and project.file:
        table = ("tool", "bareboat", "python", "packages") if project.file == PYPROJECT else ("python", "packages")
        yield from _toml(project.root / project.file, table, wanted)
    else:
        yield from _requirements(project, wanted)


def _requirements(project: Project, wanted: dict[str, str]) -> Iterator[str]:
    """A name that a file has is changed there; the others go to the end of the first."""
    d = project.dependencies
    names = d.files if d.source == "requirements" else (REQUIREMENTS,)
    left = dict(wanted)
    for name in [*names[1:], names[0]]:
        path = project.root / name
        text = _read(path)
        if text is None:
            if name == names[0]:
                yield f"{name} cannot be edited here; add to it: {', '.join(left.values())}"
            continue
        here = left if name == names[0] else {n: r for n, r in left.items()
                                              if normalised(n) in requirements.names(text)}
        edited = requirements.edit(text, here)
        done = [r for n, r in here.items() if n not in edited.refused]
        if edited.text != text:
            _write(path, edited.text)
            yield f"{name} now has {', '.join(done)}"
        if edited.refused:
            yield f"{name} is to be edited by hand: {', '.join(here[n] for n in edited.refused)}"
        left = {n: r for n, r in left.items() if n not in here}


def _toml(path: Path, keys: tuple[str, ...], wanted: dict[str, str]) -> Iterator[str]:
    by_hand = f"{path.name}: add to {'.'.join(keys)}: " + ", ".join(f'"{r}"' for r in wanted.values())
    text = _read(path)
    if text is None:
        yield by_hand
        return
    changed = edit_toml(text, keys, wanted)
    if changed is None:
        yield by_hand
        return
    if changed != text:
        _write(path, changed)
    yield f"{path.name} now has {', '.join(wanted.values())}"


def edit_toml(text: str, keys: tuple[str, ...], wanted: dict[str, str]) -> str | None:
    """A TOML text whose array of requirements asks for these (name → requirement); made where it is missing. Pure.

    None where that cannot be done without changing anything else. Extras and markers of a line that is changed stay.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from bareboat import toml

    try:
        document: Any = tomlkit.parse(text)
        array = _array(document, keys)
        for name, requirement in wanted.items():
            _put(array, name, requirement)
        changed = str(tomlkit.dumps(document))
        before, after = (toml.parse(t.encode(), "", "session", ProjectError) for t in (text, changed))
    except (TOMLKitError, ProjectError, TypeError, ValueError):
        return None
    _taken(before, keys)
    new = _taken(after, keys)
    return changed if before == after and all(_kept(r, new) for r in wanted.values()) else None


def _array(document: Any, keys: tuple[str, ...]) -> MutableSequence[Any]:
    import tomlkit

    at = document
    for key in keys[:-1]:
        if key not in at:
            at[key] = tomlkit.table()
        at = at[key]
    if keys[-1] not in at:
        at[keys[-1]] = tomlkit.array()
    found = at[keys[-1]]
    if not isinstance(found, MutableSequence) or not all(isinstance(item, str) for item in found):
        raise TypeError(keys)
    return found


def _put(array: MutableSequence[Any], name: str, requirement: str) -> None:
    found = [n for n, item in enumerate(array) if normalised(name) in requirements.names(str(item))]
    if not found:
        array.append(requirement)
        return
    edited = requirements.edit(str(array[found[0]]), {name: requirement}, append=False)
    if edited.refused or len(found) > 1:
        raise ValueError(name)
    array[found[0]] = edited.text


def _kept(requirement: str, new: list[str]) -> bool:
    """Whether a line says it, with or without extras and a marker."""
    if requirement in new:
        return True
    name, _, what = requirement.partition(" @ " if " @ " in requirement else "==")
    return any(normalised(name) in requirements.names(item) and what in item for item in new)


def _taken(document: Any, keys: tuple[str, ...]) -> list[str]:
    """Take the array out of a document, with the tables that are empty without it."""
    above = []
    for key in keys[:-1]:
        if not isinstance(document, dict) or key not in document:
            return []
        above.append((document, key))
        document = document[key]
    found = document.pop(keys[-1], [])
    for table, key in reversed(above):
        if not table[key]:
            del table[key]
    return list(found)


def _apt(project: Project, names: list[str]) -> Iterator[str]:
    if project.apt_source and project.apt_source != APT_FILE and project.file:
        keys = ("tool", "bareboat", "apt") if project.file == PYPROJECT else ("apt",)
        yield from _toml(project.root / project.file, keys, {name: name for name in names})
        return
    path = project.root / APT_FILE
    text = _read(path)
    if text is None:
        yield f"{APT_FILE} cannot be edited here; add to it: {', '.join(names)}"
        return
    fresh = [name for name in names if name not in project.apt]
    if text and not text.endswith("\n"):
        text += "\n"
    _write(path, text + "".join(f"{name}\n" for name in fresh))
    yield f"{APT_FILE} now has {', '.join(names)}"


def _read(path: Path) -> str | None:
    """The text of a file, "" where there is none; None where it is none of ours to rewrite: the session could put links
    where its code is, to files that it cannot reach itself.
    """
    try:
        if path.is_symlink():
            return None
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        return None


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as wrong:
        raise ProjectError("session.unwritable", f"{path.name} cannot be written: {wrong.strerror}", where=str(path),
                           hint="make the folder writable") from None
