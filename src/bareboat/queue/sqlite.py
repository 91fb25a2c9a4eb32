"""The ledger on disk: one SQLite file of one user, with a rollback journal, so that no shared memory is needed.

SQLite's own locks do not queue those who write; a lock file beside it does, and so nobody starves and nobody is told
that the file is busy. A connection belongs to the process that opened it and is never carried through a fork
(https://www.sqlite.org/howtocorrupt.html, 2.6).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bareboat.errors import QueueError
from bareboat.queue.base import SKEW, Added, Entry
from bareboat.queue.rows import COLUMNS, FINAL, as_added, as_entry, as_point, as_row
from bareboat.training.values import Point
from bareboat.values import TYPE_CHECKING, Any, fields

if TYPE_CHECKING:
    import sqlite3

FILE, LOCK = "ledger.sqlite", "ledger.lock"
PATIENCE = 60.0  # seconds: a writer takes milliseconds; one that holds it longer is stopped, not slow
_FIELDS = frozenset(f.name for f in fields(Entry)) - {"run", "submission", "index"}


class SqliteLedger:
    """queue.base.Ledger in a directory, 0700 and ours, made when it is missing. Opened when first used.

    Raises QueueError: queue.foreign, queue.not-private, queue.file-system, queue.newer, queue.damaged, queue.full,
    queue.busy.
    """

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        self.folder = folder
        self._patience = patience
        self._connection: sqlite3.Connection | None = None
        self._pid = 0

    def close(self) -> None:
        """Idempotent; the object can be used further."""
        if self._connection is not None and self._pid == os.getpid():
            self._connection.close()
        self._connection = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever queued: asked before the file is made or SQLite imported."""
        return os.path.exists(f"{self.folder}/{FILE}")

    # Ledger

    def add(self, submission: Added) -> None:
        """As Ledger.add; 10,000 points are one transaction."""
        s = submission
        names = {point.name for point in s.points if point.name}
        if len(names) < sum(1 for point in s.points if point.name):
            raise QueueError("queue.name-taken", "two runs of one submission have the same name", where=s.id)
        with self._writing() as db:
            taken = None
            if len(names) > 500:  # one walk over what is not over instead of a question for each
                open_names = {name for (name,) in db.execute(
                    "SELECT name FROM runs WHERE name<>'' AND state IN ('pending','running')")}
                taken = next(iter(sorted(names & open_names)), None)
            else:
                for name in sorted(names):
                    if db.execute("SELECT 1 FROM runs WHERE name=? AND state IN ('pending','running')",
                                  (name,)).fetchone():
                        taken = name
                        break
            if taken is not None:
                raise name_taken(taken)
            db.execute("INSERT INTO submissions(id, template, scheduler, priority, created, name) VALUES(?,?,?,?,?,?)",
                       (s.id, s.template, s.scheduler, s.priority, s.created, s.name))
            db.executemany(
                f"INSERT INTO runs({','.join(COLUMNS)}) VALUES({','.join('?' * len(COLUMNS))})",
                (as_row(s, point) for point in s.points))

    def find(self, text: str) -> Entry:
        """As Ledger.find."""
        text = str(_plain(text))
        with self._reading() as db:
            row = db.execute(f"SELECT {ENTRY_COLUMNS} FROM runs WHERE name=? AND name<>'' ORDER BY seq DESC LIMIT 1",
                             (text,)).fetchone()
            if row is not None:
                return as_entry(row)
            found = db.execute(f"SELECT {ENTRY_COLUMNS} FROM runs WHERE run>=? AND run<? LIMIT 6",
                               (text, text + "\U0010ffff")).fetchall() if text else []
        exact = [row for row in found if row[0] == text]
        if len(exact or found) == 1:
            return as_entry((exact or found)[0])
        raise unknown(text, [row[0] for row in found])

    def entries(self, states: Collection[str] = (), submission: str = "", most: int = 0) -> list[Entry]:
        """As Ledger.entries."""
        where, values = _where(states, submission)
        bound = f" LIMIT {int(most)}" if most else ""
        with self._reading() as db:
            rows = db.execute(f"SELECT {ENTRY_COLUMNS} FROM runs{where} ORDER BY priority DESC, seq{bound}",
                              values).fetchall()
        return [as_entry(row) for row in rows]

    def ended(self, most: int) -> list[Entry]:
        """As Ledger.ended."""
        with self._reading() as db:
            rows = db.execute(f"SELECT {ENTRY_COLUMNS} FROM runs WHERE ended>0 ORDER BY ended DESC, seq DESC "
                              "LIMIT ?",
                              (most,)).fetchall()
        return [as_entry(row) for row in rows]

    def due(self, now: float, without: Collection[str] = (), most: int = 0) -> list[Entry]:
        """As Ledger.due."""
        others = f" AND submission NOT IN ({','.join('?' * len(without))})" if without else ""
        bound = f" LIMIT {int(most)}" if most else ""
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {ENTRY_COLUMNS} FROM runs WHERE state='pending' AND scheduler='local' AND (not_before<=? OR "
                f"not_before>?){others} ORDER BY priority DESC, seq{bound}", (now, now + SKEW, *without)).fetchall()
        return [as_entry(row) for row in rows]

    def later(self, now: float) -> float:
        """As Ledger.later."""
        with self._reading() as db:
            row = db.execute("SELECT MIN(not_before) FROM runs WHERE state='pending' AND not_before>0 AND not_before>? "
                             "AND not_before<=? AND scheduler='local'", (now, now + SKEW)).fetchone()
        return float(row[0] or 0.0)

    def cancel(self, submission: str, reason: str, now: float) -> int:
        """As Ledger.cancel."""
        reason = str(_plain(reason))
        with self._writing() as db:
            count = db.execute("UPDATE runs SET state='cancelled', reason=?, ended=?, wanted='cancelled' WHERE "
                               "submission=? AND state='pending'", (reason, now, submission)).rowcount
            return int(count) + int(db.execute("UPDATE runs SET wanted='cancelled' WHERE submission=? AND "
                                               "state='running'", (submission,)).rowcount)

    def counts(self, submission: str = "") -> dict[str, int]:
        """How many runs there are of each state, without reading them."""
        where, values = _where((), submission)
        with self._reading() as db:
            return dict(db.execute(f"SELECT state, COUNT(*) FROM runs{where} GROUP BY state", values).fetchall())

    def submission(self, id: str) -> Added:
        """As Ledger.submission. Raises QueueError "queue.unknown"."""
        with self._reading() as db:
            row = db.execute("SELECT id, template, scheduler, priority, created, name FROM submissions WHERE id=?",
                             (id,)).fetchone()
            points = db.execute("SELECT run, name, idx, point FROM runs WHERE submission=? ORDER BY idx",
                                (id,)).fetchall() if row else []
        if row is None:
            raise unknown(id, [])
        return as_added(row, points)

    def called(self, name: str) -> str:
        """As Ledger.called."""
        name = str(_plain(name))
        with self._reading() as db:
            row = db.execute("SELECT id FROM submissions WHERE id=? OR (name=? AND name<>'') "
                             "ORDER BY created DESC LIMIT 1", (name, name)).fetchone()
        return str(row[0]) if row else ""

    def template(self, id: str) -> bytes:
        """A submission's template alone. Raises QueueError "queue.unknown"."""
        with self._reading() as db:
            row = db.execute("SELECT template FROM submissions WHERE id=?", (id,)).fetchone()
        if row is None:
            raise unknown(id, [])
        return bytes(row[0])

    def point(self, run: str) -> Point:
        """As Ledger.point. Raises QueueError "queue.unknown"."""
        with self._reading() as db:
            row = db.execute("SELECT run, name, idx, point FROM runs WHERE run=?", (run,)).fetchone()
        if row is None:
            raise unknown(run, [])
        return as_point(row)

    def move(self, run: str, expected: tuple[str, int], **changes: object) -> bool:
        """As Ledger.move; durable when it returns."""
        return bool(self.moves(((run, *expected),), **changes))

    def moves(self, seen: Collection[tuple[str, str, int]], **changes: object) -> list[str]:
        """As Ledger.moves; durable when it returns."""
        wrong = set(changes) - _FIELDS
        if wrong or not changes:
            raise TypeError(f"no fields of an entry that change: {sorted(wrong)}")
        columns = ", ".join(f"{_COLUMN.get(name, name)}=?" for name in changes)
        values = tuple(map(_plain, changes.values()))
        with self._writing() as db:
            return [run for run, state, attempt in seen if db.execute(
                f"UPDATE runs SET {columns} WHERE run=? AND state=? AND attempt=?",
                (*values, run, state, attempt)).rowcount == 1]

    def jobs(self, names: Iterable[tuple[str, str]]) -> None:
        """As Ledger.jobs."""
        with self._writing() as db:
            db.executemany("UPDATE runs SET job=? WHERE run=?", ((job, run) for run, job in names))

    def note(self, key: str, value: str) -> None:
        """As Ledger.note."""
        with self._writing() as db:
            db.execute("INSERT INTO notes(key, value) VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value",
                       (key, value))

    def noted(self, key: str) -> str:
        """As Ledger.noted."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM notes WHERE key=?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def forget(self, runs: Collection[str]) -> int:
        """Drop runs that are over, and submissions that have none left; how many went."""
        with self._writing() as db:
            count = 0
            for run in runs:
                count += db.execute(f"DELETE FROM runs WHERE run=? AND state IN ({FINAL})", (run,)).rowcount
            db.execute("DELETE FROM submissions WHERE id NOT IN (SELECT submission FROM runs)")
            return count

    def check(self) -> str:
        """"ok", or what SQLite finds wrong in the file; reads all of it."""
        with self._reading() as db:
            return str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])

    # the file

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        db = self._open()
        with self._words():
            yield db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        db = self._open()
        with self._words(), self._turn():
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One writer at a time, freed however it dies. Raises QueueError "queue.busy"."""
        path = f"{self.folder}/{LOCK}"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            pause, end = 0.0005, 0.0
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    now = time.monotonic()
                    end = end or now + self._patience
                    if now > end:
                        raise QueueError("queue.busy", f"another bareboat writes to the queue for over "
                                         f"{self._patience:.0f} s", where=path, hint="see who: fuser -v on this file; "
                                         "a stopped process (Ctrl-Z) must go on or end") from None
                    time.sleep(pause)
                    pause = min(pause * 2, 0.02)
            yield
        finally:
            os.close(lock)

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            if self._pid != os.getpid():
                raise QueueError("queue.forked", "the queue's file was opened before a fork", where=str(self.folder),
                                 hint="this is a bug of bareboat's: please report it")
            return self._connection
        from bareboat.queue.sqlite_file import opened

        with self._words():
            made = opened(self.folder, FILE, self._patience, self._turn)
        self._connection, self._pid = made, os.getpid()
        return made

    @contextmanager
    def _words(self) -> Iterator[None]:
        """What SQLite says, in words of ours."""
        import sqlite3

        from bareboat.queue.sqlite_file import worded

        try:
            yield
        except sqlite3.Error as error:
            raise worded(error, self.folder / FILE) from error
        except OSError as error:
            from bareboat.store.disk_errors import disk_error

            failed = disk_error(error, str(self.folder))
            raise QueueError(failed.code.replace("store.", "queue."), failed.what, where=failed.where,
                             hint=failed.hint) from error


