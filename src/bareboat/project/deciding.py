"""What decides a project and its lock: which files, by digest, and what is asked of the resolvers."""

from __future__ import annotations

from pathlib import Path

from bareboat.digests import sha256
from bareboat.project.folder import APT_FILE, VERSION_FILES
from bareboat.project.local import digest, local_requirements
from bareboat.project.parse import FILE, PYPROJECT
from bareboat.project.sources import LOCK, PYLOCK, REQUIREMENTS, made_by_us
from bareboat.project.values import Project

DECIDING = (FILE, PYPROJECT, LOCK, PYLOCK, REQUIREMENTS, APT_FILE, *VERSION_FILES)


def inputs(project: Project) -> tuple[tuple[str, str], ...]:
    """(name relative to the root, sha256 as hex) of every file whose content decides the project or its lock.

    Directories and archives that packages are asked from are among them, a directory by one digest for all of
    it. What is not there is left out, so its appearing changes the answer as well. Sorted by name.
    """
    names = deciding_names(project)
    ours = made_by_us(project.root / PYLOCK)
    return _digests(project.root, [name for name in names if name != PYLOCK or not ours])


def deciding_names(project: Project) -> tuple[str, ...]:
    """What inputs() looks for, whether it is there or not."""
    return tuple(dict.fromkeys((*DECIDING, *project.dependencies.files, *local_requirements(project))))


def lock_inputs(project: Project) -> tuple[tuple[str, str], ...]:
    """As inputs, but only what lists or is a Python package: what else the files say is in request."""
    return _digests(project.root, list({*project.dependencies.files, *local_requirements(project)}))


def _digests(root: Path, names: list[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for name in sorted(names):
        try:
            if (sum_ := digest(root / name)) is not None:
                found.append((name, sum_))
        except OSError:
            continue
    return tuple(found)


def request(project: Project) -> str:
    """sha256 (hex) of what is asked: Python, base, system packages, platforms, choice of Python packages.

    Editing a command or a mount leaves it as it was: the lock stays up to date.
    """
    import json

    wanted = project.dependencies
    document = [
        project.python.specifier,
        project.base,
        sorted(project.apt),
        sorted(project.platforms),
        wanted.source,
        list(wanted.files),
        list(wanted.requirements),
        sorted(wanted.groups),
        sorted(wanted.extras),
        *([sorted(project.replace)] if project.replace else []),
    ]
    return sha256(json.dumps(document, separators=(",", ":")).encode()).hexdigest()
