"""Whether a container uses its GPUs, asked by a process of its own: a driver in trouble answers never, and a supervisor
that waited for it could not even be told to stop. NVML's memory stays out of the supervisor too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

IDLE = 3  # exit code of entry/gpu_busy.py; every other means that it was busy, or is not known


class GpuWatch:
    """The answer at each call is about the time between the two calls before; busy until one is there.

    granted: "device=0,1"; library: NVML's path, "" for the loader's; pids: of the container now.
    """

    def __init__(self, granted: str, library: str, pids: Callable[[], list[int]]) -> None:
        self._granted, self._library, self._pids = granted, library, pids
        self._child = 0
        self._since = time.time()
        self._busy = True

    def __call__(self) -> bool:
        """Whether it was busy; never waits."""
        if not self._granted:
            return False
        if not self._ended():
            return True  # an answer that does not come is none that says idle
        busy = self._busy
        self._start()
        return busy

    def _ended(self) -> bool:
        if not self._child:
            return True
        done, status = os.waitpid(self._child, os.WNOHANG)
        if done:
            self._child = 0
            self._busy = os.waitstatus_to_exitcode(status) != IDLE
        return bool(done)

    def _start(self) -> None:
        from bareboat.host.background import start_child

        words = (self._granted, self._library, repr(self._since), *map(str, self._pids()))
        self._since = time.time()
        try:
            self._child = start_child((sys.executable, "-m", "bareboat.entry.gpu_busy", *words), os.environ)
        except OSError:
            self._busy = True
