"""uv, the resolver: its command lines as values, and the one place that runs them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bareboat.errors import BareboatError, ResolveError
from bareboat.host.process import Command, Completed, run
from bareboat.resolve.python.explain import explain, readable
from bareboat.resolve.python.request import Request
from bareboat.resolve.python.target import uv_platform

TIMEOUT = 1800.0  # seconds; an index that stalls is cut off by uv's own request timeouts long before
# What would make uv look for, download or use an interpreter, environment or output other than the ones
# we name.
_NOT_PASSED = (
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_PROJECT_ENVIRONMENT",
    "UV_OFFLINE",
    "UV_NO_BINARY",
    "UV_WORKING_DIR",
    "UV_PROJECT",
    "UV_CUSTOM_COMPILE_COMMAND",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
)


@dataclass(frozen=True)
class Compile:
    """One `uv pip compile`. sources: file names relative to cwd, "-" for stdin. output: the pylock file
    to write."""

    program: str
    sources: tuple[str, ...]
    output: Path
    python_version: str
    platform: str
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    constraints: tuple[Path, ...] = ()
    overrides: tuple[Path, ...] = ()  # stand for what packages themselves ask for
    find_links: tuple[Path, ...] = ()
    indexes: tuple[str, ...] = ()  # asked before those of the sources; the last is the default
    upgrade: bool | tuple[str, ...] = False
    offline: bool = False


def find_uv() -> str:
    """The uv program: the one installed with bareboat, else on PATH. Raises ResolveError "python.no-uv"."""
    beside = Path(sys.executable).parent / "uv"  # where a wheel's script lands; cheaper than importing uv
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
    raise ResolveError(
        "python.no-uv",
        "uv, which resolves Python packages, is not installed",
        hint="Install bareboat again (uv comes with it), or put uv on PATH.",
    )


def compile_argv(c: Compile, python: str) -> tuple[str, ...]:
    """The command line. python: any interpreter of the host; naming it saves uv the search, and it is
    never run.

    --no-build: resolving runs no code of any package on the host.
    """
    argv = [
        c.program,
        "pip",
        "compile",
        *(f"./{s}" if s.startswith("-") and s != "-" else s for s in c.sources),
    ]
    argv += ["--format", "pylock.toml", "--output-file", str(c.output), "--no-header", "--no-build"]
    argv += ["--python", python, "--python-version", c.python_version, "--python-platform", c.platform]
    for flag, values in (
        ("--extra", c.extras),
        ("--group", c.groups),
        ("--constraints", c.constraints),
        ("--overrides", c.overrides),
        ("--find-links", c.find_links),
        ("--index", c.indexes[:-1]),
        ("--default-index", c.indexes[-1:]),
    ):
        for value in values:
            argv += [flag, str(value)]
    if c.upgrade is True:
        argv.append("--upgrade")
    elif c.upgrade:
        for name in c.upgrade:
            argv += ["--upgrade-package", name]
    if c.offline:
        argv.append("--offline")
    return (*argv, "--color", "never", "--no-progress", "--quiet")


def export_argv(program: str, output: Path, extras: tuple[str, ...], groups: tuple[str, ...]) -> tuple[str, ...]:
    """`uv export` of uv.lock as it is, with the rules of `uv sync`: default groups, the project itself
    left out."""
    argv = [
        program,
        "export",
        "--format",
        "pylock.toml",
        "--output-file",
        str(output),
        "--frozen",
        "--offline",
    ]
    argv += ["--no-header", "--no-emit-project", "--python", sys.executable]
    for extra in extras:
        argv += ["--extra", extra]
    for group in groups:
        argv += ["--group", group]
    return (*argv, "--color", "never", "--no-progress", "--quiet")


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment uv gets: the caller's, without what would point it at another interpreter or output.

    With the host's CA bundle, as our own downloads have it: uv's built-in one knows no institution's proxy.
    """
    from bareboat.host.env import ca_bundle

    chosen = any(env.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS"))
    bundle = None if chosen else ca_bundle(env)
    return {
        **({} if bundle is None else {"SSL_CERT_FILE": str(bundle)}),
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


def effective_indexes(request: Request, options: tuple[str, ...]) -> str:
    """The index options that hold for a project, as uv prints them: from files, environment and uv's own
    settings."""
    argv = (
        find_uv(),
        "pip",
        "compile",
        "-",
        "--offline",
        "--emit-index-url",
        "--emit-find-links",
        "--no-header",
        "--no-build",
        "--python",
        sys.executable,
        "--color",
        "never",
        "--quiet",
    )
    done = start(argv, request, "".join(f"{line}\n" for line in options).encode())
    if done.code:
        raise explain(done.stderr.decode("utf-8", "replace"), "index options", False)
    return done.stdout.decode("utf-8", "replace")


class NoSolution(Exception):
    """uv ended with an error. error: to raise when nothing else helps; stderr: uv's words, to decide what
    might."""

    def __init__(self, error: BareboatError, stderr: str) -> None:
        super().__init__(str(error))
        self.error, self.stderr = error, stderr


def resolve(request: Request, command: Compile, stdin: bytes | None) -> str:
    """Run a resolution and return the pylock.toml text of what the base does not have. As resolve_alone, resolve_on."""
    if request.on is not None and request.on.packages:
        from bareboat.resolve.python.installed import resolve_on

        return resolve_on(request, command, stdin)
    return resolve_alone(request, command, stdin)


def resolve_alone(request: Request, command: Compile, stdin: bytes | None) -> str:
    """Run a resolution and return the pylock.toml text uv wrote: offline first where a lock stands
    (decision 0050).

    Raises NoSolution; ProcessError when uv cannot be started.
    """
    files = request.dependencies.files
    where = files[0] if files else "the project's packages"
    if request.offline or (request.previous and not request.upgrade):
        _prefer(command.output, request.previous)
        done = start(compile_argv(replace(command, offline=True), sys.executable), request, stdin)
        if done.code == 0:
            text = command.output.read_text("utf-8")
            if request.offline or fresh(request, text):
                return text
        elif request.offline:
            raise _no_solution(done, where, True)
    _prefer(command.output, request.previous)
    done = start(compile_argv(command, sys.executable), request, stdin)
    if done.code:
        raise _no_solution(done, where, False)
    return command.output.read_text("utf-8")


def _no_solution(done: Completed, where: str, offline: bool) -> NoSolution:
    text = done.stderr.decode("utf-8", "replace")
    return NoSolution(explain(text, where, offline), text)


def _prefer(output: Path, previous: str) -> None:
    """uv keeps the versions of the output file it finds, wherever they still fit."""
    if previous:
        output.write_text(previous, "utf-8")
    else:
        output.unlink(missing_ok=True)


def fresh(request: Request, text: str) -> bool:
    """Whether what uv's cache knows of each package that is new in the lock is younger than
    request.index_age.

    uv's cache has a file per package and index, written anew whenever the index is asked; where we do not
    find it, the answer is no, which costs one online resolution.
    """
    new = _names(text) - _names(request.previous)
    now = time.time()
    cache = cache_dir(request.env)
    for name in new:
        ages = [now - p.stat().st_mtime for p in cache.glob(f"simple-v*/**/{name}.rkyv")]
        if not ages or min(ages) > request.index_age:
            return False
    return True


def _names(text: str) -> set[str]:
    return {line[8:-1] for line in text.splitlines() if line.startswith('name = "')}


def cache_dir(env: Mapping[str, str]) -> Path:
    """uv's cache: UV_CACHE_DIR, else below XDG_CACHE_HOME or HOME."""
    if env.get("UV_CACHE_DIR"):
        return Path(env["UV_CACHE_DIR"])
    base = Path(env["XDG_CACHE_HOME"]) if env.get("XDG_CACHE_HOME") else Path(env.get("HOME", "/")) / ".cache"
    return base / "uv"


def uv_version() -> str:
    """What `uv --version` says, with where it is; for doctor. Raises ResolveError "python.no-uv",
    ProcessError."""
    program = find_uv()
    done = run(Command((program, "--version"), timeout=30))
    return f"{done.stdout.decode('utf-8', 'replace').strip()} ({program})"


def index_reachable(env: Mapping[str, str] | None = None) -> tuple[bool, str]:
    """Whether uv reaches its default index, and which that is or what uv said. Writes nothing."""
    argv = (
        find_uv(),
        "pip",
        "compile",
        "-",
        "--no-cache",
        "--no-build",
        "--no-header",
        "--no-annotate",
        "--emit-index-url",
        "--python",
        sys.executable,
        "--color",
        "never",
        "--quiet",
    )
    # pip is on every index that can serve anything
    done = run(Command(argv, env=environment(os.environ if env is None else env), stdin=b"pip\n", timeout=60))
    if done.code:
        return False, readable(done.stderr.decode("utf-8", "replace")).replace("\n", ": ")
    shown = done.stdout.decode("utf-8", "replace").splitlines()
    return True, next((readable(line.split(" ", 1)[1]) for line in shown if line.startswith("--index-url")), "reached")
