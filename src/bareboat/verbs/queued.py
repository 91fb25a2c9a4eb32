"""Queued runs by name: stop, resume, wait and rm of what the ledger knows, whatever scheduler has it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bareboat.errors import BareboatError, UsageError
from bareboat.queue.base import Entry, Ledger
from bareboat.queue.moves import again, cancel, found
from bareboat.queue.sqlite import SqliteLedger
from bareboat.record.states import final
from bareboat.record.values import RunRecord
from bareboat.store import Store
from bareboat.values import TYPE_CHECKING, replace
from bareboat.verbs.submission import Queue, Template, pinned, record_of, sent_before, unpacked

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work

LOOK, SELDOM = 0.02, 0.25  # seconds between two looks at a run that is waited for, at first and after a while


@contextmanager
def ledger_of(store: Store) -> Iterator[SqliteLedger | None]:
    """The ledger of a store; None where nothing was ever queued, which costs nothing to find out."""
    ledger = SqliteLedger(store.queue)
    if not ledger.exists:
        yield None
        return
    try:
        yield ledger
    finally:
        ledger.close()


def entry_of(store: Store, text: str) -> Entry | None:
    """The queued run that a name, an id or the beginning of one means; None where none does."""
    with ledger_of(store) as ledger:
        entry = None if ledger is None else found(ledger, text)
        return entry if entry is None else _noted(store, entry)


def _noted(store: Store, entry: Entry) -> Entry:
    """The entry with what its node has written down since, where it is with a scheduler that nobody asks here."""
    if entry.scheduler == "slurm" and not final(entry.state):
        from bareboat.verbs.nodes import noted

        return noted(store, entry)
    return entry


def meant(ledger: Ledger, text: str) -> list[Entry]:
    """The runs that a word means: one, or all of a sweep's. [] where there is none."""
    one = found(ledger, text)
    if one is not None:
        return [one]
    id = ledger.called(text)
    return ledger.entries(submission=id) if id else []


def stop(text: str, queue: Queue, wait: bool = True) -> bool:
    """Cancel a run, or every run of a sweep: what waits never starts, what runs is interrupted, with its grace, and
    waited for. False when no queued run is meant. Idempotent.
    """
    ledger = queue.ledger
    entries = meant(ledger, text)
    if not entries:
        return False
    going = [entry for entry in entries if not final(entry.state)]
    if any(entry.scheduler != "local" for entry in going):
        from bareboat.verbs.polling import stop_afar

        stop_afar(going, queue)  # all runs of a submission are with one scheduler
    else:
        many = len(going) > 1
        if many:
            ledger.cancel(going[0].submission, "stopped", time.time())
        for entry in [] if many else going:
            cancel(ledger, entry.run, time.time())
        if going:
            queue.wake()
    for entry in going:
        if wait:
            until_over(entry.run, queue)
    _let_go({entry.submission for entry in entries}, queue)
    return True


def tidied(work: Work) -> None:
    """What was kept apart for queued runs that are over goes, wherever their end or their sender was killed."""
    from bareboat.queue import withheld
    from bareboat.verbs.submission import let_go

    folder = work.store.queue
    if not (folder / withheld.FOLDER).exists():
        return
    ledger = SqliteLedger(folder)
    try:
        let_go(folder, ledger)
    except BareboatError as error:
        work.tell.say(f"what queued runs withhold stays for now: {error.what}")
    finally:
        ledger.close()


def _let_go(ids: set[str], queue: Queue) -> None:
    """What was kept apart for runs that waited: no worker sees their end."""
    from bareboat.verbs.submission import let_go

    try:
        let_go(queue.folder, queue.ledger, ids)
    except BareboatError:
        pass  # the next worker says what is wrong, and that the runs are stopped is true


def resume(text: str, queue: Queue, failed: bool = False, given: Mapping[str, str] = os.environ) -> list[Entry]:
    """One more attempt of a run that is over, or of every run of a sweep that failed or was cancelled: it goes on from
    its newest checkpoint, with what was submitted. failed: of those that failed alone; given: variables, for those
    that were withheld and went with the end of the last run. Raises QueueError "queue.unknown", "queue.name-taken",
    UsageError "resume.going", "resume.done", "resume.none-failed", "resume.withheld".
    """
    ledger = queue.ledger
    entries = meant(ledger, text)
    if not entries:
        raise ledger_unknown(text)
    over = [e for e in entries if e.state == "failed" or (not failed and (
        e.state == "cancelled" or (len(entries) == 1 and e.state == "succeeded")))]
    if not over and failed:
        raise UsageError("resume.none-failed", f"no run of {text} has failed", hint=f"bareboat queue {text}")
    if not over:
        going = next((e for e in entries if not final(e.state)), None)
        if going is not None:
            raise UsageError("resume.going", f"{text} is {going.state} already", hint=f"bareboat logs -f {text}")
        raise UsageError("resume.done", f"every run of {text} has succeeded",
                         hint="name one of its runs to start it again")
    for entry in over:
        other = found(ledger, entry.name) if entry.name else None
        if other is not None and other.run != entry.run and not final(other.state):
            raise UsageError("resume.name", f"the name {entry.name!r} is another run's by now ({other.run[:8]})",
                             hint=f"stop that one first: bareboat stop {entry.name}")
    with _withheld_again({entry.submission for entry in over}, queue, given):
        done = again(ledger, over)
    _send_again(done, queue)
    return done


