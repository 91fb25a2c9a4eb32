"""What a container uses while it runs: a curve of bounded length, and the sums of it.

A look costs what /proc or an engine takes to answer, some milliseconds or, with many processes, much more; the next one
is at least a thousand times as far away, so that the program never feels it. When the curve is full, two points become
one, and looks are half as frequent from then on. GPUs are asked by a process of their own (entry/gpu_use.py).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from bareboat.engine.base import Live
from bareboat.errors import BareboatError
from bareboat.host.loop import Loop
from bareboat.values import dataclass
from bareboat.workload import Usage

POINTS = 240  # a day is a point every six to twelve minutes
FIRST = 1.0  # seconds from the start to the first look, and between two at first
SHARE = 250  # of the time may go into looking: one in so many


@dataclass(frozen=True)
class Look:
    """A point. seconds: from the start to its end; cpu_seconds, read, written: since the point before; memory,
    gpu_memory: bytes, the most in it; gpu: percent of the GPUs, the mean; both None where nothing is known.
    """

    seconds: float
    cpu_seconds: float
    memory: int
    read: int
    written: int
    gpu: float | None = None
    gpu_memory: int | None = None


class Meter:
    """began: on time.monotonic; granted, library: as GpuWatch has them."""

    def __init__(self, began: float, granted: str = "", library: str = "",
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._began, self._granted, self._library, self._clock = began, granted, library, clock
        self.looks: list[Look] = []
        self._every, self._last = FIRST, Usage(0.0, 0, 0)
        self._loop: Loop | None = None
        self._live: Live | None = None
        self._reader, self._hear, self._heard = 0, -1, b""
        self._gpu: tuple[float | None, int | None] = (None, None)

    def start(self, loop: Loop, live: Live) -> None:
        """Look from now on."""
        self._loop, self._live = loop, live
        if self._granted:
            self._ask_gpus()
        self._look()

    def stop(self) -> None:
        """It ended."""
        self._loop = self._live = None
        if self._reader:
            try:
                os.kill(self._reader, signal.SIGKILL)  # and nobody waits: a driver in trouble may keep it
                os.waitpid(self._reader, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                pass
            os.close(self._hear)
            self._reader, self._hear = 0, -1

    @property
    def gpu(self) -> float | None:
        """Percent of its GPUs in use, as told last, whenever the last look was; None where it is not known."""
        return self._gpus()[0]

    def _look(self) -> None:
        loop, live = self._loop, self._live
        if loop is None or live is None:
            return
        before = self._clock()
        try:
            self.add(before, live.usage())
        except (BareboatError, OSError, ValueError):
            pass  # it ends at this moment, or its engine does not answer: the next look may know
        cost = self._clock() - before
        loop.after(max(self._every, SHARE * cost), self._look)

    def add(self, now: float, use: Usage) -> None:
        """A look at what is used in all so far. What went back, since processes ended, counts as nothing."""
        last, (gpu, gpu_memory) = self._last, self._gpus()
        self.looks.append(Look(now - self._began, max(use.cpu_seconds - last.cpu_seconds, 0.0), use.memory,
                               max(use.read - last.read, 0), max(use.written - last.written, 0), gpu, gpu_memory))
        self._last = use
        if len(self.looks) >= POINTS:
            self._every *= 2
            self.looks = halved(self.looks)

    def _ask_gpus(self) -> None:
        from bareboat.host.background import start_heard

        words = (sys.executable, "-m", "bareboat.entry.gpu_use", self._granted, self._library)
        try:
            self._reader, self._hear = start_heard(words, os.environ)
        except OSError:
            pass  # nothing is known of them

    def _gpus(self) -> tuple[float | None, int | None]:
        """The last line of the reader's, which is kept while there is no newer one; never waits."""
        if self._hear < 0:
            return None, None
        try:
            while data := os.read(self._hear, 1 << 16):
                self._heard = (self._heard + data)[-200:]
            self._gpu = None, None  # the reader has ended
            return self._gpu
        except BlockingIOError:
            pass
        *_, line, rest = [b"", *self._heard.split(b"\n")]
        if line:
            self._heard = rest
            try:
                percent, memory = line.split()
                self._gpu = float(percent), int(memory)
            except ValueError:
                self._gpu = None, None  # it said that it cannot tell
        return self._gpu


def halved(looks: list[Look]) -> list[Look]:
    """Each two as one; the last of an odd number stays as it is."""
    return [_both(*looks[at:at + 2]) for at in range(0, len(looks), 2)]


def _both(first: Look, second: Look | None = None) -> Look:
    if second is None:
        return first
    gpus = [look.gpu for look in (first, second) if look.gpu is not None]
    memories = [look.gpu_memory for look in (first, second) if look.gpu_memory is not None]
    return Look(second.seconds, first.cpu_seconds + second.cpu_seconds, max(first.memory, second.memory),
                first.read + second.read, first.written + second.written,
                sum(gpus) / len(gpus) if gpus else None, max(memories, default=None))
