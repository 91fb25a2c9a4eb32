"""Where a wheel that has to be built comes from, as text in the lock and back. Pure.

Forms of Wheel.built_from:
    https://files.example/x-1.0.tar.gz#sha256=HEX          an sdist of an index, or an archive by URL
    ./vendor/x-1.0.tar.gz#sha256=HEX                       an archive of the project
    ./wheels/x-1.0-py3-none-any.whl#sha256=HEX             a wheel of the project, taken as it is
    ./pkg/#sha256=HEX                                      a directory of the project, HEX over its content
    git+https://git.example/x@COMMIT#subdirectory=DIR      a commit
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bareboat.lock import Wheel
from bareboat.resolve.python.pylock import direct_url, without_secrets


@dataclass(frozen=True)
class Origin:
    """A source on disk. path: a directory or an archive; name: what errors call it; digest: of what is built.

    built_from, direct_url: as they go into the lock.
    """

    name: str
    path: Path
    built_from: str
    digest: str
    direct_url: str = ""
    subdirectory: str = ""


def archive_origin(name: str, path: Path, reference: str, sha256: str, *, direct: bool) -> Origin:
    """reference: URL or path relative to the root; direct: asked for by URL, not found in an index."""
    fragment = f"sha256={sha256}"
    subdirectory = _fragments(reference).get("subdirectory", "")
    if subdirectory:
        fragment += f"&subdirectory={subdirectory}"
    bare = without_secrets(reference.split("#")[0])
    return Origin(name, path, f"{bare}#{fragment}", sha256, direct_url(bare, sha256) if direct else "", subdirectory)


def directory_origin(name: str, path: Path, relative: str, digest: str) -> Origin:
    """A directory of the project. direct_url says where it would be inside, never where it is on this
    machine."""
    relative = relative.strip("/").removeprefix("./")
    said = json.dumps({"dir_info": {}, "url": f"file:///app/{relative}"}, sort_keys=True)
    return Origin(name, path, f"./{relative}/#sha256={digest}", digest, said)


@dataclass(frozen=True)
class GitReference:
    """git+URL@REVISION#subdirectory=DIR, taken apart; revision "" is the remote's HEAD."""

    url: str
    revision: str
    subdirectory: str

    def built_from(self, commit: str) -> str:
        """The reference with the commit it stands for, without secrets."""
        fragment = f"#subdirectory={self.subdirectory}" if self.subdirectory else ""
        return f"git+{without_secrets(self.url)}@{commit}{fragment}"

    def direct_url(self, commit: str) -> str:
        """direct_url.json (PEP 610)."""
        info = {"commit_id": commit, "vcs": "git"}
        if self.revision:
            info["requested_revision"] = self.revision
        value: dict[str, object] = {"url": without_secrets(self.url), "vcs_info": info}
        if self.subdirectory:
            value["subdirectory"] = self.subdirectory
        return json.dumps(value, sort_keys=True)


def git_reference(text: str) -> GitReference:
    """Take a git+… location apart (pip's VCS form)."""
    bare, _, _ = text.partition("#")
    url = bare.removeprefix("git+")
    start = url.find("://") + 3
    path_at = url.find("/", start)
    at = url.rfind("@")
    revision = ""
    if path_at >= 0 and at > path_at:
        url, revision = url[:at], url[at + 1 :]
    return GitReference(url, revision, _fragments(text).get("subdirectory", ""))


def _fragments(text: str) -> dict[str, str]:
    _, _, fragment = text.partition("#")
    return dict(part.split("=", 1) for part in fragment.split("&") if "=" in part)


def pylock_source(wheel: Wheel) -> str:
    """The line of pylock.toml that says where a built wheel comes from (PEP 751), never the wheel itself."""
    where, _, _ = wheel.built_from.partition("#")
    parts = _fragments(wheel.built_from)
    below = f", subdirectory = {_toml(parts['subdirectory'])}" if "subdirectory" in parts else ""
    if where.startswith("git+"):
        url, _, commit = where.removeprefix("git+").rpartition("@")
        said = json.loads(wheel.direct_url) if wheel.direct_url else {}
        revision = said.get("vcs_info", {}).get("requested_revision", "")
        asked = f"requested-revision = {_toml(revision)}, " if revision else ""
        return f'vcs = {{ type = "git", url = {_toml(url)}, {asked}commit-id = {_toml(commit)}{below} }}'
    if where.startswith("./") and where.endswith("/"):
        return f"directory = {{ path = {_toml(where[2:-1] or '.')} }}"
    location = f"path = {_toml(where[2:])}" if where.startswith("./") else f"url = {_toml(where)}"
    kind = "archive" if wheel.direct_url or where.endswith(".whl") else "sdist"
    return f"{kind} = {{ {location}, hashes = {{ sha256 = {_toml(parts['sha256'])} }}{below} }}"


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
