"""Locks that the user already has: uv.lock and pylock.toml, taken as they are."""

from __future__ import annotations

from dataclasses import replace

from bareboat.errors import LockError, ResolveError
from bareboat.resolve.python import pylock, uv
from bareboat.resolve.python.building import BuildRoom
from bareboat.resolve.python.installed import settle
from bareboat.resolve.python.pylock import Source
from bareboat.resolve.python.request import LockedPython, Request
from bareboat.resolve.python.requirements import Line


def lock_from_lock(request: Request, room: BuildRoom | None, depth: int) -> LockedPython:
    """What the user's lock gives for the target; sources in it are built. Versions are never changed.

    uv.lock goes through `uv export --frozen`, with the rules of `uv sync`. Raises LockError "pylock.*",
    "lock.uv".
    """
    d = request.dependencies
    name = d.files[0]
    if d.source == "uv.lock":
        output = request.scratch / "pylock.toml"
        argv = uv.export_argv(uv.find_uv(), output, d.extras, d.groups)
        done = uv.start(argv, request, None)
        if done.code:
            from bareboat.resolve.python.explain import readable

            raise LockError(
                "lock.uv",
                readable(done.stderr.decode("utf-8", "replace")),
                where=name,
                hint="Run `uv lock`, then try again.",
            )
        text = pylock.finish(output.read_text("utf-8"), pylock.mover(request.scratch, request.root))
        wanted = pylock.Wanted(request.target)
    else:
        try:
            text = (request.root / name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise LockError("pylock.malformed", f"cannot be read: {e}", where=name) from None
        wanted = pylock.Wanted(request.target, extras=d.extras, groups=d.groups or None)
    selection = pylock.select(text, wanted, name)
    wheels = list(selection.wheels if request.on is None else settle(selection.wheels, request.on))
    lines = tuple(_line(source) for source in selection.sources)
    if lines and room is None:
        raise ResolveError("python.no-wheel", f"{lines[0].text} has no wheel and would have to be built", where=name)
    if room is not None:
        from bareboat.resolve.python.rewriting import (
            build_line,
            is_local_wheel,
            is_project,
            resolver,
            session,
        )

        s = session(request, lines, room, depth)
        resolve = resolver(s)
        for line, source in zip(lines, selection.sources, strict=True):
            if not is_project(line, request):
                built = build_line(s, line, resolve)
                direct_url = "" if source.kind == "sdist" else built.direct_url
                wheels.append(replace(built, direct_url=direct_url, requested=False))
        for n, wheel in enumerate(wheels):
            local = Line(f"{wheel.name} @ {wheel.url}", "wheel", (f"sha256:{wheel.sha256}",), name)
            if wheel.url and is_local_wheel(local):
                wheels[n] = replace(build_line(s, local, resolve), requested=False)
    for wheel in wheels:
        if not wheel.sha256:
            raise LockError(
                "pylock.no-digest",
                f"{wheel.name} {wheel.version} has no sha256",
                where=name,
                hint="Make the lock again with hashes.",
            )
    return LockedPython(tuple(sorted(wheels, key=lambda w: w.name)), text)


def _line(source: Source) -> Line:
    """A source of a lock as a direct requirement, pinned as it is there."""
    at = source.reference
    fragment = f"#subdirectory={source.subdirectory}" if source.subdirectory else ""
    if source.kind == "vcs":
        if source.vcs != "git":
            raise LockError("pylock.vcs", f"{source.name} is in {source.vcs}; only git is supported")
        return Line(f"{source.name} @ git+{at}@{source.commit}{fragment}", "vcs")
    if source.kind == "directory":
        return Line(f"{source.name} @ ./{at}{fragment}", "directory")
    if "://" not in at:
        at = f"./{at}"
    return Line(f"{source.name} @ {at}{fragment}", "archive", (f"sha256:{source.sha256}",) if source.sha256 else ())
