"""What a project asks for, line by line, and how it is given to uv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bareboat.errors import ResolveError
from bareboat.resolve.python import pyproject, requirements
from bareboat.resolve.python.formats import is_format
from bareboat.resolve.python.request import Request
from bareboat.resolve.python.uvsources import with_sources


def sources(request: Request) -> tuple[tuple[str, ...], bytes | None]:
    """The files uv reads itself, and what it reads from stdin."""
    d = request.dependencies
    files: tuple[str, ...] = ()
    if d.source == "pyproject":
        files = d.files[:1]
    elif d.source == "requirements":
        files = top_files(request)
    if not d.requirements:
        return files, None
    return (*files, "-"), "".join(f"{line}\n" for line in d.requirements).encode()


def top_files(request: Request) -> tuple[str, ...]:
    """The requirements files that no other one includes: dependencies.files has those and what they
    include."""
    tops: list[str] = []
    reached: set[str] = set()
    for name in request.dependencies.files:
        if name not in reached:
            tops.append(name)
            reached |= requirements.included(name, reader(request))
    return tuple(tops)


def lines(request: Request) -> tuple[requirements.Line, ...]:
    """Every requirement, option and constraint the project states, where bareboat reads them itself."""
    d = request.dependencies
    found: list[requirements.Line] = []
    if d.source == "requirements":
        for name in top_files(request):
            found += requirements.read(name, reader(request))
    elif d.source == "pyproject":
        document = pyproject_document(request)
        if not pyproject.is_dynamic(document, d.extras):
            texts = with_sources(document, pyproject.stated(document, d.extras, d.groups),
                                 request.target)
            found += [requirements.Line(t, requirements.kind_of(t), file=d.files[0]) for t in texts]
    found += [requirements.Line(t, requirements.kind_of(t), file="the project file") for t in d.requirements]
    return tuple(found)


def needs_rewriting(request: Request, found: tuple[requirements.Line, ...]) -> bool:
    """Whether something must be built, or read by a build backend, before uv can resolve."""
    if any(line.kind in ("vcs", "archive", "directory") for line in found):
        return True
    if any(line.kind == "option" and is_format(line.text) for line in found):
        return True
    if any(line.kind == "wheel" and "://" not in requirements.location(line.text) for line in found):
        return True
    return dynamic(request)


def dynamic(request: Request) -> bool:
    """Whether the project's own build backend must be asked what it depends on."""
    d = request.dependencies
    return d.source == "pyproject" and pyproject.is_dynamic(pyproject_document(request), d.extras)


def pyproject_document(request: Request, folder: Path | None = None) -> dict[str, Any]:
    """pyproject.toml of the project, or of another folder; empty where there is none."""
    from bareboat import toml

    path = (folder or request.root) / "pyproject.toml"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    return toml.parse(content, "pyproject.toml", "python", ResolveError)


def reader(request: Request) -> requirements.Reader:
    """Reads a requirements file of the project as text."""

    def read(name: str) -> str:
        path = request.root / name
        try:
            return path.read_bytes().decode("utf-8-sig", "replace")
        except OSError as e:
            raise ResolveError("python.requirements", f"cannot be read: {e.strerror}", where=str(path)) from None

    return read
