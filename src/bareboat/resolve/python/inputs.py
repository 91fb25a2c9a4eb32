"""The files a lock is made from, by digest: what decides, without starting uv, whether it is still
current."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from bareboat.errors import ResolveError
from bareboat.project.values import Dependencies
from bareboat.resolve.python.directories import directory_digest, file_digest


def inputs_digest(root: Path, dependencies: Dependencies, more: Iterable[str] = ()) -> tuple[tuple[str, str], ...]:
    """(name relative to the root, sha256) of every file that is read, sorted; a directory's name ends in "/".

    Beside dependencies.files and `more` (the project file, apt.txt …): what a requirement names by a path, as
    ./pkg or ./x.whl, because an edit there changes what is built. Files that do not exist are left out.
    Raises ResolveError "python.requirements" for one that cannot be read.
    """
    found: dict[str, str] = {}
    for name in (*dependencies.files, *more):
        path = root / name
        if path.is_file():
            found[name] = _of_file(path)
    for name in _named_by_path(root, dependencies):
        path = root / name
        if path.is_dir() and path.resolve() != root.resolve():
            found[name.rstrip("/") + "/"] = directory_digest(path)
        elif path.is_file():
            found[name] = _of_file(path)
    return tuple(sorted(found.items()))


def _of_file(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as e:
        raise ResolveError("python.requirements", f"cannot be read: {e.strerror}", where=str(path)) from None


def _named_by_path(root: Path, dependencies: Dependencies) -> list[str]:
    """Paths in requirements files and inline requirements. A line that cannot hold one costs a look, no
    parser."""
    if dependencies.source not in ("requirements", "inline", "none", "pyproject"):
        return []
    texts = list(dependencies.requirements)
    if dependencies.source == "requirements":
        for name in dependencies.files:
            try:
                content = (root / name).read_bytes()
            except OSError:
                continue
            texts += content.decode("utf-8", "replace").splitlines()
    candidates = [t.strip() for t in texts if ("/" in t or t.strip().startswith(("-e", "--editable", ".")))]
    if not candidates:
        return []
    from bareboat.resolve.python.acquire import local_path
    from bareboat.resolve.python.requirements import kind_of, location

    names = []
    for text in candidates:
        text = text.partition(" #")[0].partition(" --hash")[0].rstrip("\\ ")
        if text and not text.startswith("#") and kind_of(text) in ("directory", "archive", "wheel"):
            path = local_path(location(text))
            if path is not None:
                names.append(path.removeprefix("./"))
    return names


def text_digest(text: str) -> str:
    """sha256 of a file's text as it will be written."""
    return hashlib.sha256(text.encode()).hexdigest()
