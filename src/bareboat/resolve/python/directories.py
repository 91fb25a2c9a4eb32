"""Source directories: what of a folder is source, its digest, and a copy that holds nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# What stands beside the source and is no part of it: version control, environments, what tools leave behind.
SKIPPED = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "__pycache__",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        "node_modules",
    }
)
SKIPPED_AT_TOP = frozenset({"build", "dist"})  # deeper down these names may be packages
SKIPPED_OF_PROJECT = frozenset({"data", "results"})


def file_digest(path: Path) -> str:
    """sha256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def directory_digest(folder: Path) -> str:
    """sha256 over names, kinds, execute bits and contents of a source; independent of times and reading
    order."""
    digest = hashlib.sha256(b"bareboat directory 1\0")
    for inner, path in members(folder):
        if path.is_symlink():
            what, content = b"l", os.fsencode(path.readlink())
        elif path.is_file():
            what = b"x" if path.stat().st_mode & 0o111 else b"f"
            content = bytes.fromhex(file_digest(path))
        else:
            continue  # directories are their files; sockets and pipes are no source
        name = os.fsencode(inner)
        digest.update(b"%s%d:%s%d:%s" % (what, len(name), name, len(content), content))
    return digest.hexdigest()


def copy_source(folder: Path, target: Path, *, project: bool = False) -> None:
    """What directory_digest reads, in a new directory. project: the folder is the project itself, so data
    stay out."""
    target.mkdir()
    for inner, path in members(folder, project=project):
        to = target / inner
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            to.symlink_to(path.readlink())
        elif path.is_file():
            shutil.copy(path, to)


def members(folder: Path, *, project: bool = False) -> Iterator[tuple[str, Path]]:
    """Files and links of a source with their relative names, sorted; see the lists above for what is left
    out."""
    top = SKIPPED_AT_TOP | SKIPPED_OF_PROJECT if project else SKIPPED_AT_TOP
    for base, folders, files in os.walk(folder):
        above = os.path.relpath(base, folder)
        left_out = SKIPPED | top if above == "." else SKIPPED
        links = [f for f in folders if os.path.islink(f"{base}/{f}")]
        folders[:] = sorted(f for f in folders if f not in left_out and not f.endswith(".egg-info"))
        for name in sorted([*files, *links]):
            if not name.endswith(".pyc"):
                yield (name if above == "." else f"{above}/{name}"), Path(base) / name
