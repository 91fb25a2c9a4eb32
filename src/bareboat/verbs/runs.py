"""runs: which runs there are; and one of them by id, name or "last"."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bareboat.errors import BareboatError, RecordError
from bareboat.record.states import final, move
from bareboat.record.values import RunRecord
from bareboat.store import Store
from bareboat.values import dataclass

KILLED = "bareboat was killed"


@dataclass(frozen=True)
class RunFilter:
    """Which runs to list; "" and None do not filter. project: its name or root. limit: the newest so many. kind:
    "session", or "run" for all that are not.
    """

    project: str = ""
    state: str = ""
    name: str = ""
    limit: int | None = None
    kind: str = ""


@dataclass(frozen=True)
class Listed:
    """The runs, newest first. broken: what could not be read, a line each; more: how many beyond the limit."""

    runs: tuple[RunRecord, ...]
    broken: tuple[str, ...] = ()
    more: int = 0


def runs(store: Store, which: RunFilter) -> Listed:
    """List runs. A record that cannot be read is one line in broken and stops nothing."""
    found: list[RunRecord] = []
    broken: list[str] = []
    for item in _queued(store):
        if isinstance(item, str):
            broken.append(item)
        elif _wanted(item, which):
            found.append(item)
    found.sort(key=_age(store, found), reverse=True)
    shown = found if which.limit is None else found[: which.limit]
    return Listed(tuple(shown), tuple(broken), len(found) - len(shown))


def _age(store: Store, found: list[RunRecord]) -> Callable[[RunRecord], tuple[str, int, str]]:
    """By when a run was made. Records say it to the second; within one the disk knows, and is asked only then."""
    seen: set[str] = set()
    same = {r.created for r in found if r.created in seen or seen.add(r.created)}  # type: ignore[func-returns-value]

    def key(record: RunRecord) -> tuple[str, int, str]:
        return record.created, _made(store, record.id) if record.created in same else 0, record.id

    return key


def _made(store: Store, run: str) -> int:
    try:
        return (store.runs.path(run) / "lock").stat().st_mtime_ns  # made with the run, and never written to
    except OSError:
        return 0


def _queued(store: Store) -> Iterator[RunRecord | str]:
    """All of them, with those that wait and have no record yet; of what is not over the ledger has the word."""
    from bareboat.verbs.queued import ledger_of, overlaid, record_for
    from bareboat.verbs.submission import OPEN

    with ledger_of(store) as ledger:
        waiting = {} if ledger is None else {entry.run: entry for entry in ledger.entries(OPEN)}
        for item in _all(store):
            entry = waiting.pop(item.id, None) if isinstance(item, RunRecord) else None
            yield overlaid(item, entry) if entry is not None and isinstance(item, RunRecord) else item
        for run, entry in waiting.items():
            try:
                assert ledger is not None
                yield record_for(ledger, entry)
            except BareboatError as error:
                yield f"{run}: {error.what}"


def _all(store: Store) -> Iterator[RunRecord | str]:
    for run in store.runs.ids():
        try:
            yield load(store, run)
        except BareboatError as error:
            yield f"{run}: {error.what}"


def _wanted(record: RunRecord, which: RunFilter) -> bool:
    return (
        (not which.project or which.project in (record.project, record.root))
        and (not which.state or record.state == which.state)
        and (not which.name or which.name in record.name)
        and (not which.kind or which.kind == (record.kind or "run"))
    )


def load(store: Store, run: str) -> RunRecord:
    """The record of a full id, as it is in truth: one that says running without a living owner has failed.

    Nothing is rewritten: only the owner writes. Raises RecordError record.missing, record.malformed,
    record.format, StoreError store.damaged.
    """
    document = store.runs.read(run)
    record = RunRecord.from_document(document, where=f"run {run}")
    if record.id != run:
        raise RecordError("record.malformed", f"the record says it is run {record.id!r}", where=f"run {run}")
    if final(record.state) or store.runs.is_alive(run):
        return record
    if record.state == "pending" and record.attempt == 1 and store.get_json("containers", run) is not None:
        return record  # a container that was created, and has not been started yet
    # It may have ended, and let go, between the two looks.
    again = RunRecord.from_document(store.runs.read(run), where=f"run {run}")
    return again if final(again.state) else move(again, "failed", at="", reason=KILLED)


def find(store: Store, text: str) -> RunRecord:
    """The run meant by an id, the unique beginning of one, a name (the newest of that name), or "last".

    A run from elsewhere is never "last", and goes by its name only where none of this store's own has it: its sender
    chose both date and name. Raises RecordError record.missing, record.ambiguous.
    """
    if text == "last":
        newest = [record for record in runs(store, RunFilter()).runs if not taken_in(record)]
        if not newest:
            raise RecordError(
                "record.missing", "there are no runs yet", hint="start one: bareboat run -- PROGRAM"
            )
        return newest[0]
    queued = _in_queue(store, text)
    if queued is not None:
        return queued
    try:
        return load(store, store.runs.find(text))
    except RecordError as error:
        if error.code not in ("record.missing", "record.ambiguous"):
            raise
        named = [record for record in runs(store, RunFilter(name=text)).runs if record.name == text]
        if not named:
            raise
        return next((record for record in named if not taken_in(record)), named[0])


def _in_queue(store: Store, text: str) -> RunRecord | None:
    """The run that the ledger knows by this word, as it is there; None where it knows none."""
    from bareboat.queue.moves import found
    from bareboat.verbs.queued import ledger_of, overlaid, record_for

    with ledger_of(store) as ledger:
        entry = None if ledger is None else found(ledger, text)
        if ledger is None or entry is None:
            return None
        try:
            return overlaid(load(store, entry.run), entry)
        except RecordError as error:
            if error.code != "record.missing":
                raise
            return record_for(ledger, entry)


def taken_in(record: RunRecord) -> bool:
    """Whether it came from elsewhere, and was not made here as the repetition of one that did."""
    return bool(record.origin) and not (record.host is not None and record.host.mark)
