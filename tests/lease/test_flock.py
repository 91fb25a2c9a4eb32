"""Leases in a directory with what others may put there: nothing is followed, nothing blocks, nothing is believed that
is not its owner's."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lease_kit import let_go  # noqa: F401  (for every test here)

from bareboat.errors import LeaseError
from bareboat.lease import strangers, units
from bareboat.lease.flock import HOLDINGS_MOST, FlockLeases
from bareboat.lease.place import Place
from bareboat.lease.values import SLOTS, Ask, Holding, Page, Wish

GPU, UID = "GPU-11111111-1f69", os.geteuid()
WHOLE = ((GPU, SLOTS),)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture
def leases(place: Path) -> Iterator[FlockLeases]:
    made = FlockLeases(Place(place, True))
    made.holdings()  # the directory is there
    yield made
    made.close()


def other(place: Path) -> FlockLeases:
    return FlockLeases(Place(place, True))


def names(place: Path) -> list[str]:
    return sorted(os.listdir(place))


def test_the_directory_is_everybodys_and_sticky_whatever_the_umask(place: Path) -> None:
    before = os.umask(0o077)
    try:
        lease = other(place).take(Holding(0, "r", units=WHOLE))
        assert lease is not None
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o1777
    modes = {name.partition("-")[0]: stat.S_IMODE((place / name).stat().st_mode) for name in names(place)}
    assert modes == {"gpu": 0o444, "holding": 0o644}  # others must be able to open and read them


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_directory_in_which_anybody_may_remove_is_refused(place: Path, mode: int) -> None:
    place.mkdir()
    place.chmod(mode)
    with pytest.raises(LeaseError) as caught:
        other(place).holdings()
    assert caught.value.code == "lease.directory" and "sticky" in caught.value.what


@pytest.mark.parametrize("make", [
    lambda path: path.symlink_to("/tmp"), lambda path: path.write_text(""), lambda path: os.mkfifo(path)])
def test_what_is_no_directory_is_refused(place: Path, make: object) -> None:
    make(place)  # type: ignore[operator]
    with pytest.raises(LeaseError) as caught:
        other(place).take(Holding(0, "r", units=WHOLE))
    assert caught.value.code == "lease.directory" and caught.value.hint


def test_one_that_is_not_everybodys_is_no_meeting_place_unless_it_was_given(place: Path) -> None:
    place.mkdir(0o700)
    assert other(place).holdings() == ()
    with pytest.raises(LeaseError) as caught:
        FlockLeases(Place(place)).holdings()
    assert caught.value.code == "lease.directory" and "0700" in caught.value.what


def test_a_directory_that_was_made_anew_is_found(leases: FlockLeases, place: Path) -> None:
    leases.publish(Page(0))
    for name in names(place):
        (place / name).unlink()
    place.rmdir()
    assert leases.pages() == ()
    leases.publish(Page(0, 2.0))
    assert [p.written for p in other(place).pages()] == [2.0]


# lock files of others

LOCKS = {
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "dangling link": lambda path: path.symlink_to("/nowhere"),
    "fifo": lambda path: os.mkfifo(path),
    "directory": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("how", LOCKS)
@pytest.mark.parametrize("slots", [SLOTS, 2])
def test_a_lock_file_that_is_none_is_a_gpu_that_cannot_be_had(leases: FlockLeases, place: Path, how: str,
                                                              slots: int) -> None:
    LOCKS[how](place / f"gpu-{GPU}")  # type: ignore[no-untyped-call]
    assert leases.take(Holding(0, "r", units=((GPU, slots),))) is None
    assert any(GPU in problem for problem in leases.problems())
    assert leases.take(Holding(0, "r", units=(("GPU-2", SLOTS),))) is not None
    assert not Path("/nowhere").exists()


def test_a_slot_file_that_is_none_is_passed_on_as_a_problem(leases: FlockLeases, place: Path) -> None:
    (place / f"gpu-{GPU}.0").symlink_to("/etc/passwd")
    assert leases.take(Holding(0, "r", units=((GPU, 2),))) is None
    assert any(f"{GPU}.0" in problem for problem in leases.problems())


def test_a_turn_file_that_is_none_hinders_nobody(leases: FlockLeases, place: Path) -> None:
    os.mkfifo(place / "turn")
    with leases.turn():
        assert leases.take(Holding(0, "r", units=WHOLE))
    assert any(problem.startswith("turn:") for problem in leases.problems())


def test_a_turn_that_is_never_given_back_is_waited_for_once(leases: FlockLeases, place: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bareboat.lease.flock.PATIENCE", 0.05)
    leases._patience = 0.05
    with other(place).turn():
        with leases.turn():
            pass
        assert any("too long" in problem for problem in leases.problems())
    with leases.turn():
        pass
    assert leases.problems() == ()


def test_a_lock_file_that_is_removed_while_it_is_held_is_no_second_gpu(leases: FlockLeases, place: Path) -> None:
    lease = leases.take(Holding(0, "r", units=WHOLE))
    assert lease is not None
    (place / f"gpu-{GPU}").unlink()  # by its owner, who may
    assert other(place).take(Holding(0, "s", units=WHOLE)) is None
    assert other(place).take(Holding(0, "s", units=((GPU, 1),))) is None
    lease.release()
    assert other(place).take(Holding(0, "s", units=WHOLE)) is not None


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_none(place: Path, leases: FlockLeases,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    directory = os.open(place, os.O_RDONLY)
    opened = strangers.open_lock
    replaced: list[int] = []

    def once(at: int, name: str) -> int:
        descriptor = opened(at, name)
        if not replaced and name.endswith(GPU):
            replaced.append(descriptor)
            os.unlink(name, dir_fd=at)
        return descriptor

    monkeypatch.setattr(units, "open_lock", once)
    held = units.take(directory, WHOLE)
    assert replaced and strangers.names(directory, f"gpu-{GPU}", held[0])
    for descriptor in (*held, directory):
        os.close(descriptor)


# what others tell

def hold(place: Path, name: str, data: bytes | str, mode: int = 0o644) -> int:
    """A file that its owner has locked, as a holder has."""
    path = place / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.chmod(mode)
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


GOOD = {"uid": 0, "run": "r", "units": [[GPU, 12]]}
NAME = f"holding-{UID}-r-00"


def document(**more: object) -> str:
    return json.dumps({**GOOD, **more})


BAD = {
    "not JSON": "{", "no object": "[]", "empty": "", "deep": "[" * 12_000, "not UTF-8": b"\xff{}",
    "nan": '{"run": "r", "cpus": NaN}', "infinite": document(cpus=1).replace("1}", "1e999}"),
    "long number": '{"run": "r", "memory": ' + "9" * 9000 + "}", "twice": '{"run": "r", "run": "r"}',
    "type": document(units="x"), "flag for a number": document(memory=True), "negative": document(cpus=-1.0),
    "no unit": document(units=[["../x", 12]]), "too much of it": document(units=[[GPU, 13]]),
    "nothing of it": document(units=[[GPU, 0]]), "unit twice": document(units=[[GPU, 6], [GPU, 6]]),
    "kind": document(kind="root"), "escape": document(name="\x1b[2J"), "long name": document(name="x" * 129),
    "other run": document(run="s"), "run": document(run="../s"), "huge": document(name="x" * 20_000),
    "priority": document(priority=10**9), "ends": document(ends=1e30),
}


@pytest.mark.parametrize("what", BAD)
def test_a_holding_that_cannot_be_believed_is_left_out_and_named(leases: FlockLeases, place: Path, what: str) -> None:
    descriptor = hold(place, NAME, BAD[what])
    try:
        assert leases.holdings() == ()
        assert [problem.partition(":")[0] for problem in leases.problems()] == [NAME]
    finally:
        os.close(descriptor)
    leases.holdings()  # and what the dead have left is removed
    assert leases.holdings() == () == leases.problems() and NAME not in names(place)


def test_what_is_good_beside_it_is_believed(leases: FlockLeases, place: Path) -> None:
    good, bad = hold(place, NAME, document(newer="key")), hold(place, f"holding-{UID}-s-00", "{")
    assert [h.run for h in leases.holdings()] == ["r"] and leases.holdings()[0].uid == UID
    os.close(good)
    os.close(bad)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_what_others_may_write_is_nobodys_word(leases: FlockLeases, place: Path, mode: int) -> None:
    descriptor = hold(place, NAME, document(), mode)
    assert leases.holdings() == () and "written by others" in leases.problems()[0]
    os.close(descriptor)


def test_another_owner_than_the_name_says(leases: FlockLeases, place: Path) -> None:
    descriptor = hold(place, f"holding-{UID + 1}-r-00", document())
    assert leases.holdings() == () and f"belongs to uid {UID}" in leases.problems()[0]
    os.close(descriptor)
    leases.publish(Page(0))
    os.rename(place / next(n for n in names(place) if n.startswith("page-")), place / f"page-{UID + 1}-0")
    assert leases.pages() == () and any("belongs to uid" in problem for problem in leases.problems())


@pytest.mark.parametrize("name", [NAME, f"page-{UID}-0"])
@pytest.mark.parametrize("how", LOCKS)
def test_no_file_of_a_reader(leases: FlockLeases, place: Path, name: str, how: str) -> None:
    LOCKS[how](place / name)  # type: ignore[no-untyped-call]
    assert leases.holdings() == () == leases.pages()
    assert [problem.partition(":")[0] for problem in leases.problems()] == [name]


def test_a_file_with_another_name_may_be_somebody_elses_doing(leases: FlockLeases, place: Path, tmp_path: Path) -> None:
    descriptor = hold(place, NAME, document())
    os.link(place / NAME, tmp_path / "another")
    assert leases.holdings() == () and "another name" in leases.problems()[0]
    os.close(descriptor)


def test_what_was_replaced_between_two_looks_is_judged_by_what_was_opened(leases: FlockLeases, place: Path,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = hold(place, NAME, document())
    real = os.open

    def swapped(path: object, *words: object, **named: object) -> int:
        opened = real(path, *words, **named)  # type: ignore[arg-type]
        if path == NAME:
            (place / NAME).unlink(missing_ok=True)
            (place / NAME).symlink_to("/etc/shadow")
        return opened

    monkeypatch.setattr(os, "open", swapped)
    assert [h.run for h in leases.holdings()] == ["r"]
    monkeypatch.undo()
    assert leases.holdings() == () and "symbolic link" in leases.problems()[0]
    os.close(descriptor)


def test_more_holdings_of_a_user_than_are_looked_at(leases: FlockLeases, place: Path) -> None:
    held = [hold(place, f"holding-{UID}-r{n}-00", json.dumps({"uid": 0, "run": f"r{n}"}))
            for n in range(HOLDINGS_MOST + 2)]
    assert len(leases.holdings()) == HOLDINGS_MOST and f"uid {UID} has {HOLDINGS_MOST + 2}" in leases.problems()[0]
    for descriptor in held:
        os.close(descriptor)


@pytest.mark.parametrize("data", ['{"uid": 0, "wishes": [{"run": "r"}], "asks": 3}', '{"use": -1}', "{}x",
                                  "[" * 100_000, '{"wishes": [{"run": "r", "need": {"gpus": 1e9}}]}', '{"more": -1}',
                                  '{"asks": [{"uid": -1, "run": "r", "wish": "w"}]}'])
def test_a_page_that_cannot_be_believed(leases: FlockLeases, place: Path, data: str) -> None:
    descriptor = hold(place, f"page-{UID}-0", data)
    assert leases.pages() == () and leases.problems()[0].startswith(f"page-{UID}-0: ")
    os.close(descriptor)


def test_wishes_of_a_worker_that_has_died_are_nobodys_and_its_use_stays(place: Path, leases: FlockLeases) -> None:
    worker = other(place)
    worker.publish(Page(0, 5.0, 7.0, (Wish("r"),), 3, (Ask(1, "x", "r"),)))
    assert leases.pages()[0].wishes
    worker.close()
    assert leases.pages() == (Page(UID, 5.0, 7.0),)
    following = other(place)
    following.publish(Page(0, 6.0, 8.0, (Wish("s"),)))
    assert [(p.use, [w.run for w in p.wishes]) for p in leases.pages()] == [(8.0, ["s"])]
    assert sum(name.startswith("page-") for name in names(place)) == 1
    following.close()


# deaths

HOLDS = """
import os, sys, time
from pathlib import Path
from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import Place
from bareboat.lease.values import Holding
lease = FlockLeases(Place(Path(sys.argv[1]), True)).take(Holding(0, "r", units=((sys.argv[2], int(sys.argv[3])),)))
print("taken", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("slots", [SLOTS, 3])
def test_a_holder_that_is_killed_is_seen_at_once_and_cleaned_up(leases: FlockLeases, place: Path, slots: int) -> None:
    watch = leases.changed()
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(place), GPU, str(slots)], stdout=subprocess.PIPE,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"taken\n"
        assert [h.run for h in leases.holdings()] == ["r"]
        assert leases.take(Holding(0, "s", units=WHOLE)) is None and holder.pid in leases.lockers(GPU)
        if watch >= 0:
            drained(watch)
            assert leases.holdings() and leases.pages() == () and not readable(watch, 0)  # a look tells nobody
        os.kill(holder.pid, signal.SIGKILL)
        if watch >= 0:
            assert readable(watch, 20)
        holder.wait()
    assert leases.take(Holding(0, "s", units=WHOLE)) is not None
    assert [h.run for h in leases.holdings()] == ["s"] and not any("-r-" in name for name in names(place))


