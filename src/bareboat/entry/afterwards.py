"""python -m bareboat.entry.afterwards PLAN_BLOB: what no run waits for, done at low priority after one.

Compiles what later starts import, makes trees that were just made survive a power cut, and removes the archives
they were unpacked from.
"""

from __future__ import annotations

import os
import sys


def main(plan_blob: str) -> int:
    """0 when nothing is owed any more. Any number may be started: one for a plan works, the others end at once.

    A store that is removed meanwhile ends it quietly.
    """
    from bareboat.builder.archives import drop_archives
    from bareboat.builder.bytecode import compile_missing
    from bareboat.errors import BareboatError
    from bareboat.image.plan import Plan
    from bareboat.record.codec import decode_bytes
    from bareboat.verbs.collaborators import Quiet
    from bareboat.wiring import work

    os.nice(10)
    if not os.path.exists(os.environ.get("BAREBOAT_HOME", "") + "/format"):
        return 0  # removed since, and not ours to make again
    try:
        at_work = work(Quiet())
        with at_work.store.turn(f"afterwards {plan_blob}", wait=False) as mine:
            if not mine:
                return 0
            path = at_work.store.blob(plan_blob)
            plan = decode_bytes(Plan, path.read_bytes(), "plan") if path is not None else None
            if plan is not None:
                compile_missing(at_work.store, at_work.engine, plan)
            at_work.store.settle()
            if plan is not None and not at_work.settings.keep_archives:
                drop_archives(at_work.store, plan)
    except (BareboatError, OSError):
        return 1  # a later run tries again; nobody is there to be told
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
