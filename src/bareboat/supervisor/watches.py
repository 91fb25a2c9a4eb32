"""What a supervisor looks at from time to time: whether the container is well, and whether it does anything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from bareboat.engine.base import Live
from bareboat.host.loop import Loop
from bareboat.supervisor.rules import Health
from bareboat.values import Protocol

QUIET = 0.02  # CPU seconds a second: less is idle
_LOOK = 0.1  # seconds between two looks at a process that no descriptor tells of
LOOKS = 10  # at a container that may be idle, in the time after which it is stopped


class Keeps(Protocol):
    """What a watch needs of the keeper."""

    paused: bool

    def end(self, why: str) -> None: ...
    def note(self, text: str, /) -> None: ...


class Checkup:
    """Runs the health command at its interval; one at a time. probe ends it after its timeout by itself, and orderly:
    what dies in a pid namespace must be waited for, or the namespace never ends.
    """

    def __init__(self, health: Health, probe: Callable[[], int], keeper: Keeps) -> None:
        self._health, self._probe, self._keeper = health, probe, keeper
        self.state = "starting"
        self._failures = 0
        self._pid, self._pidfd = 0, -1
        self._loop: Loop | None = None
        self._began = 0.0

    def start(self, loop: Loop) -> None:
        """A container begins."""
        self._loop, self.state, self._failures = loop, "starting", 0
        self._began = time.monotonic()
        loop.after(self._health.interval, self._check)

    def stop(self) -> None:
        """It ended."""
        if self._pid:
            self._end()  # its program died with the container
        self._loop = None

    def _check(self) -> None:
        loop = self._loop
        if loop is None:
            return
        if self._keeper.paused:
            loop.after(self._health.interval, self._check)
            return
        self._pid = self._probe()
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(self._pid)
            loop.add(self._pidfd, self._ended)
        else:
            self._look(self._pid)

    def _look(self, pid: int) -> None:
        """Whether it ended, asked again and again; its number is its own until it was waited for."""
        if self._pid != pid or self._loop is None:
            return
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            self._pid = 0
            self._told(status == 0)
        else:
            self._loop.after(_LOOK, lambda: self._look(pid))

    def _ended(self) -> bool:
        if self._pid:
            self._told(self._end() == 0)
        return False

    def _end(self) -> int:
        if self._pidfd >= 0:
            if self._loop is not None:
                self._loop.drop(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return status

    def _told(self, well: bool) -> None:
        loop, health = self._loop, self._health
        if loop is None:
            return
        before = self.state
        if well:
            self.state, self._failures = "healthy", 0
        elif time.monotonic() - self._began >= health.start or before == "healthy":
            self._failures += 1
            if self._failures >= health.retries:
                self.state = "unhealthy"
        if self.state != before:
            self._keeper.note(f"bareboat: health: {self.state}")
        loop.after(health.interval, self._check)


class Idle:
    """Stops a container that does nothing for so long: no CPU time to speak of, nothing written, nothing typed, nobody
    entering. more: other signs of life (a GPU's), asked at each look.
    """

    def __init__(self, seconds: float, keeper: Keeps, more: Callable[[], bool] = lambda: False) -> None:
        self._seconds, self._keeper, self._more = seconds, keeper, more
        self._loop: Loop | None = None
        self._live: Live | None = None
        self._active = self._looked = 0.0
        self._used = 0.0
        self._warned = False

    def start(self, loop: Loop, live: Live) -> None:
        """A container begins."""
        self._loop, self._live = loop, live
        self._active = self._looked = time.monotonic()
        self._used = 0.0
        loop.after(self._seconds / LOOKS, self._look)

    def active(self) -> None:
        """Something happened."""
        self._active, self._warned = time.monotonic(), False

    def _look(self) -> None:
        loop, live = self._loop, self._live
        if loop is None or live is None:
            return
        now, used = time.monotonic(), live.usage().cpu_seconds
        if (used - self._used) / max(now - self._looked, 1e-3) > QUIET or self._more():
            self.active()
        self._used, self._looked = used, now
        quiet = now - self._active
        if quiet >= self._seconds and not self._keeper.paused:
            self._keeper.end("idle")
            return
        if quiet >= self._seconds * 0.8 and not self._warned:
            self._warned = True
            self._keeper.note(f"bareboat: idle for {quiet:.0f} s; this container is stopped after {self._seconds:.0f} s"
                              " (--idle-stop)")
        loop.after(self._seconds / LOOKS, self._look)
