"""A packaged project: pyproject.toml with a build system, importable from the mounted code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bareboat.errors import ProjectError
from bareboat.project.values import Package

NATIVE_BACKENDS = ("maturin", "scikit_build_core", "mesonpy", "setuptools_rust", "sipbuild", "pybind11")
NATIVE_SOURCES = (".pyx", ".pyf")
NATIVE_FILES = ("CMakeLists.txt", "meson.build", "Cargo.toml")


def package(root: Path, document: Mapping[str, object], code_target: str, code: Path) -> Package | None:
    """The package that pyproject.toml describes, or None: both [build-system] and [project] are needed.

    code, code_target: where the code is on this machine and inside. Raises ProjectError "project.pyproject"
    for tables of wrong types (PEP 621).
    """
    project, build = document.get("project"), document.get("build-system")
    if not isinstance(project, dict) or not isinstance(build, dict):
        return None
    if not isinstance(name := project.get("name"), str) or not name:
        raise wrong("project.name", "a name (PEP 621 has it required)")
    version = project.get("version", "0")
    if not isinstance(version, str):
        raise wrong("project.version", "a string")
    scripts = dict(_strings(project, "scripts")) | dict(_strings(project, "gui-scripts"))
    groups = project.get("entry-points", {})
    if not isinstance(groups, dict):
        raise wrong("project.entry-points", "a table of tables")
    points = tuple(
        sorted(
            (group, key, value)
            for group in groups
            for key, value in _strings(groups, group, "project.entry-points.")
        )
    )
    return Package(
        name,
        version,
        import_path(root, code, code_target),
        tuple(sorted(scripts.items())),
        points,
        native(root, code, document, build),
    )


def _strings(table: Mapping[str, object], key: str, prefix: str = "project.") -> Iterator[tuple[str, str]]:
    entries = table.get(key, {})
    if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
        raise wrong(prefix + key, "a table of strings")
    yield from entries.items()


def wrong(key: str, allowed: str) -> ProjectError:
    """A key of pyproject.toml that is not of the type its standard (PEP 621, PEP 735) gives it."""
    return ProjectError("project.pyproject", f"must be {allowed}", where=f"pyproject.toml: {key}")


def import_path(root: Path, code: Path, code_target: str) -> str:
    """The directory inside that a .pth names: the src layout's src, else where the code is."""
    if code == root and (root / "src").is_dir():
        return f"{code_target}/src"
    return code_target


def native(root: Path, code: Path, document: Mapping[str, object], build: Mapping[str, object]) -> bool:
    """Whether the package has compiled extensions. Conservative: a pure package must not be taken for one."""
    backend = build.get("build-backend")
    if isinstance(backend, str) and backend.partition(".")[0] in NATIVE_BACKENDS:
        return True
    requires = build.get("requires")
    names = [str(each).lower() for each in requires] if isinstance(requires, list) else []
    if any(each.startswith(("cython", "setuptools-rust", "pybind11", "cffi", "nanobind")) for each in names):
        return True
    tool = document.get("tool")
    setuptools = tool.get("setuptools") if isinstance(tool, dict) else None
    if isinstance(setuptools, dict) and setuptools.get("ext-modules"):
        return True
    if any((root / name).is_file() for name in NATIVE_FILES) and backend not in (
        None,
        "setuptools.build_meta",
    ):
        return False  # another backend builds the wheel, and the file belongs to something else
    try:
        setup = (root / "setup.py").read_text("utf-8", "replace")
    except OSError:
        return False
    return "ext_modules" in setup or "cffi_modules" in setup or "rust_extensions" in setup
