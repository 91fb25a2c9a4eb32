"""queue --rebuild: the ledger made anew where its file is damaged: of what is readable in it, of what was submitted and
of the run records. What none of them knows waits again, held until its user has looked.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from bareboat.errors import BareboatError, QueueError
from bareboat.queue import door
from bareboat.queue.base import Added, Entry, Ledger
from bareboat.queue.sqlite import FILE, SqliteLedger
from bareboat.queue.withheld import sending
from bareboat.record.states import final
from bareboat.record.values import RunRecord
from bareboat.values import dataclass
from bareboat.verbs.collaborators import Work
from bareboat.verbs.submission import KIND, Queue, added_of


@dataclass(frozen=True)
class Rebuilt:
    """What the new ledger has; aside: where the old file is now."""

    submissions: int
    runs: int
    waiting: int
    aside: Path | None = None


def rebuild(work: Work, queue: Queue) -> Rebuilt:
    """Put the file aside and make a new one. Attempts that run go on, and are found again. Raises QueueError
    "queue.worker" while a worker cannot be ended, StoreError.
    """
    from bareboat.queue.sqlite_file import prepare_folder

    prepare_folder(queue.folder)
    door.set_held(queue.folder, True)
    if not door.end_worker(queue.folder):
        raise QueueError("queue.worker", "the worker does not end", where=str(queue.folder / door.LOCK),
                         hint="see which process it is: fuser -v on this file")
    lock = door.hold(queue.folder)
    try:
        with sending(queue.folder):  # while there is no ledger nothing seems to be needed
            return _rebuilt(work, queue)
    finally:
        if lock >= 0:
            os.close(lock)


def _rebuilt(work: Work, queue: Queue) -> Rebuilt:
    known = salvaged(queue.folder)
    aside = put_aside(queue.folder)
    ledger = SqliteLedger(queue.folder)
    submissions = runs = 0
    try:
        for id in work.store.keys(KIND):
            try:
                added = added_of(work.store.get_json(KIND, id), f"submission {id}")
                ledger.add(_named_once(added, ledger))
            except BareboatError as error:
                work.tell.say(f"submission {id} is left out: {error.what}")
                continue
            submissions += 1
            for point in added.points:
                runs += 1
                _put(ledger, point.run, known.get(point.run), work)
        waiting = ledger.counts().get("pending", 0)
    finally:
        ledger.close()
    return Rebuilt(submissions, runs, waiting, aside)


def _named_once(added: Added, ledger: Ledger) -> Added:
    """The submission; names that a run before it has, which is over but not written down yet, are taken off."""
    from bareboat.queue.moves import found
    from bareboat.values import replace

    return replace(added, points=tuple(
        replace(p, name="") if p.name and (e := found(ledger, p.name)) and not final(e.state) else p
        for p in added.points))


def _put(ledger: Ledger, run: str, before: Entry | None, work: Work) -> None:
    """The state of a run by its record, else by what was readable of the old file, else that it waits."""
    record = _record(run, work)
    changes: dict[str, object] = {}
    if before is not None:
        changes = {name: getattr(before, name) for name in ("state", "reason", "attempt", "failures", "losses",
                                                            "priority", "exit_code", "job", "where", "boot", "wanted",
                                                            "started", "ended")}
    if record is not None and record.attempt >= int(str(changes.get("attempt", 0))):
        changes["attempt"] = record.attempt
        if work.store.runs.is_alive(run):
            changes["state"] = "running"
        elif final(record.state) and changes.get("state") != "pending":
            changes.update(state=record.state, reason=record.reason, exit_code=record.exit_code)
        elif changes.get("state") != "pending":
            changes["state"] = "running"  # the worker finds out how it ended
    if changes:
        ledger.move(run, ("pending", 0), **changes)


def _record(run: str, work: Work) -> RunRecord | None:
    try:
        return RunRecord.from_document(work.store.runs.read(run))
    except BareboatError:
        return None


def salvaged(folder: Path) -> dict[str, Entry]:
    """What can still be read of a damaged file, by run; nothing of it is written."""
    import sqlite3

    from bareboat.queue.rows import as_entry
    from bareboat.queue.sqlite import ENTRY_COLUMNS

    found: dict[str, Entry] = {}
    try:
        db = sqlite3.connect(f"file:{folder / FILE}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error:
        return found
    try:
        for order in ("", " DESC"):  # from both ends, to the page that cannot be read
            try:
                for row in db.execute(f"SELECT {ENTRY_COLUMNS} FROM runs NOT INDEXED ORDER BY seq{order}"):
                    entry = as_entry(row)
                    found.setdefault(entry.run, entry)
            except (sqlite3.Error, TypeError, ValueError):
                continue
    finally:
        db.close()
    return found


def put_aside(folder: Path) -> Path | None:
    """The damaged file and its journal under another name; None where there is none."""
    if not (folder / FILE).exists():
        return None
    aside = folder / f"{FILE}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    os.rename(folder / FILE, aside)
    journal = folder / f"{FILE}-journal"
    if journal.exists():
        os.rename(journal, f"{aside}-journal")
    return aside
