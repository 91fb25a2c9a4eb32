"""A packaged project: pyproject.toml with a build system, importable from the mounted code."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from bareboat.errors import ProjectError
from bareboat.project.values import Package

# Build backends that compile; each builds nothing else.
NATIVE_BACKENDS = ("maturin", "scikit_build_core", "mesonpy", "sipbuild", "setuptools_rust", "skbuild")
# What only a project that compiles asks its build environment for.
NATIVE_TOOLS = ("cython", "cffi", "pybind11", "nanobind", "setuptools-rust", "scikit-build", "cmake", "meson")
NATIVE_SOURCES = (".pyx", ".pyf", ".f90")
NATIVE_SETUP = ("ext_modules", "cffi_modules", "rust_extensions")  # what setup.py says to setuptools
LOOKED_AT = 2000  # directory entries; a bound on the search for sources


def package(root: Path, document: Mapping[str, object], code_target: str, code: Path) -> Package | None:
    """The package that pyproject.toml describes, or None: both [build-system] and [project] are needed.

    code, code_target: where the code is on this machine and inside. Raises ProjectError "project.pyproject"
    for tables of wrong types (PEP 621).
    """
    project, build = document.get("project"), document.get("build-system")
    if not isinstance(project, dict) or not isinstance(build, dict):
        return None
    name, version = project.get("name"), project.get("version", "0")
    if not isinstance(name, str) or not _plain(name):
        raise wrong("project.name", "a name of letters, digits and . _ - (PEP 621)")
    if not isinstance(version, str) or not _plain(version.replace("+", "").replace("!", "")):
        raise wrong("project.version", "a version (PEP 440)")
    scripts = dict(_strings(project, "scripts")) | dict(_strings(project, "gui-scripts"))
    groups = project.get("entry-points", {})
    if not isinstance(groups, dict):
        raise wrong("project.entry-points", "a table of tables")
    points = sorted(
        (group, key, value)
        for group in groups
        for key, value in _strings(groups, group, "project.entry-points.")
    )
    return Package(
        name=name,
        version=version,
        import_path=_import_path(root, code, code_target, document),
        scripts=tuple(sorted(scripts.items())),
        entry_points=tuple(points),
        native=_native(root, document, build),
    )


def _plain(text: str) -> bool:
    """Letters, digits and . _ - between them: safe in a file name too."""
    bare = text.replace(".", "").replace("_", "").replace("-", "")
    return text.isascii() and bare.isalnum() and text[0].isalnum() and text[-1].isalnum()


def _strings(table: Mapping[str, object], key: str, prefix: str = "project.") -> Iterator[tuple[str, str]]:
    entries = table.get(key, {})
    if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
        raise wrong(prefix + key, "a table of strings")
    for name, value in entries.items():
        if key in ("scripts", "gui-scripts") and (
            not name or "/" in name or name in (".", "..") or "\0" in name
        ):
            raise wrong(prefix + key, f"a table of file names, not {name!r}")
        if "\n" in name + value or "\r" in name + value:
            raise wrong(prefix + key, "a table of strings of one line")
        yield name, value


def wrong(key: str, allowed: str) -> ProjectError:
    """A key of pyproject.toml that is not what its standard (PEP 621, PEP 735) says."""
    return ProjectError("project.pyproject", f"must be {allowed}", where=f"pyproject.toml: {key}")


def _import_path(root: Path, code: Path, code_target: str, document: Mapping[str, object]) -> str:
    """The directory inside that makes the packages importable: the one the backend packs from.

    Without a word of the backend: src where there is one, else the root (the packaging guide's two layouts).
    """
    said = _package_directory(document)
    source = root / said if said else (root / "src" if (root / "src").is_dir() else root)
    source = Path(os.path.normpath(source))
    if not source.is_relative_to(code):
        return code_target  # not mounted: the code is all there is to import from
    below = source.relative_to(code).as_posix()
    return code_target if below == "." else f"{code_target}/{below}"


def _package_directory(document: Mapping[str, object]) -> str:
    """What setuptools, uv, PDM, Poetry, maturin or flit are told about where packages lie; "" for nothing."""
    for path in (
        ("tool", "setuptools", "package-dir", ""),
        ("tool", "setuptools", "packages", "find", "where"),
        ("tool", "uv", "build-backend", "module-root"),
        ("tool", "pdm", "build", "package-dir"),
        ("tool", "maturin", "python-source"),
        ("tool", "scikit-build", "wheel", "packages"),
        ("tool", "hatch", "build", "targets", "wheel", "packages"),
        ("tool", "hatch", "build", "targets", "wheel", "sources"),
    ):
        value: object = document
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, str):
            parent = path[-1] == "packages"  # these name the packages, not the directory they are in
            return (os.path.dirname(value.rstrip("/")) if parent else value) or "."
    return ""


def _native(root: Path, document: Mapping[str, object], build: Mapping[str, object]) -> bool:
    """Whether the package has compiled extensions. Conservative: only what means nothing else counts."""
    backend = build.get("build-backend")
    if isinstance(backend, str) and backend.partition(".")[0] in NATIVE_BACKENDS:
        return True
    requires = build.get("requires")
    asked = [str(each).strip().lower() for each in requires] if isinstance(requires, list) else []
    if any(each.startswith(NATIVE_TOOLS) for each in asked):
        return True
    tool = document.get("tool")
    setuptools = tool.get("setuptools") if isinstance(tool, dict) else None
    if isinstance(setuptools, dict) and setuptools.get("ext-modules"):
        return True
    if backend is not None and not str(backend).startswith("setuptools"):
        return False  # hatchling, flit and the like compile nothing by themselves
    try:
        setup = (root / "setup.py").read_text("utf-8", "replace")
    except OSError:
        return False
    return any(word in setup for word in NATIVE_SETUP) or ("setup(" in setup and _has_sources(root))


def _has_sources(root: Path) -> bool:
    seen = 0
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(n for n in inner if n not in ("data", "results", "node_modules") and n[0] != ".")
        seen += len(names) + len(inner)
        if any(name.endswith(NATIVE_SOURCES) for name in names):
            return True
        if seen > LOOKED_AT or folder.count(os.sep) - str(root).count(os.sep) > 4:
            return False
    return False
