"""Signals that a job gets of Slurm, as something to look at between two turns of a loop."""

from __future__ import annotations

import os
import signal


class Told:
    """Signals of Slurm's, as bytes on a pipe; none of them ends this process."""

    def __init__(self) -> None:
        self.read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._came)

    def _came(self, number: int, _frame: object) -> None:
        try:
            os.write(self._write, bytes([number]))
        except OSError:
            pass  # full: there is one in it

    def taken(self) -> bytes:
        """Those that came since."""
        try:
            return os.read(self.read, 256)
        except BlockingIOError:
            return b""
