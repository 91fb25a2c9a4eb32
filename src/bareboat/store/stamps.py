"""When something was last used: the modification time of its file, written at most once an hour."""

from __future__ import annotations

import os
import time

STAMP_EVERY = 3600.0  # seconds; so a warm run writes nothing, and gc's grace must not be shorter


def stamp(path: str, modified: float) -> None:
    """Note that a file is in use now, when the last note is old or from the future. Never fails."""
    if abs(time.time() - modified) > STAMP_EVERY:
        try:
            os.utime(path)
        except OSError:
            pass  # a read-only store has no gc either
