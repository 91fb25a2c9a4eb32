"""Sources brought to disk: directories digested, archives downloaded, git commits checked out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bareboat.errors import ResolveError
from bareboat.host.process import Command, run
from bareboat.resolve.python.building import BuildRoom
from bareboat.resolve.python.directories import copy_source, directory_digest, file_digest
from bareboat.resolve.python.explain import readable
from bareboat.resolve.python.origins import (
    GitReference,
    Origin,
    archive_origin,
    directory_origin,
    git_reference,
)

GIT_TIMEOUT = 1800.0  # seconds


@dataclass(frozen=True)
class Place:
    """Where sources are looked for and put. root: the project; scratch: a private directory; env: the
    caller's."""

    root: Path
    scratch: Path
    room: BuildRoom
    env: Mapping[str, str]
    offline: bool = False


def acquire(kind: str, location: str, name: str, place: Place, commit: str = "") -> Origin:
    """The source of a direct requirement. kind, location: as requirements.kind_of and .location say.

    commit: the one to take for a VCS reference, "" to ask the remote. Raises ResolveError
    "python.source-missing", "python.vcs", "download.*".
    """
    if kind == "vcs":
        return _git(git_reference(location), name, place, commit)
    local = local_path(location)
    if local is None:
        fragment = dict(p.split("=", 1) for p in location.partition("#")[2].split("&") if "=" in p)
        sha256 = fragment.get("sha256", "")
        path = place.room.download(location.split("#")[0], sha256)
        return archive_origin(name, path, location, sha256 or file_digest(path), direct=True)
    path = place.root / local
    if kind == "directory":
        if not path.is_dir():
            raise _missing(location, path)
        target = place.scratch / f"source-{hashlib.sha256(location.encode()).hexdigest()[:16]}"
        if not target.exists():
            copy_source(path, target)
        return directory_origin(name, target, _relative(path, place.root), directory_digest(target))
    if not path.is_file():
        raise _missing(location, path)
    return archive_origin(name, path, f"./{_relative(path, place.root)}", file_digest(path), direct=True)


def local_path(location: str) -> str | None:
    """The path of a location on this machine, or None for one of the network. Extras and fragment are
    dropped."""
    bare = location.partition("#")[0]
    if bare.startswith("file:"):
        return unquote(urlsplit(bare).path)
    if "://" in bare:
        return None
    if bare.endswith("]"):
        bare = bare[: bare.rindex("[")]
    return os.path.expanduser(bare) if bare.startswith("~") else bare


def _relative(path: Path, root: Path) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/")


def _missing(location: str, path: Path) -> ResolveError:
    return ResolveError(
        "python.source-missing",
        f"the requirement {location!r} names what does not exist",
        where=str(path),
        hint="Correct the path; it is relative to the project's folder.",
    )


def remote_commit(reference: GitReference, place: Place) -> str:
    """The commit a reference stands for now: 40 hex digits are taken as they are, else the remote is
    asked."""
    revision = reference.revision
    if len(revision) == 40 and not revision.strip("0123456789abcdef"):
        return revision
    name = revision or "HEAD"
    out = _call(place, None, "ls-remote", "--", reference.url, name, f"refs/tags/{name}^{{}}")
    found = {ref: commit for commit, tab, ref in (line.partition("\t") for line in out.splitlines()) if tab}
    for candidate in (f"refs/tags/{name}^{{}}", f"refs/tags/{name}", f"refs/heads/{name}", name):
        if candidate in found:
            return found[candidate]
    return ""


def _git(reference: GitReference, name: str, place: Place, commit: str) -> Origin:
    if place.offline and not commit:
        raise ResolveError(
            "python.offline",
            f"{name} is in git and the network must not be asked",
            where=readable(reference.url),
        )
    if reference.url.startswith("-") or "://" not in reference.url or reference.revision.startswith("-"):
        raise ResolveError(
            "python.vcs",
            "not a git reference",
            where=readable(f"{reference.url}@{reference.revision}"),
            hint="Write git+https://HOST/PATH@REVISION.",
        )
    commit = commit or remote_commit(reference, place)
    target = place.scratch / f"git-{hashlib.sha256((reference.url + reference.revision).encode()).hexdigest()[:16]}"
    target.mkdir()
    _call(place, target, "init", "--quiet")
    wanted = commit or reference.revision
    try:
        _call(place, target, "fetch", "--quiet", "--depth", "1", "--", reference.url, wanted)
    except ResolveError:  # a server that gives no single commits, or an abbreviated revision: take everything
        _call(
            place,
            target,
            "fetch",
            "--quiet",
            "--tags",
            "--",
            reference.url,
            "+refs/heads/*:refs/remotes/origin/*",
        )
        try:
            _call(place, target, "checkout", "--quiet", "--detach", wanted)
        except ResolveError:
            raise ResolveError(
                "python.revision",
                f"{name}: the repository has no revision {wanted!r}",
                where=readable(reference.url),
                hint="Name a branch, a tag or a commit that is there.",
            ) from None
    else:
        _call(place, target, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    if (target / ".gitmodules").is_file():
        _call(place, target, "submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1")
    commit = _call(place, target, "rev-parse", "HEAD").strip()
    below = Path(os.path.normpath(target / reference.subdirectory))
    if not below.is_dir() or target not in (below, *below.parents):
        raise ResolveError(
            "python.vcs", f"{name} has no folder {reference.subdirectory!r}", where=readable(reference.url)
        )
    return Origin(
        name,
        target,
        reference.built_from(commit),
        f"git:{commit}",
        reference.direct_url(commit),
        reference.subdirectory,
    )


def _call(place: Place, cwd: Path | None, *argv: str) -> str:
    """git, without hooks, prompts or colours. What comes from outside is checked (_git) or stands behind
    `--`."""
    command = ("git", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", *argv)
    env = {**place.env, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    done = run(Command(command, env=env, cwd=cwd or place.scratch, timeout=GIT_TIMEOUT))
    if done.code:
        raise ResolveError(
            "python.vcs",
            readable(done.stderr.decode("utf-8", "replace")) or "git failed",
            where=f"git {argv[0]}",
            hint="Check the URL, the revision and your access to it.",
        )
    return done.stdout.decode("utf-8", "replace")
