"""The Python packages of a base, by what lies in its site directories, and which of its files are whose."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bareboat.builder.bases.inside import Inside
from bareboat.builder.bases.pythons import Python
from bareboat.resolve.python.installed import Installed

if TYPE_CHECKING:
    from packaging.version import Version

_BESIDE = ("bin", "share", "include", "etc", "man")  # of the prefix: where installers put what is no module
_SCHEME = re.compile(r"(.*)/lib(?:64)?/python[0-9.]*/(?:site|dist)-packages")
_METADATA_MOST = 4 << 20
_RECORD_MOST = 64 << 20
_ROWS_MOST = 1_000_000


@dataclass(frozen=True)
class Found:
    """packages: sorted by name, one of each: what an import gets. notes: what was left out of account, and why."""

    packages: tuple[Installed, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Raw:
    name: str
    version: str
    site: str
    info: str
    requires: tuple[str, ...]
    extras: tuple[str, ...]
    files: frozenset[str]
    recorded: bool
    pure: bool | None


def find_installed(inside: Inside, python: Python) -> Found:
    """Every package that this Python finds, the first of a name where there are several; all of one name are owned
    together. Broken metadata is a note, never an error; a RECORD owns nothing outside its site and scheme."""
    notes: list[str] = []
    raw = [r for site in python.sites for r in _read_site(inside, site, notes)]
    claims = Counter(path for r in raw for path in r.files)
    by_name: dict[str, list[_Raw]] = {}
    for r in raw:
        by_name.setdefault(r.name, []).append(r)
    packages = []
    for name, several in sorted(by_name.items()):
        first = max((r for r in several if r.site == several[0].site), key=lambda r: _order(r.version))
        if others := ", ".join(sorted({r.version for r in several} - {first.version})):
            notes.append(f"{name} is there more than once: {first.version} counts, beside {others}")
        own = Counter(path for r in several for path in r.files)
        files = {p for p, count in own.items() if claims[p] == count and not _is_python(p, python)}
        sites = {r.site for r in several}
        compiled = any(r.pure is False or any(_is_code(p) for p in r.files) for r in several)
        packages.append(Installed(name, first.version, first.info, compiled, first.requires, first.extras,
                                  _collapsed(inside, files, sites), all(r.recorded for r in several)))
    return Found(tuple(packages), tuple(notes))


def _read_site(inside: Inside, site: str, notes: list[str]) -> Iterator[_Raw]:
    for entry in inside.names(site):
        info = f"{site}/{entry}"
        if entry.endswith(".dist-info"):
            text = inside.text(f"{info}/METADATA", _METADATA_MOST)
        elif entry.endswith(".egg-info"):
            text = inside.text(f"{info}/PKG-INFO", _METADATA_MOST) or inside.text(info, _METADATA_MOST)
        elif entry.endswith(".egg"):
            text = inside.text(f"{info}/EGG-INFO/PKG-INFO", _METADATA_MOST)
        else:
            continue
        found = _one(inside, site, entry, text)
        if found is None:
            notes.append(f"{info} has no name and version that can be read, and does not count")
        else:
            yield found


def _one(inside: Inside, site: str, entry: str, text: str) -> _Raw | None:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    fields = _headers(text)
    stem = entry.rpartition(".")[0]
    name = (fields.get("name") or [stem.partition("-")[0]])[0]
    version = (fields.get("version") or [stem.partition("-")[2].partition("-py")[0]])[0]
    try:
        version = str(Version(version))
    except InvalidVersion:
        return None
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", name):
        return None
    requires = []
    for line in fields.get("requires-dist", ()):
        try:
            requires.append(str(Requirement(line)))
        except InvalidRequirement:
            continue
    info = f"{site}/{entry}"
    files, recorded = _files(inside, site, info)
    wheel = _headers(inside.text(f"{info}/WHEEL", 1 << 16)).get("root-is-purelib")
    extras = tuple(e for e in fields.get("provides-extra", ()) if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", e))
    pure = None if wheel is None else wheel[0].lower() != "false"
    if pure is None and not recorded:
        pure = not _has_code(inside, site, info, name)
    return _Raw(canonicalize_name(name), version, site, info, tuple(requires), extras, frozenset(files), recorded, pure)


def _headers(text: str) -> dict[str, list[str]]:
    """The header fields of core metadata, by name in lower case."""
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if not line:
            break
        key, colon, value = line.partition(":")
        if colon and key and not key[0].isspace():
            found.setdefault(key.lower(), []).append(value.strip())
    return found


def _files(inside: Inside, site: str, info: str) -> tuple[set[str], bool]:
    """The files that a package says are its own, where they are real and where a package's files may be."""
    rows = _record(inside, f"{info}/RECORD")
    if rows is None:
        text = inside.text(f"{info}/installed-files.txt", _RECORD_MOST)
        rows = [f"{info}/{line.strip()}" for line in text.splitlines()[:_ROWS_MOST] if line.strip()] if text else None
    if rows is None:
        rows = _dpkg(inside, info)
    recorded = rows is not None
    listed = [f"{info}/{name}" for name in inside.names(info)] or [info]
    scheme = _SCHEME.fullmatch(site)
    allowed = (f"{site}/", *(f"{scheme[1]}/{b}/" for b in _BESIDE)) if scheme else (f"{site}/",)
    files = set()
    for row in (*(rows or ()), *listed):
        if not row or "\0" in row:
            continue
        path = _normal(row if row.startswith("/") else f"{site}/{row}")
        parent = inside.real_parent(path)
        real = f"{(parent or '').rstrip('/')}/{path.rpartition('/')[2]}"
        if parent is not None and path.startswith(allowed) and real.startswith(allowed) and inside.is_there(real):
            files.add(real[1:])
    return files, recorded


