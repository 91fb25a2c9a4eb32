"""pylock.toml (PEP 751): what it says for one target, and the text we write. Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bareboat.errors import LockError
from bareboat.lock import Wheel
from bareboat.resolve.python.target import Target, marker_environment, tags

if TYPE_CHECKING:
    from packaging.pylock import Package

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

_WHEELS = ("wheels = ", "    { ")  # lines of uv's text that name wheels of an index or a folder
MARK = "# made by bareboat with uv"
HEADER = f"""\
{MARK} (PEP 751): the Python packages of this project; commit it with bareboat.lock.
# `bareboat lock` brings it up to date, `bareboat lock --upgrade` takes newer versions.
"""
EMPTY = f'{HEADER}lock-version = "1.0"\ncreated-by = "bareboat"\npackages = []\n'


@dataclass(frozen=True)
class Source:
    """A package of the lock that is no wheel yet. kind: "sdist", "archive", "vcs" or "directory".

    reference: URL, or path relative to the lock file; sha256 of the archive, "" for the other kinds.
    """

    name: str
    version: str
    kind: str
    reference: str
    sha256: str = ""
    size: int = 0
    commit: str = ""
    subdirectory: str = ""
    editable: bool = False
    vcs: str = ""


@dataclass(frozen=True)
class Selection:
    """What a target takes from a lock: wheels as they are, and sources to be built."""

    wheels: tuple[Wheel, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Wanted:
    """What is selected. hashes: name → "sha256:…" alternatives that the user's files demand.

    names: requested directly. every_hash: each file must be among hashes (--require-hashes).
    groups None: the lock's default groups.
    """

    target: Target
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    hashes: Mapping[str, frozenset[str]] | None = None
    names: frozenset[str] = frozenset()
    every_hash: bool = False


def versions(text: str) -> tuple[tuple[str, str], ...]:
    """(name, version) of every package in a lock's text that has both; () for a text that is no lock."""
    try:
        packages = tomllib.loads(text).get("packages", [])
    except tomllib.TOMLDecodeError:
        return ()
    return tuple((p["name"], p["version"]) for p in packages if "name" in p and "version" in p)


def is_ours(text: str) -> bool:
    """Whether a pylock.toml was made by bareboat, so that it is output and not the user's input."""
    return text.startswith(MARK)


def select(text: str, wanted: Wanted, where: str = "pylock.toml") -> Selection:
    """What of this lock the target needs, by packaging's implementation of PEP 751.

    Raises LockError "pylock.malformed", "pylock.unselectable", "python.hash-mismatch".
    """
    from packaging.pylock import Pylock, PylockSelectError, PylockValidationError

    try:
        lock = Pylock.from_dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as e:
        raise LockError("pylock.malformed", f"not TOML: {e}", where=where,
                        hint="Take it from version control again, or delete it and run `bareboat lock`.") from None
    except PylockValidationError as e:
        raise LockError("pylock.malformed", str(e), where=where) from None
    try:
        chosen = list(
            lock.select(
                environment=marker_environment(wanted.target),  # type: ignore[arg-type]
                tags=tags(wanted.target),
                extras=wanted.extras,
                dependency_groups=wanted.groups,
            )
        )
    except PylockSelectError as e:
        hint = f"The image has Python {wanted.target.python} and {wanted.target.libc}."
        raise LockError("pylock.unselectable", f"{e}".replace("\n", " "), where=where, hint=hint) from None
    found = sorted((_found(package, thing, wanted, where) for package, thing in chosen), key=lambda f: f.name)
    return Selection(tuple(f for f in found if isinstance(f, Wheel)), tuple(f for f in found if isinstance(f, Source)))


