"""What was installed by hand in a session: read from the thin writable layer before it is thrown away.

The layer was written by programs of the session, so nothing in it is believed: links are followed inside the layer
alone, only regular files are read and no more than their beginning, and what is no name and no version is left out.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bareboat.host import kernel

MOST = 1 << 20  # bytes of a file that are read
RECORD_MOST = 64 << 20  # of a RECORD: torch's is 1.5 MB
DISTRIBUTIONS = 5000
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.!+_-]{0,98}[0-9A-Za-z])?")
_URL = re.compile(r"(?:https?|ssh)://[^\s\"'<>`\\;]{1,1000}")
_STATUS, _INFO = "var/lib/dpkg/status", "var/lib/dpkg/info"
_STATES = "var/lib/apt/extended_states"
_DATABASES = ("var/lib/dpkg", _INFO, "var/lib/dpkg/triggers", "var/lib/dpkg/alternatives", "var/lib/apt",
              "var/lib/apt/lists", "etc/alternatives")


@dataclass(frozen=True)
class Distribution:
    """A Python distribution of the layer. requested: asked for by its name, and not another's requirement (PEP 376's
    REQUESTED). url: what to write behind the name instead of a version, "" for one of an index; editable: a folder's.
    """

    name: str
    version: str
    requested: bool = False
    url: str = ""
    editable: bool = False

    @property
    def requirement(self) -> str:
        """The line that asks for exactly this."""
        return f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Installed:
    """What a session has that its image has not: distributions, Debian packages (name, version), in name order; and
    the files, absolute inside, that belong to them.
    """

    python: tuple[Distribution, ...] = ()
    apt: tuple[tuple[str, str], ...] = ()
    files: frozenset[bytes] = frozenset()

    @property
    def asked(self) -> tuple[Distribution, ...]:
        """Those that somebody asked for; all of them where the installer left no mark of it."""
        marked = tuple(d for d in self.python if d.requested)
        return marked or self.python


def python_installed(layer: int, site: str, before: Mapping[str, str]) -> Installed:
    """The distributions below a site directory of a layer. layer: a descriptor of its top; site: absolute inside;
    before: normalised name → version of what the image has.
    """
    found: list[Distribution] = []
    files: set[bytes] = set()
    for entry in _list(layer, site):
        if not entry.endswith(".dist-info") or len(found) >= DISTRIBUTIONS:
            continue
        info = f"{site}/{entry}"
        distribution = _distribution(layer, info)
        if distribution is None:
            continue
        files |= _files(layer, site, info)
        if before.get(normalised(distribution.name)) != distribution.version or distribution.url:
            found.append(distribution)
    found.sort(key=lambda d: normalised(d.name))
    return Installed(tuple(found), (), frozenset(files))


def normalised(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _distribution(layer: int, info: str) -> Distribution | None:
    fields = _headers(_read(layer, f"{info}/METADATA"))
    name, version = fields.get("name", ""), fields.get("version", "")
    if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version)):
        return None
    url, editable = _origin(_read(layer, f"{info}/direct_url.json"))
    return Distribution(name, version, _is_file(layer, f"{info}/REQUESTED"), url, editable)


def _headers(text: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        if not line:
            break
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.lower(), value.strip())
    return found


def _origin(text: bytes) -> tuple[str, bool]:
    """The URL of a direct_url.json (PEP 610) as a requirement has it, and whether it is an editable folder."""
    try:
        document = json.loads(text) if text else {}
        url = str(document.get("url", ""))
        vcs = document.get("vcs_info")
        editable = bool(document.get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError):
        return "", False
    if isinstance(vcs, dict) and re.fullmatch(r"[a-z]{2,4}", str(vcs.get("vcs"))) and \
            re.fullmatch(r"[0-9a-f]{40,64}", str(vcs.get("commit_id"))):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if _URL.fullmatch(url) else ""
    elif not _URL.fullmatch(url):
        return "", editable or url.startswith("file:")
    return url, editable


def _files(layer: int, site: str, info: str) -> set[bytes]:
    """What a RECORD lists, absolute inside."""
    out = set()
    for line in _read(layer, f"{info}/RECORD", RECORD_MOST).splitlines():
        path = line.rsplit(b",", 2)[0].strip(b'"')
        if path:
            full = path if path.startswith(b"/") else os.fsencode(site) + b"/" + path
            out.add(os.path.normpath(full))
    return out


def debian_installed(layer: int, before: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Name and version of the packages that the layer's dpkg status has and `before` has not, in name order; without
    those that apt took along for others.
    """
    known = {*before, *_automatic(layer)}
    found = {}
    for paragraph in _read(layer, _STATUS, RECORD_MOST).decode("utf-8", "replace").split("\n\n"):
        fields = _headers(paragraph.lstrip("\n").encode())
        name, version = fields.get("package", ""), fields.get("version", "")
        if fields.get("status", "").endswith(" installed") and re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) \
                and name not in known:
            found[name] = version
    return tuple(sorted(found.items()))


def _automatic(layer: int) -> Iterator[str]:
    for paragraph in _read(layer, _STATES, RECORD_MOST).decode("utf-8", "replace").split("\n\n"):
        fields = _headers(paragraph.lstrip("\n").encode())
        if fields.get("auto-installed") == "1":
            yield fields.get("package", "")


def debian_files(layer: int) -> frozenset[bytes]:
    """What dpkg's lists in the layer name, and its own and apt's files: absolute inside."""
    found: set[bytes] = set()
    for folder in _DATABASES:
        for name in _list(layer, folder):
            path = f"{folder}/{name}"
            found.add(b"/" + os.fsencode(path))
            if name.endswith(".list") and folder == _INFO:
                found.update(_read(layer, path, RECORD_MOST).splitlines())
    # what was unpacked under /lib is found under /usr/lib
    return frozenset(found | {b"/usr" + path for path in found if path.startswith((b"/lib", b"/bin", b"/sbin"))})


def _open(layer: int, path: str, flags: int) -> int:
    return kernel.open_in_root(layer, os.fsencode(path), flags | os.O_CLOEXEC)


def _list(layer: int, path: str) -> list[str]:
    try:
        folder = _open(layer, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        return sorted(os.listdir(folder))
    finally:
        os.close(folder)


def _is_file(layer: int, path: str) -> bool:
    try:
        file = _open(layer, path, os.O_PATH)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(file).st_mode)
    finally:
        os.close(file)


def _read(layer: int, path: str, most: int = MOST) -> bytes:
    try:
        file = _open(layer, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    with os.fdopen(file, "rb") as opened:
        return opened.read(most) if stat.S_ISREG(os.fstat(opened.fileno()).st_mode) else b""
