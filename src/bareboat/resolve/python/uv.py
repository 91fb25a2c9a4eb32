"""uv, the resolver: its command lines as values, and the one place that runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bareboat.errors import ResolveError
from bareboat.host.process import Command, Completed, run
from bareboat.resolve.python.request import Request
from bareboat.resolve.python.target import uv_platform

TIMEOUT = 1800.0  # seconds; an index that stalls is cut off by uv's own request timeouts long before
# What would make uv look for, download or use an interpreter, environment or output other than the ones we name.
_NOT_PASSED = ("UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT", "UV_OFFLINE", "UV_NO_BINARY",
               "UV_WORKING_DIR", "UV_PROJECT", "UV_CUSTOM_COMPILE_COMMAND", "VIRTUAL_ENV", "CONDA_PREFIX")


@dataclass(frozen=True)
class Compile:
    """One `uv pip compile`. sources: file names relative to cwd, "-" for stdin. output: the pylock file to write."""

    program: str
    sources: tuple[str, ...]
    output: Path
    python_version: str
    platform: str
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    overrides: tuple[Path, ...] = ()
    find_links: tuple[Path, ...] = ()
    index: str = ""  # in place of the indexes of the sources: the one that offers built wheels too
    upgrade: bool | tuple[str, ...] = False
    offline: bool = False


def find_uv() -> str:
    """The uv program: the one installed with bareboat, else on PATH. Raises ResolveError "python.no-uv"."""
    beside = Path(sys.executable).parent / "uv"  # where a wheel's script lands; cheaper than importing uv to ask
    if beside.is_file():
        return str(beside)
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        pass
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and os.access(Path(folder) / "uv", os.X_OK):
            return str(Path(folder) / "uv")
    raise ResolveError("python.no-uv", "uv, which resolves Python packages, is not installed",
                       hint="Install bareboat again (uv comes with it), or put uv on PATH.")


def compile_argv(c: Compile, python: str) -> tuple[str, ...]:
    """The command line. python: any interpreter of the host; naming it saves uv the search, and it is never run.

    --no-build: resolving runs no code of any package on the host.
    """
    argv = [c.program, "pip", "compile", *(f"./{s}" if s.startswith("-") and s != "-" else s for s in c.sources)]
    argv += ["--format", "pylock.toml", "--output-file", str(c.output), "--no-header", "--no-build"]
    argv += ["--python", python, "--python-version", c.python_version, "--python-platform", c.platform]
    for flag, values in (
        ("--extra", c.extras),
        ("--group", c.groups),
        ("--overrides", c.overrides),
        ("--find-links", c.find_links),
    ):
        for value in values:
            argv += [flag, str(value)]
    if c.index:
        argv += ["--default-index", c.index]
    if c.upgrade is True:
        argv.append("--upgrade")
    elif c.upgrade:
        for name in c.upgrade:
            argv += ["--upgrade-package", name]
    if c.offline:
        argv.append("--offline")
    return (*argv, "--color", "never", "--no-progress", "--quiet")


def export_argv(program: str, output: Path, python: str, extras: tuple[str, ...], groups: tuple[str, ...]
                ) -> tuple[str, ...]:
    """`uv export` of uv.lock as it is, with the rules of `uv sync`: default groups, the project itself left out."""
    argv = [program, "export", "--format", "pylock.toml", "--output-file", str(output), "--frozen", "--offline"]
    argv += ["--no-header", "--no-emit-project", "--python", python]
    for extra in extras:
        argv += ["--extra", extra]
    for group in groups:
        argv += ["--group", group]
    return (*argv, "--color", "never", "--no-progress", "--quiet")


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment uv gets: the caller's, without what would point it at another interpreter or output."""
    return {
        **{k: v for k, v in env.items() if k not in _NOT_PASSED},
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_BUILD": "1",
        "LC_ALL": "C.UTF-8",
    }


def compile_of(request: Request, sources: tuple[str, ...], output: Path) -> Compile:
    """The plain resolution of a request."""
    d = request.dependencies
    pyproject = d.source == "pyproject"
    return Compile(
        program=find_uv(),
        sources=sources,
        output=output,
        python_version=request.target.python,
        platform=uv_platform(request.target),
        extras=d.extras if pyproject else (),
        groups=d.groups,
        upgrade=request.upgrade,
    )


def start(argv: tuple[str, ...], request: Request, stdin: bytes | None) -> Completed:
    """Run uv in the project folder, so that relative paths in requirements mean what they mean to pip."""
    return run(Command(argv=argv, env=environment(request.env), cwd=request.root, stdin=stdin, timeout=TIMEOUT))
