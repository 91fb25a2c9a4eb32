"""What is done when a queued run is over, as --notify and --webhook asked: by a process that nobody waits for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from bareboat.host.background import Handed, start_handed
from bareboat.queue.base import Entry, Ledger
from bareboat.record.states import final
from bareboat.training.values import Watch

LOG = "notify.log"


def tell(entry: Entry, watch: Watch, ledger: Ledger, folder: Path, env: Mapping[str, str]) -> bool:
    """Start it, where anything was asked for; of a sweep once, when none of its runs is open any more. Whether it was
    started. entry: in its final state; folder: where its log goes. Raises OSError, QueueError.
    """
    if not watch.command and not watch.webhook:
        return False
    counts = ledger.counts(entry.submission)
    if sum(counts.values()) < 2:
        told = about(entry)
    elif not all(map(final, counts)):
        return False
    else:
        told = about_all(entry.submission, ledger.submission(entry.submission).name, counts)
    task = json.dumps({"command": watch.command, "webhook": watch.webhook, "about": told}).encode()
    start_handed(Handed((sys.executable, "-m", "bareboat.entry.notify"), env, task, folder / LOG))
    return True


def about(entry: Entry) -> dict[str, str]:
    """What is told of a run that is over."""
    return {"run": entry.run, "name": entry.name, "state": entry.state, "reason": entry.reason,
            "exit_code": "" if entry.exit_code is None else str(entry.exit_code)}


def about_all(id: str, name: str, counts: Mapping[str, int]) -> dict[str, str]:
    """The same of a sweep; its state is the worst of its runs'."""
    state = next((state for state in ("failed", "cancelled") if counts.get(state)), "succeeded")
    how = ", ".join(f"{counts[state]} {state}" for state in ("succeeded", "failed", "cancelled") if counts.get(state))
    return {"run": id, "name": name, "state": state, "reason": how, "exit_code": ""}


def variables(told: Mapping[str, str]) -> dict[str, str]:
    """The same as variables of the command."""
    return {f"BAREBOAT_{name.upper()}": value for name, value in told.items()} | {"HOME": os.path.expanduser("~")}
