"""Resolving on a base that brings packages: they count as installed, and what would replace them is noticed.

Each is offered to uv as a file of its own, by a URL constraint: no index is asked for it, and no other version fits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bareboat.errors import LockError
from bareboat.lock import Wheel
from bareboat.resolve.python import uv
from bareboat.resolve.python.request import Request

_CONFLICT = ("python.unsatisfiable", "python.requirements", "python.uv-failed", "python.unknown-package")


@dataclass(frozen=True)
class Installed:
    """A package of a base. name: normalised; requires: its Requires-Dist; compiled: it holds machine code.

    info: its metadata, absolute inside; owned: its files, relative to the root, whole directories as one; recorded:
    whether it says which files are its own.
    """

    name: str
    version: str
    info: str = ""
    compiled: bool = False
    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    owned: tuple[str, ...] = ()
    recorded: bool = True


@dataclass(frozen=True)
class OnBase:
    """What a resolution stands on. replace: packages that may be replaced although they are compiled; where: the base,
    for errors."""

    packages: tuple[Installed, ...]
    replace: frozenset[str] = frozenset()
    where: str = ""


def resolve_on(request: Request, command: uv.Compile, stdin: bytes | None) -> str:
    """uv's answer without what the base has already.

    First nothing of the base may change. If that has no solution, packages of Python alone may, for they fit any
    interpreter; compiled ones were made for what else is in the base, and are only replaced by name (decision 0110).
    Raises uv.NoSolution, LockError "lock.replaces-base".
    """
    on = request.on
    assert on is not None
    kept = [p for p in on.packages if p.name not in on.replace]
    try:
        return _without(uv.resolve_alone(request, _constrained(request, command, kept), stdin), on.packages)
    except uv.NoSolution as first:
        if first.error.code not in _CONFLICT:
            raise
    compiled = [p for p in kept if p.compiled]
    rest = replace(request, previous=_preferred(request.previous, [p for p in kept if not p.compiled]), upgrade=False)
    try:
        return _without(uv.resolve_alone(rest, _constrained(request, command, compiled), stdin), on.packages)
    except uv.NoSolution as second:
        if second.error.code not in _CONFLICT or not compiled:
            raise
        why = second.error.what.removeprefix("No solution found when resolving dependencies").strip()
    free = replace(request, previous=_preferred(request.previous, kept), upgrade=False)
    text = uv.resolve_alone(free, command, stdin)
    found = {name: version for name, version, _ in _blocks(text) if name}
    raise replaces([(p, found[p.name]) for p in compiled if found.get(p.name, p.version) != p.version], on, why)


def replaces(changed: list[tuple[Installed, str]], on: OnBase, why: str) -> LockError:
    """The refusal. changed: packages with the version that would stand in their place; why: who asks for it."""
    what = ", ".join(f"{p.name} {p.version} by {version}" for p, version in changed) or "compiled packages"
    names = " ".join(f"--replace {p.name}" for p, _ in changed) or "--replace NAME"
    listed = ", ".join(f'"{p.name}"' for p, _ in changed)
    return LockError(
        "lock.replaces-base", f"the lock would replace {what}: {why}", where=on.where,
        hint=f"what else is in the base was compiled for it. Loosen what asks for it, or say that it may go: {names}"
             + (f" (or replace = [{listed}] in bareboat.toml)" if listed else ""))


def settle(wheels: Iterable[Wheel], on: OnBase) -> tuple[Wheel, ...]:
    """The wheels that the base lacks, of a lock taken as it is (uv.lock, pylock.toml). LockError "lock.replaces-base".
    """
    known = {p.name: p for p in on.packages}
    left = [w for w in wheels if w.name not in known or not same(w.version, known[w.name].version)]
    changed = [(known[w.name], w.version) for w in left
               if w.name in known and known[w.name].compiled and w.name not in on.replace]
    if changed:
        raise replaces(changed, on, "the project's own lock pins it")
    return tuple(left)


def same(a: str, b: str) -> bool:
    """Whether two versions are one (PEP 440)."""
    from packaging.version import InvalidVersion, Version

    try:
        return a == b or Version(a) == Version(b)
    except InvalidVersion:
        return False


def _constrained(request: Request, command: uv.Compile, packages: list[Installed]) -> uv.Compile:
    """The command with these packages fixed to what the base has."""
    if not packages:
        return command
    names = frozenset(p.name for p in packages)
    folder = request.scratch / "base"
    folder.mkdir(exist_ok=True)
    lines = [f"{p.name} @ {_stub(folder, p, names).as_uri()}\n" for p in packages]
    file = request.scratch / f"base-{len(packages)}.txt"
    file.write_text("".join(lines), "utf-8")
    return replace(command, constraints=(*command.constraints, file))


def _stub(folder: Path, package: Installed, kept: frozenset[str]) -> Path:
    """A wheel of a package's metadata alone. What it asks of others that stay is left out: the base holds them
    together, whatever their metadata says of each other."""
    import zipfile

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    stem = f"{package.name.replace('-', '_')}-{package.version}"
    path = folder / f"{len(kept)}" / f"{stem}-py3-none-any.whl"
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        return path
    lines = ["Metadata-Version: 2.1", f"Name: {package.name}", f"Version: {package.version}"]
    lines += [f"Provides-Extra: {extra}" for extra in package.extras]
    lines += [f"Requires-Dist: {r}" for r in package.requires if canonicalize_name(Requirement(r).name) not in kept]
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (("METADATA", "\n".join(lines) + "\n"), ("RECORD", ""),
                           ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")):
            archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/{name}", (1980, 1, 2, 0, 0, 0)), text)
    return path


def _preferred(previous: str, packages: list[Installed]) -> str:
    """A lock's text that names what the base has as well: uv keeps such versions where they fit."""
    head = previous or 'lock-version = "1.0"\ncreated-by = "bareboat"\n'
    head = head.replace("packages = []\n", "")
    return head + "".join(f'\n[[packages]]\nname = "{p.name}"\nversion = "{p.version}"\n' for p in packages)


def _without(text: str, packages: tuple[Installed, ...]) -> str:
    """uv's text without the packages that are in the base as they are."""
    known = {p.name: p.version for p in packages}
    kept = [block for name, version, block in _blocks(text)
            if not (name in known and (same(version, known[name]) or ("/base/" in block and "archive = " in block)))]
    if len(kept) == 1 and "[[packages]]" in text:
        kept.append("packages = []\n")
    return "".join(kept)


def _blocks(text: str) -> list[tuple[str, str, str]]:
    """Name, version and text of each package; the head of the file first, without a name."""
    parts = text.split("[[packages]]\n")
    found = [("", "", parts[0])]
    for part in parts[1:]:
        values = dict(line.split(" = ", 1) for line in part.splitlines() if line.startswith(("name = ", "version = ")))
        found.append((values.get("name", "").strip('"'), values.get("version", "").strip('"'),
                      f"[[packages]]\n{part}"))
    return found
