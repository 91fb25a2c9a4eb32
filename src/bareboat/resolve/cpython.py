"""A relocatable CPython of python-build-standalone, for versions that no suite has: found by uv's list, locked by
sha256."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bareboat.errors import ResolveError
from bareboat.lock import CPython

if TYPE_CHECKING:
    from bareboat.store import Store

_KEYS = {"linux/amd64": "linux-x86_64-gnu", "linux/arm64": "linux-aarch64-gnu"}
_SUMS_MOST = 16 << 20
_BUILD = re.compile(r"https?://[^?#]*/python-build-standalone/(?:releases/download/)?(\d{8}/cpython-[^/?#]+\.tar\.gz)")


@dataclass(frozen=True)
class Asked:
    """mirror: a URL prefix in place of the address up to the build's date, as UV_PYTHON_INSTALL_MIRROR; "" for none."""

    specifier: str
    platform: str
    mirror: str = ""
    offline: bool = False
    source: str = ""


def lock_cpython(asked: Asked, store: Store, env: Mapping[str, str] | None = None) -> CPython | None:
    """The newest CPython that meets a specifier, its archive in the store; None where there is no such build.

    The sha256 is what the release's own SHA256SUMS says; where a mirror has none, that of what came, once: the lock
    holds it from then on. Raises ResolveError "cpython.unreachable", "cpython.digest".
    """
    found = _newest(asked, os.environ if env is None else env)
    if found is None:
        return None
    version, url = found
    if asked.offline:
        raise ResolveError("cpython.offline", f"CPython {version} would be fetched, and bareboat is offline",
                           where=url, hint="connect once, or ask for a Python that a suite has")
    stated = _stated(url)
    digest = store.put_blob(_fetched(url), sha256=stated or None, where=url)
    path = store.blob(digest)
    return CPython(version, url, digest, path.stat().st_size if path is not None else 0)


def _newest(asked: Asked, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Version and URL, by `uv python list`, which asks nobody."""
    from bareboat.host.process import Command, run
    from bareboat.resolve.debian.lockbase import accepts
    from bareboat.resolve.python.uv import environment, find_uv

    argv = (find_uv(), "python", "list", "--only-downloads", "--all-versions", "--all-arches", "--show-urls",
            "--output-format", "json", "--no-config", "--color", "never")
    done = run(Command(argv, env={**environment(env), "UV_PYTHON_DOWNLOADS": "manual"}, timeout=60))
    try:
        rows = json.loads(done.stdout) if done.code == 0 else []
    except ValueError:
        rows = []
    best: tuple[tuple[int, ...], str, str] | None = None
    for row in rows:
        version, url = str(row.get("version")), str(row.get("url"))
        build = _BUILD.fullmatch(url)
        if row.get("implementation") != "cpython" or row.get("variant") != "default" or build is None:
            continue
        if not str(row.get("key")).endswith(_KEYS.get(asked.platform, "?")):
            continue
        if not re.fullmatch(r"3(\.\d+){2}", version):
            continue  # a version to come
        order = tuple(map(int, version.split(".")))
        if accepts(asked.specifier, version) and (best is None or order > best[0]):
            best = order, version, f"{asked.mirror.rstrip('/')}/{build[1]}" if asked.mirror else url
    return best[1:] if best else None


def _stated(url: str) -> str:
    """What SHA256SUMS beside a file says of it, "" where there is none."""
    from urllib.parse import unquote

    folder, _, name = url.rpartition("/")
    try:
        text = b"".join(_fetched(f"{folder}/SHA256SUMS", _SUMS_MOST)).decode("utf-8", "replace")
    except ResolveError:
        return ""
    for line in text.splitlines():
        digest, _, of = line.partition("  ")
        if of.strip().lstrip("*") == unquote(name) and re.fullmatch(r"[0-9a-f]{64}", digest):
            return digest
    return ""


def _fetched(url: str, most: int = 1 << 30) -> list[bytes]:
    from urllib3.exceptions import HTTPError

    from bareboat.transport import Transport, redacted

    hint = "set python.mirror (BAREBOAT_PYTHON_MIRROR) to a mirror of python-build-standalone, or name a base image " \
           "that has this Python"
    try:
        response = Transport(None).get(url)
        if response.status != 200:
            raise ResolveError("cpython.unreachable", f"the server answers {response.status}", where=redacted(url),
                               hint=hint)
        parts, size = [], 0
        for chunk in response.stream(1 << 18):
            size += len(chunk)
            if size > most:
                raise ResolveError("cpython.too-large", f"more than {most:,} bytes", where=redacted(url), hint=hint)
            parts.append(chunk)
        return parts
    except HTTPError as e:
        raise ResolveError("cpython.unreachable", type(e).__name__, where=redacted(url), hint=hint) from None
