"""What other schedulers know of their runs, written into the ledger: one question for all runs of each."""

from __future__ import annotations

import time

from bareboat.errors import BareboatError
from bareboat.queue.base import Entry
from bareboat.record.states import final
from bareboat.training.values import Observation
from bareboat.verbs.submission import Queue


def refresh(queue: Queue) -> tuple[str, ...]:
    """Ask the schedulers about runs that are not over, and write down what they say. Returns a line for each scheduler
    that could not be asked: its runs are as they were last seen, and what they are now is not known.
    """
    asked: dict[str, list[Entry]] = {}
    for entry in queue.ledger.entries(("pending", "running")):
        if entry.scheduler != "local" and entry.job:
            asked.setdefault(entry.scheduler, []).append(entry)
    problems = []
    for name, entries in asked.items():
        try:
            told = queue.scheduler(name).poll([entry.job for entry in entries])
        except BareboatError as error:
            problems.append(f"{name}: {error.what}; {len(entries)} of its runs are as they were last seen")
            continue
        for entry in entries:
            seen = told.get(entry.job)
            if seen is not None:
                note(entry, seen, queue)
    return tuple(problems)


def note(entry: Entry, seen: Observation, queue: Queue) -> bool:
    """Write down what was seen of a run; False where nothing changed, or it is something else by now."""
    attempt = max(seen.attempt, entry.attempt)
    changes: dict[str, object] = {}
    for name, value in (("state", seen.state), ("reason", seen.reason), ("attempt", attempt), ("where", seen.where),
                        ("exit_code", seen.exit_code)):
        if getattr(entry, name) != value:
            changes[name] = value
    if not changes:
        return False
    now = time.time()
    if seen.state == "running" and entry.state != "running":
        changes["started"] = now
    if final(seen.state):
        changes["ended"] = now
    return queue.ledger.move(entry.run, (entry.state, entry.attempt), **changes)
