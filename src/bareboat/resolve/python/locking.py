"""From a request to locked wheels: which way a project's dependencies are resolved."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bareboat.errors import ResolveError
from bareboat.resolve.python import explain, pylock, requirements, uv
from bareboat.resolve.python.request import LockedPython, Request


def lock_wheels(request: Request) -> LockedPython:
    """Resolve a project's Python packages for one target.

    Writes nothing outside request.scratch. Raises ResolveError "python.*" with uv's own explanation, LockError.
    """
    d = request.dependencies
    if d.source == "none" and not d.requirements:
        return LockedPython((), "")
    sources, stdin = _sources(request)
    output = request.scratch / "pylock.toml"
    text = _compile(request, uv.compile_of(request, sources, output), stdin)
    lines = _lines(request)
    wanted = pylock.Wanted(request.target, hashes=_hashes(lines),
                           names=frozenset(requirements.name_of(i.text) for i in lines if not i.constraint))
    text = pylock.finish(text, pylock.mover(request.scratch, request.root))
    selection = pylock.select(text, wanted)
    if selection.sources:
        raise ResolveError("python.no-wheel", f"{selection.sources[0].name} has no wheel")
    return LockedPython(selection.wheels, text)


def _sources(request: Request) -> tuple[tuple[str, ...], bytes | None]:
    """The files uv reads, and what it reads from stdin."""
    d = request.dependencies
    files = d.files[:1] if d.source in ("requirements", "pyproject") else ()
    if not d.requirements:
        return files, None
    return (*files, "-"), "".join(f"{line}\n" for line in d.requirements).encode()


def _lines(request: Request) -> tuple[requirements.Line, ...]:
    d = request.dependencies
    lines: tuple[requirements.Line, ...] = ()
    if d.source == "requirements":
        lines = requirements.read(d.files[0], lambda name: _text(request.root / name))
    extra = tuple(requirements.Line(t, requirements.kind_of(t), file="the project file") for t in d.requirements)
    return lines + extra


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError as e:
        raise ResolveError("python.requirements", f"cannot be read: {e.strerror}", where=str(path)) from None


def _hashes(lines: tuple[requirements.Line, ...]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in lines:
        name = requirements.name_of(line.text)
        if line.hashes and name:
            found[name] = found.get(name, frozenset()) | frozenset(line.hashes)
    return found


def _compile(request: Request, command: uv.Compile, stdin: bytes | None) -> str:
    """Offline first where a lock stands (20 ms), then online: see decision 0050."""
    from dataclasses import replace

    where = request.dependencies.files[0] if request.dependencies.files else "dependencies"
    if request.offline or (request.previous and not request.upgrade):
        _prefer(command.output, request.previous)
        done = uv.start(uv.compile_argv(replace(command, offline=True), _python()), request, stdin)
        if done.code == 0:
            text = command.output.read_text("utf-8")
            if request.offline or _fresh(request, text):
                return text
        elif request.offline:
            raise explain.explain(_err(done.stderr), where, offline=True)
    _prefer(command.output, request.previous)
    done = uv.start(uv.compile_argv(command, _python()), request, stdin)
    if done.code:
        raise explain.explain(_err(done.stderr), where, offline=False)
    return command.output.read_text("utf-8")


def _prefer(output: Path, previous: str) -> None:
    """uv keeps the versions of the output file it finds wherever they still fit."""
    if previous:
        output.write_text(previous, "utf-8")
    else:
        output.unlink(missing_ok=True)


def _err(stderr: bytes | str) -> str:
    return stderr if isinstance(stderr, str) else stderr.decode("utf-8", "replace")


def _python() -> str:
    import sys

    return sys.executable


def _fresh(request: Request, text: str) -> bool:
    """Whether what uv's cache knows of each package that is new in the lock is younger than request.index_age."""
    before = _names(request.previous)
    new = _names(text) - before
    if not new:
        return True
    cache = _cache_dir(request)
    now = time.time()
    for name in new:
        ages = [now - p.stat().st_mtime for p in cache.glob(f"simple-v*/**/{name}.rkyv")]
        if not ages or min(ages) > request.index_age:
            return False
    return True


def _names(text: str) -> set[str]:
    return {line[8:-1] for line in text.splitlines() if line.startswith('name = "')}


def _cache_dir(request: Request) -> Path:
    env = request.env
    if env.get("UV_CACHE_DIR"):
        return Path(env["UV_CACHE_DIR"])
    base = env.get("XDG_CACHE_HOME") or os.path.join(env.get("HOME", "/nonexistent"), ".cache")  # noqa: PTH118
    return Path(base) / "uv"
