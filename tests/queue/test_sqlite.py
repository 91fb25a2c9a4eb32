"""The ledger's file: whose it may be, what it may lie on, and what is said when it is damaged, newer, busy or full."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bareboat.errors import QueueError
from bareboat.queue.base import Added
from bareboat.queue.sqlite import LOCK, SqliteLedger
from bareboat.queue.sqlite_file import MAKE, SCHEMA, check_place, worded
from bareboat.training.values import Point


def added(id: str, count: int = 1) -> Added:
    return Added(id, b"t", tuple(Point(f"{id}{i:05}", "", i, ("true",)) for i in range(count)))


def refused(folder: Path) -> QueueError:
    ledger = SqliteLedger(folder)
    with pytest.raises(QueueError) as told:
        ledger.entries()
    assert told.value.where and told.value.hint  # what, where and what next
    return told.value


def test_it_is_ours_alone(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "queue")
    assert not ledger.exists
    ledger.add(added("aa"))
    assert ledger.exists
    assert (tmp_path / "queue").stat().st_mode & 0o777 == 0o700
    for name in os.listdir(tmp_path / "queue"):
        assert (tmp_path / "queue" / name).stat().st_mode & 0o777 == 0o600, name
    ledger.close()


@pytest.mark.parametrize(("spoil", "code"), [
    (lambda folder: (folder / "ledger.sqlite").chmod(0o666), "queue.not-private"),
    (lambda folder: folder.chmod(0o777), "queue.not-private"),
    (lambda folder: os.link(folder / "ledger.sqlite", folder / "second"), "queue.foreign"),
    (lambda folder: ((folder / "ledger.sqlite").rename(folder / "x"),
                     (folder / "ledger.sqlite").symlink_to("x")), "queue.foreign"),
    (lambda folder: os.chown(folder / "ledger.sqlite", 12345, 12345), "queue.foreign"),
    (lambda folder: os.chown(folder, 12345, 12345), "queue.foreign"),
], ids=["open file", "open folder", "hard link", "symlink", "owned by another", "folder of another"])
def test_a_file_that_is_not_safely_ours_is_refused(tmp_path: Path, spoil: object, code: str) -> None:
    ledger = SqliteLedger(tmp_path / "queue")
    ledger.add(added("aa"))
    ledger.close()
    try:
        spoil(tmp_path / "queue")  # type: ignore[operator]
    except PermissionError:
        pytest.skip("only root can give files away")
    assert refused(tmp_path / "queue").code == code


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "queue")
    ledger.add(added("aa"))
    ledger.close()
    file = tmp_path / "queue" / "ledger.sqlite"
    with sqlite3.connect(file) as db:
        db.execute(f"PRAGMA user_version={SCHEMA + 1}")
    db.close()
    before = file.read_bytes()
    assert refused(tmp_path / "queue").code == "queue.newer"
    assert file.read_bytes() == before


def test_an_older_schema_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bareboat.queue import sqlite_file

    ledger = SqliteLedger(tmp_path / "queue")
    ledger.add(added("aa"))
    ledger.close()
    monkeypatch.setattr(sqlite_file, "SCHEMA", SCHEMA + 2)
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", {
        SCHEMA: ("ALTER TABLE runs ADD COLUMN more TEXT NOT NULL DEFAULT 'x'",),
        SCHEMA + 1: ("ALTER TABLE runs ADD COLUMN most TEXT NOT NULL DEFAULT 'y'",)})
    ledger = SqliteLedger(tmp_path / "queue")
    assert [entry.run for entry in ledger.entries()] == ["aa00000"]
    ledger.close()
    db = sqlite3.connect(tmp_path / "queue" / "ledger.sqlite")
    assert db.execute("SELECT more, most FROM runs").fetchall() == [("x", "y")]
    assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA + 2,)
    db.close()


def test_another_programs_database_is_not_taken_for_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir(mode=0o700)
    db = sqlite3.connect(tmp_path / "queue" / "ledger.sqlite")
    db.execute("PRAGMA application_id=1234")
    db.execute("CREATE TABLE runs(a)")
    db.close()
    (tmp_path / "queue" / "ledger.sqlite").chmod(0o600)
    assert refused(tmp_path / "queue").code == "queue.damaged"


@pytest.mark.parametrize("spoil", [
    lambda data: b"not a database at all" * 500,
    lambda data: data[:4096] + b"\xff" * (len(data) - 4096),
    lambda data: data[:len(data) // 2],
    lambda data: data[:16] + bytes(84) + data[100:],
], ids=["rubbish", "pages", "cut", "header"])
def test_a_damaged_file_is_said_with_the_way_out(tmp_path: Path, spoil: object) -> None:
    ledger = SqliteLedger(tmp_path / "queue")
    ledger.add(added("aa", 2000))
    ledger.close()
    file = tmp_path / "queue" / "ledger.sqlite"
    file.write_bytes(spoil(file.read_bytes()))  # type: ignore[operator]
    error = refused(tmp_path / "queue")
    assert error.code == "queue.damaged" and "--rebuild" in error.hint


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse", "9p", "lustre", "gpfs", "ceph",
                                  "virtiofs", "beegfs"])
def test_where_locks_cannot_be_relied_on_it_is_refused(tmp_path: Path, kind: str) -> None:
    table = f"1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / {tmp_path} rw - {kind} there rw\n"
    with pytest.raises(QueueError) as told:
        check_place(tmp_path, table)
    assert told.value.code == "queue.file-system" and kind in told.value.what and "BAREBOAT_QUEUE" in told.value.hint


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs"])
def test_on_a_disk_of_this_machine_it_is_fine(tmp_path: Path, kind: str) -> None:
    check_place(tmp_path, f"1 0 0:1 / / rw - {kind} /dev/a rw\n")


def test_who_waits_too_long_for_a_stopped_writer_is_told(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "queue", patience=0.1)
    ledger.add(added("aa"))
    lock = os.open(tmp_path / "queue" / LOCK, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(QueueError) as told:
        ledger.add(added("bb"))
    assert told.value.code == "queue.busy" and "fuser" in told.value.hint
    assert [entry.submission for entry in ledger.entries()] == ["aa"]  # reading goes on
    os.close(lock)
    ledger.add(added("bb"))
    ledger.close()


def test_a_connection_does_not_go_through_a_fork(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "queue")
    ledger.add(added("aa"))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ledger.entries()
        except QueueError as error:
            code = 0 if error.code == "queue.forked" else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(ledger.entries()) == 1
    ledger.close()


WRITER = """
import sys
from pathlib import Path
from bareboat.queue.base import Added
from bareboat.queue.sqlite import SqliteLedger
from bareboat.training.values import Point
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    ledger = SqliteLedger(folder)
    run = f"{name}{number:04}"
    ledger.add(Added("s" + run, b"t", (Point(run, "", 0, ("true",)),)))
    sys.stdout.write(run + "\\n")
    sys.stdout.flush()
    assert ledger.move(run, ("pending", 0), state="running", attempt=1)
    if number % 5:
        ledger.close()
