"""What is locked: the base's Debian packages and the Python wheels of one platform, by digest.

Files: pylock.toml (PEP 751) for Python packages, bareboat.lock (TOML) for all else. Reading and writing of
bareboat.lock is here and pure (text in, text out); resolving is resolve/'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LOCK_FORMAT = 1
ASSEMBLY_FORMAT = 1  # part of every plan: raised when the same lock would give other bytes


@dataclass(frozen=True)
class Deb:
    """A Debian package: pool path (relative to the archive's root), sha256 as 64 hex digits, size in bytes."""

    name: str
    version: str
    architecture: str
    path: str
    sha256: str
    size: int
    archive: str = "main"  # "main" or "security": which of the base's archives holds the pool path


@dataclass(frozen=True)
class Base:
    """An assembled base. python: "3.13"; python_full: "3.13.5"; libc: "glibc 2.41"."""

    family: str  # "debian" or "ubuntu"
    suite: str
    date: str  # InRelease's Date, as ISO 8601 UTC
    packages: tuple[Deb, ...]
    python: str
    python_full: str
    libc: str


@dataclass(frozen=True)
class Wheel:
    """A wheel of the lock. url: where it was found ("" for one that was built); sha256: 64 hex digits.

    direct_url: the JSON text of direct_url.json (PEP 610) for URL, VCS and directory installs, else "".
    built_from: for a wheel built in the sandbox, the sdist's URL or VCS reference or directory, else "".
    """

    name: str  # normalised (PEP 503)
    version: str
    filename: str
    url: str
    sha256: str
    size: int
    direct_url: str = ""
    built_from: str = ""
    requested: bool = False


@dataclass(frozen=True)
class PlatformLock:
    """Everything one platform's image is made of, in the order layers are stacked from bottom to top."""

    platform: str  # "linux/amd64"
    base: Base
    wheels: tuple[Wheel, ...]


@dataclass(frozen=True)
class Lock:
    """inputs: relative file name → sha256 of its bytes when the lock was made; request: sha256 of what was asked."""

    inputs: tuple[tuple[str, str], ...]
    request: str
    platforms: tuple[PlatformLock, ...]
    format: int = LOCK_FORMAT
    changes: tuple[str, ...] = field(default=(), compare=False)  # readable, one line each; set by resolving only
