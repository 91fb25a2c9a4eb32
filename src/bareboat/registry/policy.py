"""Which failure of a registry is worth another try, how long to wait for it, and when it is enough."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from bareboat.registry.base import RegistryError

MIB = 1 << 20
# What passes by itself: timeouts, too many requests, and what stands between us and the registry.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
# Whoever repeats these has the same afterwards; PATCH and the PUT that ends an upload go on where the upload is.
_REPEATABLE = frozenset({"GET", "HEAD", "POST"})


@dataclass(frozen=True)
class Policy:
    """Bounds of every request. Seconds and bytes.

    tries: of a request, and of a blob that does not get on; gain: bytes that are a step forward, or a registry could
    give a blob by single bytes; deadline: of a request with all its tries, bodies of blobs not counted; floor: bytes a
    second over `window` below which a connection is given up; chunk: of an upload that does not go in one PUT.
    """

    tries: int = 5
    backoff: float = 0.5
    longest: float = 30.0
    deadline: float = 180.0
    connect: float = 10.0
    read: float = 60.0
    floor: int = 1024
    window: float = 30.0
    chunk: int = 16 * MIB
    gain: int = MIB


def may_repeat(method: str, status: int) -> bool:
    """Whether a request that ended in this status, 0 for none at all, may be sent again as it was."""
    return method in _REPEATABLE and (status == 0 or passes(status))


def passes(status: int) -> bool:
    """Whether this status says nothing of the request itself."""
    return status in _PASSING


class Tries:
    """The tries of one piece of work; made when it begins."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._failed = policy, 0
        self._end = time.monotonic() + policy.deadline

    def progress(self, gained: int) -> None:
        """So many bytes were gained: if they are a step forward, what failed before counts no more."""
        self._end = time.monotonic() + self._policy.deadline
        if gained >= self._policy.gain:
            self._failed = 0

    def rest(self) -> None:
        """Something long was done, though in vain: the deadline begins again, what failed still counts."""
        self._end = time.monotonic() + self._policy.deadline

    def again(self, error: RegistryError, wait: float = 0.0) -> None:
        """Wait before another try, at least as long as was asked for; raises the error when there is none left."""
        self._failed += 1
        left = self.left
        if self._failed >= self._policy.tries or wait > left:
            raise error
        pause = min(self._policy.backoff * 2 ** (self._failed - 1), self._policy.longest)
        pause = max(pause * random.uniform(0.5, 1.5), wait * random.uniform(1.0, 1.1))
        if pause > left:
            raise error
        time.sleep(pause)

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._end - time.monotonic()
