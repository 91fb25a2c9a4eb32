"""What other schedulers know of their runs, written into the ledger: one question for all runs of each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from bareboat.errors import BareboatError
from bareboat.queue.base import Entry
from bareboat.record.states import final
from bareboat.training.values import Observation
from bareboat.values import TYPE_CHECKING, replace
from bareboat.verbs.submission import Queue, let_go, sent_before, unpacked

if TYPE_CHECKING:
    from bareboat.engine.scheduler import Scheduler


PAUSE = 0.5  # seconds between two looks while something is waited for
SELDOM = 10.0  # seconds between two questions to Slurm's controller, which all users of a cluster ask, after a while


def refresh(queue: Queue) -> tuple[str, ...]:
    """Ask the schedulers about runs that are not over, and write down what they say. Returns a line for each scheduler
    that could not be asked: its runs are as they were last seen, and what they are now is not known.
    """
    asked: dict[str, list[Entry]] = {}
    for entry in queue.ledger.entries(("pending", "running")):
        if entry.scheduler != "local":
            asked.setdefault(entry.scheduler, []).append(entry)
    problems: list[str] = []
    ended: dict[str, Entry] = {}  # by submission, the last
    for name, entries in asked.items():
        try:
            scheduler = queue.scheduler(name)
            entries = _all_sent(entries, scheduler, queue)
            told = scheduler.poll([entry.job for entry in entries])
        except BareboatError as error:
            problems.append(f"{name}: {error.what}; {len(entries)} of its runs are as they were last seen")
            continue
        moved = _noted(entries, told, queue)
        for entry in entries:
            seen = told.get(entry.job)
            if seen is None:
                continue
            again = ("resubmit", "1") in seen.details and not entry.wanted
            if entry.run in moved and final(seen.state) and not again:
                ended[entry.submission] = replace(entry, state=seen.state, reason=seen.reason, exit_code=seen.exit_code)
            if again:
                what = sent_before(entry.submission, queue)
                queue.ledger.jobs([(entry.run, scheduler.resume(what, queue.ledger.point(entry.run)))])
    for last in ended.values():
        _told(last, queue)
    if ended:
        try:
            let_go(queue.folder, queue.ledger, ended)
        except BareboatError as error:
            problems.append(f"{error.code}: {error.what} {error.where}")
    return tuple(problems)


def until_next(entry: Entry, waited: float) -> float:
    """Seconds until the next question about a run that somebody has waited for."""
    return min(waited / 20, SELDOM) if entry.scheduler == "slurm" else 0.0


def news(entry: Entry, queue: Queue) -> bool:
    """Whether the node of a run has written down that it is over or goes on elsewhere, which costs Slurm nothing."""
    if entry.scheduler != "slurm":
        return False
    from bareboat.engine.slurm import notes

    note = notes.read(queue.folder / "submissions" / entry.submission, entry.run)
    return note is not None and note.state != "running"


def _told(entry: Entry, queue: Queue) -> None:
    """As the local queue's worker does it; whoever asks first is who tells."""
    import os

    from bareboat.record.secrets import without_secrets
    from bareboat.verbs.over import tell

    try:
        watch = unpacked(queue.ledger.template(entry.submission), f"submission {entry.submission}").training.watch
        tell(entry, watch, queue.ledger, queue.folder, without_secrets(os.environ))
    except (BareboatError, OSError):
        pass  # its end is written down; that nobody is told of it is not worth an error of whoever looked


def stop_afar(entries: list[Entry], queue: Queue) -> None:
    """Have the end of runs at their scheduler; what becomes of each is written down when it says so. Raises EngineError
    where it cannot be told: then nothing has changed.
    """
    for name in sorted({entry.scheduler for entry in entries}):
        own = [entry for entry in entries if entry.scheduler == name]
        queue.scheduler(name).stop([entry.job for entry in own if entry.job])
        queue.ledger.moves([(entry.run, entry.state, entry.attempt) for entry in own if entry.job], wanted="cancelled")
        unsent = [entry for entry in own if not entry.job]
        for entry in unsent:
            from bareboat.engine.slurm.notes import mark

            mark(queue.folder / "submissions" / entry.submission, entry.run)  # its job may have come through
        queue.ledger.moves([(entry.run, entry.state, entry.attempt) for entry in unsent], wanted="cancelled",
                           state="cancelled", reason="stopped", ended=time.time())
    refresh(queue)


def _all_sent(entries: list[Entry], scheduler: Scheduler, queue: Queue) -> list[Entry]:
    """The entries with their jobs. A submission that was not answered is sent again, which finds what came through."""
    jobs = {entry.run: entry.job for entry in entries}
    for id in sorted({entry.submission for entry in entries if not entry.job and not entry.wanted}):
        what = sent_before(id, queue)
        sent = dict(zip((point.run for point in what.points), scheduler.submit(what), strict=True))
        queue.ledger.jobs(sent.items())
        jobs |= sent
    return [replace(entry, job=jobs[entry.run]) for entry in entries if jobs[entry.run]]


def _noted(entries: Iterable[Entry], told: Mapping[str, Observation], queue: Queue) -> set[str]:
    """Write down what was seen of runs, those of which the same is seen in one step: thousands of a sweep are. Returns
    the runs that changed by that; not those that are something else by now.
    """
    now = time.time()
    groups: dict[tuple[tuple[str, object], ...], list[tuple[str, str, int]]] = {}
    for entry in entries:
        seen = told.get(entry.job)
        if seen is not None and (changes := _changes(entry, seen, now)):
            groups.setdefault(changes, []).append((entry.run, entry.state, entry.attempt))
    return {run for changes, found in groups.items() for run in queue.ledger.moves(found, **dict(changes))}


def _changes(entry: Entry, seen: Observation, now: float) -> tuple[tuple[str, object], ...]:
    attempt = max(seen.attempt, entry.attempt)
    changes: list[tuple[str, object]] = [(name, value) for name, value in (
        ("state", seen.state), ("reason", seen.reason), ("attempt", attempt), ("where", seen.where),
        ("exit_code", seen.exit_code)) if getattr(entry, name) != value]
    if changes and seen.state == "running" and entry.state != "running":
        changes.append(("started", now))
    if changes and final(seen.state):
        changes.append(("ended", now))
    return tuple(changes)
