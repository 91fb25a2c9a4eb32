"""From a request to locked wheels: which way a project's dependencies are resolved."""

from __future__ import annotations

from bareboat.errors import ResolveError
from bareboat.resolve.python import pylock, requirements, stated, uv
from bareboat.resolve.python.building import BuildRoom
from bareboat.resolve.python.request import LockedPython, Request


def lock_wheels(request: Request, room: BuildRoom | None = None, depth: int = 0) -> LockedPython:
    """Resolve a project's Python packages for one target.

    room: where sources are built; without one, a package that has no wheel is ResolveError "python.no-wheel".
    depth: of build requirements within build requirements. Blobs of built and local wheels are in the store
    afterwards; the project folder is not written to. The user's own pylock.toml comes back as it is.
    Raises ResolveError "python.*", "download.*", LockError "pylock.*".
    """
    d = request.dependencies
    if d.source == "none" and not d.requirements:
        return LockedPython((), pylock.EMPTY)
    if d.source in ("uv.lock", "pylock"):
        from bareboat.resolve.python.exports import lock_from_lock

        return lock_from_lock(request, room, depth)
    lines = stated.lines(request)
    if request.target.version[0] == 2:
        if room is None:
            raise ResolveError("python.27", "Python 2.7 is resolved inside the sandbox, and there is none here")
        from bareboat.resolve.python.python27 import lock_python27

        return lock_python27(request, lines, room)
    if room is not None and stated.needs_rewriting(request, lines):
        from bareboat.resolve.python.rewriting import lock_rewritten

        return lock_rewritten(request, lines, room, depth)
    if room is not None:
        from bareboat.resolve.python.rewriting import lock_with_built

        return lock_with_built(request, lines, room, depth)
    sources, stdin = stated.sources(request)
    try:
        text = uv.resolve(request, uv.compile_of(request, sources, request.scratch / "pylock.toml"), stdin)
    except uv.NoSolution as e:
        raise e.error from None
    return plain(request, lines, text)


def plain(request: Request, lines: tuple[requirements.Line, ...], text: str) -> LockedPython:
    """The answer when uv found a wheel for everything."""
    selection = pylock.select(text, wanted(request, lines), stated_in(request))
    if selection.sources:
        source = selection.sources[0]
        raise ResolveError(
            "python.no-wheel",
            f"{source.name} {source.version} has no wheel for {request.target.python}",
            hint="It can be built where bareboat has a sandbox.",
        )
    return LockedPython(selection.wheels, pylock.finish(text, pylock.mover(request.scratch, request.root)))


def wanted(request: Request, lines: tuple[requirements.Line, ...]) -> pylock.Wanted:
    """What is selected of uv's answer: target, demanded hashes, names asked for directly."""
    hashes: dict[str, frozenset[str]] = {}
    for line in lines:
        name = requirements.name_of(line.text)
        if line.hashes and name:
            hashes[name] = hashes.get(name, frozenset()) | frozenset(line.hashes)
    names = frozenset(requirements.name_of(line.text) for line in lines if not line.constraint)
    every = any(line.kind == "option" and line.text == "--require-hashes" for line in lines)
    return pylock.Wanted(request.target, hashes=hashes, names=names, every_hash=every)


def stated_in(request: Request) -> str:
    """The file that errors about what was demanded name."""
    return request.dependencies.files[0] if request.dependencies.files else "pylock.toml"
