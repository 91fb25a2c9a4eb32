"""Python 2.7."""

from __future__ import annotations

from bareboat.errors import ResolveError
from bareboat.resolve.python.request import LockedPython, Request


def lock_python27(request: Request) -> LockedPython:
    """Not yet."""
    raise ResolveError("python.27", "Python 2.7 cannot be resolved yet")