@contextmanager
def _withheld_again(ids: set[str], queue: Queue, given: Mapping[str, str]) -> Iterator[None]:
    """Keep again what was withheld of submissions that are over. Raises UsageError "resume.withheld"."""
    names = {id: found for id in ids if (found := unpacked(queue.ledger.template(id), f"submission {id}").withheld)}
    if not names:
        yield
        return
    from bareboat.queue import withheld
    from bareboat.record.causes import HERE

    with withheld.sending(queue.folder):
        for id, wanted in names.items():
            if withheld.get(queue.folder, id) is not None:
                continue
            missing = [name for name in wanted if name not in given and name not in HERE]
            if missing:
                raise UsageError("resume.withheld", f"{', '.join(missing)}: what looks like a secret was kept until "
                                 "the end of the last run, and is not set here",
                                 hint=f"read -rs {missing[0]} && export {missing[0]}, then resume again")
            withheld.put(queue.folder, id, {name: given[name] for name in wanted if name in given})
        yield


def _send_again(entries: list[Entry], queue: Queue) -> None:
    if any(entry.scheduler == "local" for entry in entries):
        queue.wake()
    away = [entry for entry in entries if entry.scheduler != "local"]
    for id in dict.fromkeys(entry.submission for entry in away):
        what = sent_before(id, queue)  # of thousands of runs once
        points = {point.run: point for point in what.points}
        scheduler = queue.scheduler(what.training.scheduler)
        for entry in away:
            if entry.submission == id:
                queue.ledger.jobs([(entry.run, scheduler.resume(what, points[entry.run]))])


def until_over(run: str, queue: Queue) -> Entry | None:
    """Wait for the end of a run; None when it was taken off the list meanwhile. A worker that died is started again."""
    began = woken = due = time.monotonic()
    while True:
        entry = found(queue.ledger, run)
        if entry is None or final(entry.state):
            return entry
        if entry.scheduler != "local":
            from bareboat.verbs.polling import PAUSE, news, refresh, until_next

            if time.monotonic() >= due or news(entry, queue):
                refresh(queue)
                due = time.monotonic() + until_next(entry, time.monotonic() - began)
            time.sleep(PAUSE)
            continue
        if time.monotonic() - woken > 5.0:
            queue.wake()
            woken = time.monotonic()
        # looks take of the processor, which the program that is waited for may need
        time.sleep(min(max(LOOK, (time.monotonic() - began) / 50), SELDOM))


def wait(text: str, queue: Queue) -> int | None:
    """Wait for the end of a run or a sweep: its exit code, of a sweep the first that is not 0; None where no queued run
    is meant.
    """
    entries = meant(queue.ledger, text)
    if not entries:
        return None
    code = 0
    for entry in entries:
        ended = until_over(entry.run, queue)
        if ended is not None and code == 0:
            code = exit_code(ended)
    return code


def exit_code(entry: Entry) -> int:
    """Of a run that is over, as Docker counts: 125 where its program never ended by itself."""
    return entry.exit_code if entry.exit_code is not None else 0 if entry.state == "succeeded" else 125


def remove(text: str, queue: Queue, store: Store, *, force: bool = False) -> bool:
    """Take runs off the list; their records, logs and results stay. False when no queued run is meant. Raises
    UsageError "queue.going" for one that is not over, unless forced: then it is stopped.
    """
    entries = meant(queue.ledger, text)
    if not entries:
        return False
    going = [entry for entry in entries if not final(entry.state)]
    if going:
        if not force:
            raise UsageError("queue.going", f"{text} is {going[0].state}", hint=f"bareboat stop {text} first, or rm -f")
        stop(text, queue)
    queue.ledger.forget([entry.run for entry in entries])
    _let_go({entry.submission for entry in entries}, queue)
    for id in {entry.submission for entry in entries}:
        try:
            queue.ledger.template(id)
        except BareboatError:
            pinned(store, id)
            folder = queue.folder / "submissions" / id
            if folder.is_dir():
                from bareboat.host.files import remove_tree

                remove_tree(folder)
    return True


def ledger_unknown(text: str) -> BareboatError:
    """That a word names no queued run."""
    from bareboat.queue.sqlite import unknown

    return unknown(text, [])


def overlaid(record: RunRecord, entry: Entry) -> RunRecord:
    """A record as the ledger has it, for a run that is not over there: between two attempts, or about to start."""
    if final(entry.state):
        return record
    return replace(record, state=entry.state, reason=entry.reason, exit_code=None, ended="")


def record_for(ledger: Ledger, entry: Entry) -> RunRecord:
    """The account of a run that has not been started. Raises QueueError."""
    template: Template = unpacked(ledger.template(entry.submission), f"submission {entry.submission}")
    return record_of(template, ledger.point(entry.run), entry)


def alive(store: Store, run: str, ledger: Ledger) -> bool:
    """Whether something of a run may still come: it is not over, or its process is just ending."""
    entry = found(ledger, run)
    return (entry is not None and not final(_noted(store, entry).state)) or store.runs.is_alive(run)

