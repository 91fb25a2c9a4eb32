"""Runs that another scheduler has: what it knows of them, and their nodes have written down, into the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bareboat.errors import BareboatError
from bareboat.queue.base import Entry
from bareboat.record.states import final
from bareboat.store import Store
from bareboat.training.values import Observation
from bareboat.values import TYPE_CHECKING
from bareboat.verbs.submission import Queue, submission_of, unpacked

if TYPE_CHECKING:
    from bareboat.engine.scheduler import Scheduler

OPEN = ("pending", "running")
PAUSE = 2.0  # seconds between two questions while something is waited for


def caught_up(queue: Queue, submission: str = "") -> tuple[str, ...]:
    """Ask each scheduler once for all runs that are not over, and write down what it says. What could not be found out
    stays as it was. Returns what is wrong, in words.
    """
    entries = [e for e in queue.ledger.entries(OPEN, submission) if e.scheduler != "local"]
    problems = []
    for name in sorted({entry.scheduler for entry in entries}):
        own = [entry for entry in entries if entry.scheduler == name]
        try:
            problems += _caught_up(own, queue.scheduler(name), queue)
        except BareboatError as error:
            problems.append(f"{name}: {error.what}; its runs are shown as they were last seen")
    return tuple(problems)


def _caught_up(entries: list[Entry], scheduler: Scheduler, queue: Queue) -> list[str]:
    problems = []
    for id in sorted({entry.submission for entry in entries if not entry.job and not entry.wanted}):
        problems += _found_again(id, scheduler, queue)
    seen = scheduler.poll([entry.job for entry in entries if entry.job])
    again: list[Entry] = []
    hurried = []
    for entry in entries:
        now = seen.get(entry.job) if entry.job else None
        if now is None:
            continue
        _write(entry, now, queue)
        details = dict(now.details)
        if "resubmit" in details and not entry.wanted:
            again.append(entry)
        if "hurry" in details:
            hurried.append(entry.job)
    for entry in again:
        _sent_again(entry, scheduler, queue)
    hurry = getattr(scheduler, "hurry", None)
    if hurried and hurry is not None:
        hurry(hurried)
    return problems


def _write(entry: Entry, now: Observation, queue: Queue) -> None:
    """The entry as it was observed. An attempt that is older than the one known is an answer that came late."""
    if now.attempt < entry.attempt:
        return
    changes: dict[str, object] = {"state": now.state, "reason": now.reason, "attempt": now.attempt,
                                  "where": now.where, "exit_code": now.exit_code}
    if final(now.state):
        changes["ended"] = time.time()
    elif now.state == "running" and (entry.state != "running" or entry.attempt != now.attempt):
        changes["started"] = time.time()
    same = all(getattr(entry, name) == value for name, value in changes.items() if name not in ("ended", "started"))
    if not same:
        queue.ledger.move(entry.run, (entry.state, entry.attempt), **changes)


def _found_again(id: str, scheduler: Scheduler, queue: Queue) -> list[str]:
    """The jobs of a submission whose sending was not answered: it is sent again, which finds those that came through.
    """
    added = queue.ledger.submission(id)
    template = unpacked(added.template, f"submission {id}")
    jobs = scheduler.submit(submission_of(id, template, added.points, added.name, queue.folder))
    queue.ledger.jobs(zip((point.run for point in added.points), jobs, strict=True))
    return []


def _sent_again(entry: Entry, scheduler: Scheduler, queue: Queue) -> None:
    """Another attempt that the scheduler will not start by itself."""
    added = queue.ledger.submission(entry.submission)
    template = unpacked(added.template, f"submission {added.id}")
    what = submission_of(added.id, template, added.points, added.name, queue.folder)
    queue.ledger.jobs([(entry.run, scheduler.resume(what, queue.ledger.point(entry.run)))])


def log_of(store: Store) -> Callable[[str, bool], Iterator[bytes]]:
    """The log of a run, which its node writes on the file system that is shared."""
    from bareboat.store import runlog

    def read(run: str, follow: bool) -> Iterator[bytes]:
        from bareboat.verbs.lookup import living

        folder = store.runs.path(run)
        pieces = runlog.follow(folder, living(store, run)) if follow else runlog.pieces(folder)
        return (piece.data for piece in pieces)

    return read
