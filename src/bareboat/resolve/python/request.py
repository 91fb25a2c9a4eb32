"""What is asked of the Python resolver and what it answers, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.lock import Wheel
from bareboat.project.values import Dependencies
from bareboat.resolve.python.target import Target

if TYPE_CHECKING:
    from bareboat.resolve.python.installed import OnBase

INDEX_AGE = 3600  # seconds


@dataclass(frozen=True)
class Request:
    """One resolution. root: the project folder; every file in dependencies is relative to it.

    previous: the text of the pylock.toml that stands, or "": its versions are kept wherever they still fit.
    built: the wheels of the standing lock that were built, so that they are not built again.
    upgrade: True for everything, names for these alone. offline: never ask the network.
    index_age: with a standing lock the index is asked again for a new package when what is cached of it
    is older than this many seconds.
    env: the caller's environment (UV_* settings, proxies, HOME); packages named in it are uv's business.
    scratch: an existing private directory for temporary files. on: a base that brings packages, which are not
    locked again.
    """

    root: Path
    dependencies: Dependencies
    target: Target
    scratch: Path
    previous: str = ""
    built: tuple[Wheel, ...] = ()
    upgrade: bool | tuple[str, ...] = False
    offline: bool = False
    index_age: float = INDEX_AGE
    env: Mapping[str, str] = field(default_factory=dict)
    on: OnBase | None = None


@dataclass(frozen=True)
class LockedPython:
    """The answer: wheels in name order, and the text of pylock.toml (PEP 751) that says the same."""

    wheels: tuple[Wheel, ...]
    pylock_text: str
