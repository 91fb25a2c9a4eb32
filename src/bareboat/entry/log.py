"""What the verbs say, where nobody watches: lines with the time on standard error, which is a log."""

from __future__ import annotations

import os
import time

from bareboat.record.values import timestamp


class Log:
    """verbs.collaborators.Tell of the processes beside runs."""

    def say(self, text: str) -> None:
        """A line; on a full disk nobody can be told, and the program goes on."""
        try:
            os.write(2, f"{timestamp(time.time())} {text}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            pass

    detail = say

    def progress(self, what: str, done: int, total: int) -> None:
        """Nobody watches."""