"""


def test_many_writers_and_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """No SQLITE_BUSY, nothing lost, and the file whole, while writers are killed at any point."""
    import random
    import time

    SqliteLedger(tmp_path / "queue").add(added("aa"))
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "queue"), f"{n:02x}", "12"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for n in range(8)]
    chance = random.Random(7)
    for writer in writers[:4]:
        time.sleep(chance.random() * 0.2)
        writer.kill()
    acknowledged, wrong = [], []
    for number, writer in enumerate(writers):
        out, err = writer.communicate(timeout=60)
        acknowledged += [line for line in out.decode().splitlines(keepends=True) if line.endswith("\n")]
        if number >= 4:
            wrong += [err.decode()] if writer.returncode else []
    assert wrong == []
    ledger = SqliteLedger(tmp_path / "queue")
    runs = {entry.run for entry in ledger.entries()}
    assert {line.strip() for line in acknowledged} <= runs and len(runs) >= 1 + 4 * 12
    assert ledger.check() == "ok"
    ledger.close()


def test_a_full_disk_is_an_error_and_no_damage(tmp_path: Path) -> None:
    """By a bound on the file's size, which is how SQLite meets a full disk: nothing of the submission is there."""
    ledger = SqliteLedger(tmp_path / "queue")
    ledger.add(added("aa"))
    assert ledger._connection is not None
    ledger._connection.execute("PRAGMA max_page_count=24")
    with pytest.raises(QueueError) as told:
        ledger.add(added("bb", 5000))
    assert told.value.code == "queue.full" and "nothing was changed" in told.value.hint
    assert [entry.submission for entry in ledger.entries()] == ["aa"] and ledger.check() == "ok"
    ledger.close()


@pytest.mark.parametrize(("text", "code"), [
    ("database is locked", "queue.busy"), ("attempt to write a readonly database", "queue.read-only"),
    ("disk I/O error", "queue.io"), ("database disk image is malformed", "queue.damaged"),
    ("database or disk is full", "queue.full"), ("something new", "queue.failed"),
])
def test_what_sqlite_says_has_words_of_ours(text: str, code: str) -> None:
    error = worded(sqlite3.OperationalError(text), Path("/q"))
    assert error.code == code and error.where == "/q" and error.hint


def test_every_question_that_is_asked_often_uses_an_index(tmp_path: Path) -> None:
    """No walk over 100,000 old runs: a figure would depend on the machine, SQLite's plan does not."""
    ledger = SqliteLedger(tmp_path / "queue")
    ledger.add(added("aa", 3))
    db, plans = ledger._connection, []
    assert db is not None
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    ledger.find("aa00001")
    ledger.entries(("pending",))
    ledger.entries(("running",), most=5)
    ledger.entries(submission="aa")
    ledger.due(1.0, ("x",), 10)
    ledger.later(1.0)
    ledger.called("aa")
    ledger.point("aa00001")
    ledger.move("aa00001", ("pending", 0), state="running", attempt=1)
    ledger.cancel("aa", "stopped", 1.0)
    db.set_trace_callback(None)
    for text in asked:
        if text.startswith(("SELECT", "UPDATE")):
            plans += [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()]
    assert len(plans) > 8 and not [plan for plan in plans if plan.startswith("SCAN")], plans
    assert MAKE
    ledger.close()
