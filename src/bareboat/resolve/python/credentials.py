"""User and password of private indexes: found where they are written, used when a wheel is fetched, kept nowhere.

Locks hold URLs without them (PEP 610, PEP 751), so each machine that fetches needs its own: those of the project's
files, of uv's settings, or of the environment. They go to the scheme, host and port they were written for, no further.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from bareboat.resolve.python.request import Request

_URL = re.compile(r"https?://[^\s/\"'<>@]+@[^\s\"'<>#;]+")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")  # what pip and uv replace in requirements files
_LISTS = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")


def credentials(request: Request) -> tuple[str, ...]:
    """Every URL with a user in it that the project, uv's settings or the environment name."""
    env = request.env
    texts = [*request.dependencies.requirements, *(env.get(name, "") for name in _LISTS)]
    own = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or "/", ".config"))
    documents = [request.root / "pyproject.toml", request.root / "uv.toml", own / "uv/uv.toml", Path("/etc/uv/uv.toml")]
    files = [*(request.root / name for name in request.dependencies.files), *documents]
    texts += [_text(path) for path in dict.fromkeys(files)]
    found = [url for text in texts for url in _URL.findall(_VARIABLE.sub(lambda m: env.get(m[1], m[0]), text))]
    if any(name.startswith("UV_INDEX_") and name.endswith("_USERNAME") for name in env):
        found += _named(documents, env)
    return tuple(dict.fromkeys(found))


def with_credentials(url: str, known: Iterable[str]) -> str:
    """The URL with the user of the index it belongs to: same scheme, host and port, the longest common path."""
    if url.startswith("git+"):
        return f"git+{with_credentials(url[4:], known)}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        return url
    best, shared = "", -1
    for each in known:
        other = urlsplit(each)
        user, _, host = other.netloc.rpartition("@")
        common = len(os.path.commonpath((parts.path or "/", other.path or "/")))
        if (other.scheme, host.lower()) == (parts.scheme, parts.netloc.lower()) and common > shared:
            best, shared = user, common
    return parts._replace(netloc=f"{best}@{parts.netloc}").geturl() if best else url


def _named(documents: Iterable[Path], env: Mapping[str, str]) -> list[str]:
    """uv's indexes by name, whose user and password are in UV_INDEX_NAME_USERNAME and _PASSWORD."""
    from bareboat import toml
    from bareboat.errors import ProjectError

    found = []
    for path in documents:
        try:
            document = toml.parse(_text(path).encode(), path.name, "project", ProjectError)
        except ProjectError:
            continue
        tool = document.get("tool")
        uv = tool.get("uv") if isinstance(tool, dict) else document
        indexes = uv.get("index") if isinstance(uv, dict) else None
        for index in indexes if isinstance(indexes, list) else []:
            if not isinstance(index, dict) or "name" not in index or "url" not in index:
                continue
            name = re.sub(r"[^A-Z0-9]", "_", str(index["name"]).upper())
            user, password = env.get(f"UV_INDEX_{name}_USERNAME"), env.get(f"UV_INDEX_{name}_PASSWORD", "")
            scheme, separator, rest = str(index["url"]).partition("://")
            if user and separator and "@" not in rest.partition("/")[0]:
                found.append(f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
