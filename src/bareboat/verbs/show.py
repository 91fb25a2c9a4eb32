"""show: the whole account of one run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bareboat.errors import RecordError
from bareboat.image.plan import Plan
from bareboat.record.states import final
from bareboat.record.values import RunRecord
from bareboat.store import Store
from bareboat.store.newest import Written, newest
from bareboat.verbs.runs import find

_TAIL_BYTES = 64 << 10


@dataclass(frozen=True)
class Account:
    """A run, readable: its record, the image's plan (None when it is gone), the log's last bytes, how to
    repeat it; of one that is not over its results folder ("" where it has none) and what was written there last.
    """

    record: RunRecord
    plan: Plan | None
    log_bytes: int
    tail: bytes
    repeat: str
    folder: str = ""
    newest: tuple[Written, ...] = ()


def show(store: Store, text: str) -> Account:
    """The account of the run that text means. Raises RecordError record.missing, record.ambiguous."""
    record = find(store, text)
    log = log_path(store, record)
    size, tail = _tail(log) if log else (0, b"")
    folder = None if final(record.state) else results_of(store, record.id)
    return Account(record, plan_of(store, record), size, tail, f"bareboat rerun {record.id[:6]}", str(folder or ""),
                   newest(folder) if folder else ())


def plan_of(store: Store, record: RunRecord) -> Plan | None:
    """The plan of a run's image, or None when the store does not have it. RecordError when it is damaged."""
    from bareboat.record.codec import decode_bytes

    path = store.blob(record.plan_blob) if record.plan_blob else None
    if path is None:
        return None
    plan = decode_bytes(Plan, path.read_bytes(), f"plan of run {record.id}")
    if plan.digest != record.plan:
        raise RecordError(
            "record.plan-damaged",
            "the plan kept is not the one the run's digest names",
            where=f"run {record.id}",
        )
    return plan


def log_path(store: Store, record: RunRecord) -> Path | None:
    """Where the log is, None when there is none. A log outside the run's own directory is not followed."""
    if not record.log or "/" in record.log or record.log in (".", ".."):
        return None
    path = store.runs.path(record.id) / record.log
    return path if path.is_file() and not path.is_symlink() else None


def log(store: Store, text: str) -> Iterator[bytes]:
    """The whole log of a run in chunks. Raises RecordError record.no-log."""
    record = find(store, text)
    path = log_path(store, record)
    if path is None:
        raise RecordError("record.no-log", "this run has no log", where=f"run {record.id}")
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def write_results(store: Store, text: str, folder: Path) -> tuple[int, tuple[str, ...]]:
    """A run's results, as far as the store has them, into a new or empty folder: how many, and the paths of the others.

    Names are a record's, which may be a stranger's: nothing is written outside of the folder, no link is followed.
    Raises RecordError "record.results-folder", ArchiveError "tree.*".
    """
    from bareboat.store.results import chunks_of
    from bareboat.store.treewriter import TreeWriter

    record = find(store, text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RecordError("record.results-folder", "there is something in it, and it is not written over",
                              where=str(folder), hint="name a new folder")
    except OSError as error:
        raise RecordError("record.results-folder", f"the folder cannot be made ({error.strerror})",
                          where=str(folder)) from None
    writer, count, missing = TreeWriter(folder, where=f"run {record.id}"), 0, []
    for file in record.results.files:
        chunks = chunks_of(store, record.results, file)
        if file.link:
            writer.symlink(file.path, file.link)
        elif chunks is None:
            missing.append(file.path)
            continue
        else:
            writer.file(file.path, 0o644, chunks)
        count += 1
    writer.finish()
    return count, tuple(missing)


def results_of(store: Store, text: str) -> Path | None:
    """The folder on this machine that a run writes its results to; None where it has none. Raises RecordError."""
    from bareboat.queue.moves import found
    from bareboat.verbs.queued import ledger_of

    with ledger_of(store) as ledger:
        entry = None if ledger is None else found(ledger, text)
        if ledger is not None and entry is not None:
            place = ledger.point(entry.run).results
            return Path(place) if place else None
    record = find(store, text)
    place = record.results.folder or next((m.source for m in record.mounts if m.kind == "results"), "")
    return Path(place) if place else None


def _tail(path: Path) -> tuple[int, bytes]:
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _TAIL_BYTES, 0))
        return size, file.read(_TAIL_BYTES)


def command_line(record: RunRecord) -> str:
    """The program and its words, quoted for a shell."""
    return shlex.join(record.argv)
