"""What is done when a queued run is over, as --notify and --webhook asked: by a process that nobody waits for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from bareboat.host.background import Handed, start_handed
from bareboat.queue.base import Entry
from bareboat.training.values import Watch

LOG = "notify.log"


def tell(entry: Entry, watch: Watch, folder: Path, env: Mapping[str, str]) -> None:
    """Start it, where anything was asked for. entry: in its final state; folder: where its log goes. Raises OSError."""
    if not watch.command and not watch.webhook:
        return
    task = json.dumps({"command": watch.command, "webhook": watch.webhook, "about": about(entry)}).encode()
    start_handed(Handed((sys.executable, "-m", "bareboat.entry.notify"), env, task, folder / LOG))


def about(entry: Entry) -> dict[str, str]:
    """What is told of a run that is over."""
    return {"run": entry.run, "name": entry.name, "state": entry.state, "reason": entry.reason,
            "exit_code": "" if entry.exit_code is None else str(entry.exit_code)}


def variables(told: Mapping[str, str]) -> dict[str, str]:
    """The same as variables of the command."""
    return {f"BAREBOAT_{name.upper()}": value for name, value in told.items()} | {"HOME": os.path.expanduser("~")}
