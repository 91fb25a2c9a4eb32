"""Locked wheels that were built on another machine: their blobs made again here, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from bareboat.errors import LockError
from bareboat.lock import Wheel
from bareboat.resolve.python.acquire import acquire
from bareboat.resolve.python.building import BuildRoom, rebuilt
from bareboat.resolve.python.credentials import credentials, with_credentials
from bareboat.resolve.python.request import Request
from bareboat.resolve.python.requirements import Line, kind_of, location


def restore(wheels: tuple[Wheel, ...], request: Request, room: BuildRoom) -> tuple[Wheel, ...]:
    """Build every wheel of a lock whose blob is missing and has no URL; returns those that were made.

    The source must be what was locked, and so must the result: LockError "lock.source-changed",
    "lock.rebuilt-differs" otherwise. Nothing else of the lock is touched. request: for root, target,
    scratch, env.
    """
    from bareboat.resolve.python.rewriting import resolver, session

    missing = tuple(w for w in wheels if w.built_from and not w.url and room.blob(w.sha256) is None)
    if not missing:
        return ()
    s = session(replace(request, built=(), previous=""), (), room, 0)
    resolve = resolver(s)
    known = credentials(request)
    for wheel in missing:
        line = source_line(wheel)
        where = with_credentials(location(line.text), known)
        origin = acquire("archive" if line.kind == "wheel" else line.kind, where, wheel.name, s.place)
        if origin.built_from.partition("#")[2] != wheel.built_from.partition("#")[2]:
            raise LockError(
                "lock.source-changed",
                f"the source of {wheel.name} is not the one that was locked",
                where=location(line.text),
                hint="Run `bareboat lock`, or bring the source back.",
            )
        if line.kind == "wheel":
            room.keep(origin.path)
        else:
            rebuilt(
                wheel,
                origin,
                request.target,
                Path(mkdtemp(prefix="again-", dir=request.scratch)),
                room,
                resolve,
            )
    return missing


def source_line(wheel: Wheel) -> Line:
    """Wheel.built_from as a direct requirement."""
    where, _, fragment = wheel.built_from.partition("#")
    if where.startswith("git+"):
        return Line(f"{wheel.name} @ {wheel.built_from}", "vcs")
    if where.endswith("/"):
        return Line(f"{wheel.name} @ {where[:-1]}", "directory")
    text = f"{wheel.name} @ {where}" + (f"#{fragment}" if "://" in where else "")
    return Line(text, kind_of(text))