def _found(package: Package, thing: Any, wanted: Wanted, where: str) -> Wheel | Source:
    from packaging.pylock import PackageArchive, PackageDirectory, PackageVcs, PackageWheel

    name, version = str(package.name), str(package.version or "")
    demanded = (wanted.hashes or {}).get(name, frozenset())
    if isinstance(thing, PackageDirectory):
        return Source(
            name,
            version,
            "directory",
            thing.path,
            subdirectory=thing.subdirectory or "",
            editable=bool(thing.editable),
        )
    if isinstance(thing, PackageVcs):
        return Source(
            name,
            version,
            "vcs",
            thing.url or thing.path or "",
            commit=thing.commit_id,
            subdirectory=thing.subdirectory or "",
            vcs=thing.type,
        )
    sha256 = dict(thing.hashes or {}).get("sha256", "")
    if wanted.every_hash and not demanded:
        raise LockError(
            "python.hash-missing",
            f"{name} {version} has no --hash, and --require-hashes asks for one",
            where=where,
            hint=f"Add {name}=={version} --hash=sha256:{sha256}",
        )
    if demanded and f"sha256:{sha256}" not in demanded:
        what = f"{name} {version} is not what its --hash demands: found is sha256:{sha256}, "
        raise LockError(
            "python.hash-mismatch",
            what + f"demanded is {' or '.join(sorted(demanded))}",
            where=where,
            hint="Check where the package comes from before changing the hash.",
        )
    reference = thing.url or thing.path or ""
    archive = isinstance(thing, PackageArchive)
    filename = _filename(reference) if archive else thing.filename
    if isinstance(thing, PackageWheel) or filename.endswith(".whl"):
        direct = direct_url(reference, sha256) if archive else ""
        if archive and not version:
            version = filename.split("-")[1]
        return Wheel(
            name,
            version,
            filename,
            reference,
            sha256,
            thing.size or 0,
            direct,
            requested=name in wanted.names,
        )
    return Source(
        name,
        version,
        "archive" if archive else "sdist",
        reference,
        sha256,
        thing.size or 0,
        subdirectory=(thing.subdirectory or "") if archive else "",
    )


def _filename(reference: str) -> str:
    from urllib.parse import unquote

    return unquote(reference.split("#")[0].split("?")[0].rsplit("/", 1)[-1])


def direct_url(url: str, sha256: str) -> str:
    """direct_url.json (PEP 610) of an archive: canonical JSON."""
    info = {"hashes": {"sha256": sha256}} if sha256 else {}
    return json.dumps({"archive_info": info, "url": without_secrets(url)}, sort_keys=True)


def without_secrets(url: str) -> str:
    """The URL without user and password (PEP 610: they must not be recorded), ${VARIABLES} kept."""
    head, sep, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if not sep or not at or user.startswith("${") or (user == "git" and head.endswith("ssh")):
        return url
    return f"{head}://{host}{slash}{path}"


def finish(text: str, move: Callable[[str], str]) -> str:
    """uv's text as we keep it: our header, no secrets, local paths as `move` gives them."""
    from urllib.parse import unquote

    out = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        for key in ('path = "', 'url = "'):
            at = line.find(key)
            while at >= 0:
                start = at + len(key)
                end = line.index('"', start)
                value = line[start:end]
                if key.startswith("url") and value.startswith("file:///") and line.startswith(_WHEELS):
                    value = move(unquote(value[7:]))  # of --find-links: where it is here says nothing elsewhere
                    line, start = f'{line[:at]}path = "{value}{line[end:]}', at + len('path = "')
                else:
                    value = without_secrets(value) if key.startswith("url") else move(value)
                    line = line[:start] + value + line[end:]
                at = line.find(key, start + len(value))
        out.append(line)
    return HEADER + "\n".join(out).rstrip() + "\n"


def mover(written_in: Path, root: Path) -> Callable[[str], str]:
    """Rewrites a path relative to the folder uv wrote in to one relative to the project."""
    import os.path

    def move(path: str) -> str:
        absolute = os.path.normpath(written_in / path)
        return os.path.relpath(absolute, root).replace(os.sep, "/")

    return move
