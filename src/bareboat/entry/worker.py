"""python -m bareboat.entry.worker: carries out this user's queued runs until there are none, then ends.

One at a time by a lock in the store. Started by `train` where none is at work; in a session of its own, so that it
outlives the log-out of who started it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bareboat.entry.log import Log

LOG, LOG_MOST = "worker.log", 1 << 20


def main() -> int:
    """0; at once where another is at work."""
    from bareboat.verbs.worker import IDLE, serve
    from bareboat.wiring import queue, work

    at_work = work(Log())
    collaborators = queue(at_work)
    _streams(collaborators.folder)
    return serve(at_work, collaborators, IDLE)


def _streams(folder: Path) -> None:
    """Standard error into the worker's log, begun anew when it is long."""
    from bareboat.queue.sqlite_file import prepare_folder

    prepare_folder(folder)
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.fstat(log).st_size > LOG_MOST:
        os.ftruncate(log, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir("/")


if __name__ == "__main__":
    sys.exit(main())
