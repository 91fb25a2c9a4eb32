"""What decides a project and its lock: which files, by digest, and what is asked of the resolvers."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bareboat.project.folder import APT_FILE, VERSION_FILES
from bareboat.project.parse import FILE, PYPROJECT
from bareboat.project.sources import LOCK, PYLOCK, REQUIREMENTS, made_by_us
from bareboat.project.values import Project

DECIDING = (FILE, PYPROJECT, LOCK, PYLOCK, REQUIREMENTS, APT_FILE, *VERSION_FILES)


def inputs(project: Project) -> tuple[tuple[str, str], ...]:
    """(name relative to the root, sha256 as hex) of every file whose content decides the project or its lock.

    A file that is not there is left out, so its appearing changes the answer as well. Sorted by name.
    """
    names = dict.fromkeys((*DECIDING, *project.dependencies.files))
    return _digests(project.root, [n for n in names if n != PYLOCK or not made_by_us(project.root / PYLOCK)])


def lock_inputs(project: Project) -> tuple[tuple[str, str], ...]:
    """As inputs, but only the files that list Python packages: what else the files say is in request."""
    return _digests(project.root, list(project.dependencies.files))


def _digests(root: Path, names: list[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for name in sorted(names):
        try:
            found.append((name, hashlib.sha256((root / name).read_bytes()).hexdigest()))
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
    ]
    return hashlib.sha256(json.dumps(document, separators=(",", ":")).encode()).hexdigest()
