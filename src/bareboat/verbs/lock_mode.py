"""How a lock is to be treated, and what its files are called; all that a run with an up-to-date lock needs of it."""

from __future__ import annotations

from bareboat.values import dataclass

LOCK_FILE = "bareboat.lock"
PYLOCK_FILE = "pylock.toml"


@dataclass(frozen=True)
class LockMode:
    """locked: refuse instead of changing. upgrade: True for everything, names for these packages alone.

    replace: packages of a base image that may be replaced. platforms: what the lock must be for at least; (): this
    machine's.
    """

    locked: bool = False
    upgrade: bool | tuple[str, ...] = False
    replace: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
