"""Requirements that are directories or files of this machine: editing one is noticed like any other input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bareboat.digests import hasher, sha256
from bareboat.project.requirements import lines
from bareboat.project.values import Project

ARCHIVES = (".whl", ".tar.gz", ".tar.bz2", ".tgz", ".zip")
# Made by tools beside the sources they are made from, never sources themselves.
MADE = ("__pycache__", "build", "dist", "node_modules", "target", "venv", "env")
READ_AT_MOST = 64 << 20  # bytes of one directory; beyond that a file counts by its size
FILES_AT_MOST = 20_000  # of one directory; "-e .." may name a whole home, and a start must not walk it


def local_requirements(project: Project) -> tuple[str, ...]:
    """Directories and archives that the packages are asked from, relative to the root or absolute; sorted.

    The project itself ("-e .") is left out: its code is mounted. Relative paths are relative to the root,
    as uv takes them. Raises nothing: what cannot be read is the resolver's to report.
    """
    found: set[str] = set()
    wanted = project.dependencies
    for line in wanted.requirements:
        found.update(_of_line(line))
    for name in wanted.files:
        try:
            text = (project.root / name).read_text("utf-8-sig", "replace")
        except OSError:
            continue
        if name == "uv.lock":
            found.update(_of_uv_lock(text))
        elif not name.endswith(".toml"):
            for _, line in lines(text):
                found.update(_of_line(line))
        elif "[tool.uv.sources" in text or "file:" in text:
            found.update(_of_pyproject(text))
    kept = {os.path.normpath(path) for path in found}
    return tuple(sorted(path for path in kept if path != "." and path != os.fspath(project.root)))


def _of_line(line: str) -> Iterator[str]:
    for option in ("--editable=", "--editable ", "-e "):
        line = line.removeprefix(option).lstrip()
    if line.startswith("-"):
        return
    name, at, location = line.partition("@ ")
    text = location if at and "/" not in name else line
    text = text.partition(" ;")[0].partition(" --")[0].partition("#")[0].strip()
    if text.startswith("file:"):
        from urllib.parse import unquote

        text = text.removeprefix("file:")
        text = unquote("/" + text.lstrip("/") if text.startswith("/") else text)
    elif "://" in text:
        return
    if text.endswith("]") and not text.endswith(ARCHIVES):
        text = text.rpartition("[")[0]
    is_path = text.startswith(("./", "../", "/")) or text in (".", "..")
    if is_path or (text.endswith(ARCHIVES) and "==" not in text):
        yield text


def _of_uv_lock(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("source = { "):
            key, _, value = line.removeprefix("source = { ").partition(" = ")
            if key in ("directory", "editable", "path"):
                yield value.partition('"')[2].partition('"')[0]


def _of_pyproject(text: str) -> Iterator[str]:
    from bareboat import toml
    from bareboat.errors import ProjectError

    try:
        document = toml.parse(text.encode("utf-8", "replace"), "pyproject.toml", "project", ProjectError)
    except ProjectError:
        return
    yield from _paths(document)


def _paths(value: object) -> Iterator[str]:
    """Every requirement with a file URL and every source with a path, wherever they stand."""
    if isinstance(value, str) and "file:" in value:
        yield from _of_line(value)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key == "sources" and isinstance(each, dict):
                for source in (s for e in each.values() for s in (e if isinstance(e, list) else [e])):
                    if isinstance(source, dict) and isinstance(source.get("path"), str):
                        yield source["path"]
            yield from _paths(each)
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each)


def digest(path: Path) -> str | None:
    """sha256 (hex) of a file's bytes, or of a directory's names and contents; None where there is neither.

    Hidden and made directories are passed over. The same sources give the same digest on every machine.
    """
    if path.is_file():
        with path.open("rb") as file:
            whole = hasher(os.fstat(file.fileno()).st_size)
            while chunk := file.read(1 << 20):
                whole.update(chunk)
        return whole.hexdigest()
    if not path.is_dir():
        return None
    total, left, files = sha256(), READ_AT_MOST, 0
    for folder, inner, names in os.walk(path):
        inner[:] = sorted(n for n in inner if n[0] != "." and n not in MADE and not n.endswith(".egg-info"))
        files += len(names)
        if files > FILES_AT_MOST:
            break
        for name in sorted(names):
            file_path = Path(folder, name)
            if name.endswith((".pyc", ".so", ".o")) or not file_path.is_file():
                continue
            size = file_path.stat().st_size
            left -= size
            content = file_path.read_bytes() if left >= 0 else b""
            relative = os.fsencode(file_path.relative_to(path))
            one = hasher(READ_AT_MOST - left)  # OpenSSL's once there is much
            one.update(content)
            total.update(b"%d %b\0%d " % (len(relative), relative, size) + one.digest())
    return total.hexdigest()