def readable(descriptor: int, seconds: float) -> bool:
    return bool(select.select((descriptor,), (), (), seconds)[0])


def drained(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except BlockingIOError:
        pass


@pytest.mark.parametrize("change", ["take", "publish", "release"])
def test_changes_are_told(leases: FlockLeases, place: Path, change: str) -> None:
    watch = leases.changed()
    if watch < 0:
        pytest.skip("this machine has no inotify")
    by = other(place)
    lease = by.take(Holding(0, "r", units=WHOLE))
    assert lease is not None and leases.changed() == watch
    if change != "take":
        drained(watch)
        if change == "publish":
            by.publish(Page(0))
        else:
            lease.release()
    assert readable(watch, 20)
    by.close()


def test_an_heir_holds_it_on_and_only_the_last_gives_it_back(leases: FlockLeases, place: Path) -> None:
    lease = leases.take(Holding(0, "r", units=((GPU, 4), ("GPU-2", SLOTS))))
    assert lease is not None
    copies = [os.dup(descriptor) for descriptor in lease.descriptors]
    heir = other(place).adopt(lease.holding, copies)
    lease.release()
    assert [h.run for h in leases.holdings()] == ["r"]
    assert leases.take(Holding(0, "s", units=(("GPU-2", SLOTS),))) is None
    heir.update(Holding(0, "r", "renamed", ending=True))
    assert [(h.name, h.ending, h.units) for h in leases.holdings()] == [("renamed", True, lease.holding.units)]
    heir.release()
    assert leases.holdings() == () and leases.take(Holding(0, "s", units=WHOLE)) is not None


def test_descriptors_that_are_no_lease_are_not_adopted(leases: FlockLeases, tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file, pytest.raises(LeaseError) as caught:
        leases.adopt(Holding(0, "r"), (file.fileno(),))
    assert caught.value.code == "lease.adopt"
    with pytest.raises(LeaseError):
        leases.adopt(Holding(0, "r"), ())


def test_descriptors_go_to_no_program(leases: FlockLeases) -> None:
    lease = leases.take(Holding(0, "r", units=((GPU, 2),)))
    assert lease is not None and len(lease.descriptors) == 4
    assert not any(map(os.get_inheritable, lease.descriptors))


def test_a_full_disk_is_an_error_and_leaves_nothing(leases: FlockLeases, place: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda *_: 3)
    with pytest.raises(LeaseError) as caught:
        leases.take(Holding(0, "r", units=WHOLE))
    monkeypatch.undo()
    assert caught.value.code == "lease.write" and names(place) == [f"gpu-{GPU}"]
    assert leases.take(Holding(0, "r", units=WHOLE)) is not None


def test_names_of_others_do_not_write_on_a_terminal(leases: FlockLeases, place: Path) -> None:
    (place / f"holding-{UID}-\x1b[2J").symlink_to("/nowhere")
    assert leases.holdings() == ()
    assert leases.problems() == (f"holding-{UID}-?[2J: is a symbolic link",)


def test_who_holds_something_locks_the_directory_against_sweepers(leases: FlockLeases, place: Path) -> None:
    sweeper = os.open(place, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(sweeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
    leases.close()
    fcntl.flock(sweeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert other(place).take(Holding(0, "r", units=WHOLE))  # nor does a sweeper hinder anybody
    os.close(sweeper)


def test_drafts_of_the_dead_are_removed(leases: FlockLeases, place: Path) -> None:
    (place / f".{UID}-abc").write_text("")
    (place / f".{UID + 1}-abc").write_text("")
    leases.holdings()
    assert names(place) == [f".{UID + 1}-abc"]