_COLUMN = {"where": "node"}
ENTRY_COLUMNS = ", ".join({"index": "idx", "where": "node"}.get(f.name, f.name) for f in fields(Entry))


def _plain(value: object) -> Any:
    """A text that SQLite takes: what is no UTF-8 of a path or a word in it is shown as a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _where(states: Collection[str], submission: str) -> tuple[str, list[Any]]:
    tests, values = [], []
    if states:
        tests.append(f"state IN ({','.join('?' * len(states))})")
        values += list(states)
    if submission:
        tests.append("submission=?")
        values.append(submission)
    return (f" WHERE {' AND '.join(tests)}" if tests else ""), values


def unknown(text: str, found: list[str]) -> QueueError:
    """That a word names no run, or several."""
    if len(found) > 1:
        return QueueError("queue.ambiguous", f"several runs begin with {text!r}: {', '.join(found[:5])}"
                          + (", …" if len(found) > 5 else ""), hint="type more of it")
    return QueueError("queue.unknown", f"there is no run {text[:80]!r} in the queue",
                      hint="bareboat queue --all lists what there is")


def name_taken(name: str) -> QueueError:
    """That a run which is not over has the name."""
    return QueueError("queue.name-taken", f"the name {name!r} is a run's that is not over yet",
                      hint=f"choose another, or stop that one: bareboat stop {name}")


