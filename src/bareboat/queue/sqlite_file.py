"""Opening the ledger's file: whose it is, what it lies on, which schema it has; and what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bareboat.errors import QueueError
from bareboat.host.files import filesystem

SCHEMA = 2
APPLICATION = 0x62617265  # "bare": that the file is a ledger, and no database of somebody else's
NOTES = "CREATE TABLE notes(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
MAKE = (
    """CREATE TABLE submissions(
        id TEXT PRIMARY KEY, template BLOB NOT NULL, scheduler TEXT NOT NULL, priority INTEGER NOT NULL,
        created REAL NOT NULL, name TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE runs(
        seq INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, submission TEXT NOT NULL, name TEXT NOT NULL,
        idx INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0, losses INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL,
        created REAL NOT NULL, not_before REAL NOT NULL DEFAULT 0, started REAL NOT NULL DEFAULT 0,
        ended REAL NOT NULL DEFAULT 0, exit_code INTEGER, scheduler TEXT NOT NULL, job TEXT NOT NULL DEFAULT '',
        node TEXT NOT NULL DEFAULT '', boot TEXT NOT NULL DEFAULT '', wanted TEXT NOT NULL DEFAULT '',
        point TEXT NOT NULL)""",
    NOTES,
    "CREATE INDEX by_state ON runs(state, priority DESC, seq)",
    "CREATE INDEX by_submission ON runs(submission, state)",
    "CREATE INDEX by_time ON runs(not_before) WHERE state='pending' AND not_before>0",
    "CREATE INDEX submissions_by_name ON submissions(name) WHERE name<>''",
    "CREATE INDEX by_end ON runs(ended) WHERE ended>0",
    "CREATE INDEX by_name ON runs(name, seq) WHERE name<>''",
)
MIGRATIONS: dict[int, tuple[str, ...]] = {1: (NOTES,)}  # schema → what makes the next one of it


def opened(folder: Path, name: str, patience: float,
           turn: Callable[[], AbstractContextManager[None]]) -> sqlite3.Connection:
    """A connection to the ledger in a directory; made where it is missing. turn: of those who write."""
    prepare_folder(folder)
    check_place(folder)
    path = folder / name
    _check_file(path)
    db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=True)
    try:
        os.chmod(path, 0o600)
        db.execute("PRAGMA journal_mode=TRUNCATE")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA trusted_schema=OFF")
        db.execute("PRAGMA cell_size_check=ON")
        version = _version(db, path)
        if version != SCHEMA:
            with turn():
                _bring_up(db, path)
    except BaseException:
        db.close()
        raise
    return db


def prepare_folder(folder: Path) -> None:
    """The directory, made 0700. Raises QueueError queue.foreign, queue.not-private."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise QueueError("queue.foreign", f"this is no directory of uid {os.geteuid()}'s", where=str(folder),
                         hint="look at who made it; then move it away, and a new one is made")
    if status.st_mode & 0o077:
        raise QueueError("queue.not-private", f"others can use the queue's directory (mode "
                         f"{status.st_mode & 0o7777:04o})", where=str(folder),
                         hint=f"check who wrote to it, then: chmod 700 {folder}")


def check_place(folder: Path, mountinfo: str | None = None) -> None:
    """Refuse a file system whose locks are not to be relied on. Raises QueueError queue.file-system."""
    place = filesystem(folder, mountinfo)
    if not place.local:
        raise QueueError("queue.file-system", f"the queue's file would lie on {place.type}, whose locks SQLite cannot "
                         "rely on", where=str(folder), hint="name a directory on a disk of this machine: "
                         "BAREBOAT_QUEUE_PATH=/var/tmp/queue-$USER, or queue.path in settings.toml; the rest of the "
                         "store may stay where it is")


def _check_file(path: Path) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        return
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
        raise QueueError("queue.foreign", "the queue's file is a link, has a second name, or is another user's",
                         where=str(path), hint="look at it with ls -l; then move it away, and a new one is made")
    if status.st_mode & 0o022:
        raise QueueError("queue.not-private", f"others can write to the queue's file (mode "
                         f"{status.st_mode & 0o7777:04o})", where=str(path),
                         hint=f"check who wrote to it, then: chmod 600 {path}")


def _version(db: sqlite3.Connection, path: Path) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    if application not in (0, APPLICATION) or (version and application != APPLICATION):
        raise QueueError("queue.damaged", "the file is a database of another program's", where=str(path),
                         hint="move it away, and a new one is made")
    if version > SCHEMA:
        raise QueueError("queue.newer", f"the queue's file has schema {version}; this bareboat knows up to {SCHEMA}",
                         where=str(path), hint="update bareboat, or set BAREBOAT_HOME to another directory")
    return version


def _bring_up(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _version(db, path)  # another process may have been faster
        steps: list[str] = [] if version else list(MAKE)
        while 0 < version < SCHEMA:
            steps += MIGRATIONS[version]
            version += 1
        for step in steps:
            db.execute(step)
        db.execute(f"PRAGMA application_id={APPLICATION}")
        db.execute(f"PRAGMA user_version={SCHEMA}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def worded(error: sqlite3.Error, path: Path) -> QueueError:
    """SQLite's error in words, with what to do."""
    text = str(error)
    if "full" in text:
        return QueueError("queue.full", "there is no room to write the queue's file", where=str(path),
                          hint="free some space there (bareboat gc), then try again: nothing was changed")
    if "locked" in text or "busy" in text:
        return QueueError("queue.busy", "another process keeps the queue's file locked", where=str(path),
                          hint="see who: fuser -v on this file")
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return QueueError("queue.read-only", f"the queue's file cannot be written ({text})", where=str(path),
                          hint="look at owner and mode of the file and its directory")
    if "disk I/O" in text:
        return QueueError("queue.io", "the disk did not read or write the queue's file", where=str(path),
                          hint="see the kernel's log (dmesg); nothing that was acknowledged is changed")
    if isinstance(error, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text
                                                     or "no such" in text or "corrupt" in text):
        return QueueError("queue.damaged", f"the queue's file is damaged ({text})", where=str(path),
                          hint="bareboat queue --rebuild moves it away and makes a new one of what was submitted and "
                          "of the run records, which are the truth of every run that was started")
    return QueueError("queue.failed", f"SQLite: {text}", where=str(path),
                      hint="bareboat doctor looks at the file; please report this")