def _record(inside: Inside, path: str) -> list[str] | None:
    """The first column of a RECORD (binary distribution format); None where there is none, or it is no CSV."""
    import csv

    data = inside.read(path, _RECORD_MOST)
    if data is None:
        return None
    rows = []
    try:
        for row in csv.reader(data.decode("utf-8").splitlines()):
            if row:
                rows.append(row[0])
            if len(rows) > _ROWS_MOST:
                return None
    except (csv.Error, UnicodeDecodeError):
        return None
    return rows


def _dpkg(inside: Inside, info: str) -> list[str] | None:
    """What dpkg lists of the package that brought this metadata, in its own site directory."""
    for name in inside.names("/var/lib/dpkg/info"):
        if name.startswith("python") and name.endswith(".list"):
            lines = inside.text(f"/var/lib/dpkg/info/{name}", _RECORD_MOST).splitlines()
            if any(line == info or line.startswith(f"{info}/") for line in lines):
                site = info.rpartition("/")[0]
                return [line for line in lines if line.startswith((f"{site}/", "/usr/bin/"))]
    return None


def _normal(path: str) -> str:
    """Without "." and ".." by the text alone; above the root stays at the root."""
    out: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del out[-1:]
        elif part not in ("", "."):
            out.append(part)
    return "/" + "/".join(out)


def _has_code(inside: Inside, site: str, info: str, name: str) -> bool:
    """Whether a package without a list of files holds machine code, as far down as its top packages' own folders."""
    tops = inside.text(f"{info}/top_level.txt", 1 << 16).split() or [name.replace("-", "_"), name.lower()]
    return any(_is_code(n) for top in tops[:50] if "/" not in top for n in inside.names(f"{site}/{top}")) or \
        any(n.startswith(tuple(f"{t}." for t in tops)) and _is_code(n) for n in inside.names(site))


def _is_code(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.endswith(".so") or ".so." in name


def _is_python(path: str, python: Python) -> bool:
    """Whether a file is an interpreter, which no package owns whatever its RECORD says."""
    folder, _, name = path.rpartition("/")
    return f"/{path}" == python.executable or (folder.endswith("bin") and name.startswith("python"))


def _order(version: str) -> Version:
    from packaging.version import Version

    return Version(version)


def _collapsed(inside: Inside, files: set[str], sites: set[str]) -> tuple[str, ...]:
    """The files, with each directory below a site that holds nothing else as one path: shorter, and no empty
    directory is left that Python would take for a package."""
    below = tuple(f"{site[1:]}/" for site in sites)
    folders = {f for path in files for f in _above(path) if f.startswith(below)}
    whole: set[str] = set()
    for folder in sorted(folders, key=lambda f: -f.count("/")):
        names = [f"{folder}/{n}" for n in inside.names(f"/{folder}")]
        if all(n in files or n in whole or n.endswith("/__pycache__") for n in names):
            whole.add(folder)
    kept = {p for p in files if p.rpartition("/")[0] not in whole}
    tops = {f for f in whole if f.rpartition("/")[0] not in whole}
    for path in list(kept):  # bytecode that somebody else compiled of a module that lies alone
        folder, _, name = path.rpartition("/")
        stem = name.removesuffix(".py") + "."
        if name.endswith(".py"):
            kept |= {f"{folder}/__pycache__/{n}" for n in inside.names(f"/{folder}/__pycache__") if n.startswith(stem)}
    return tuple(sorted(kept | tops))


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
