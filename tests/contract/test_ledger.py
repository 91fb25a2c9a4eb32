"""One contract for the ledger on disk and the fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bareboat.errors import QueueError
from bareboat.queue.base import Added, Ledger
from bareboat.queue.memory import MemoryLedger
from bareboat.queue.sqlite import SqliteLedger
from bareboat.training.values import Point
from bareboat.values import replace


@pytest.fixture(params=["sqlite", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    made = SqliteLedger(tmp_path / "queue") if request.param == "sqlite" else MemoryLedger()
    yield made
    made.close()


def added(id: str, *names: str, priority: int = 0, count: int = 0) -> Added:
    points = tuple(Point(f"{id}{i:04}", name, i, ("python", f"--seed={i}"), (("seed", str(i)),), (("A", "b c\n"),),
                         f"/results/{name or i}/\udcff") for i, name in enumerate(names or ("",) * (count or 1)))
    return Added(id, b"template \x00 of " + id.encode(), points, priority=priority, created=1000.5)


def test_a_submission_comes_back_whole(ledger: Ledger) -> None:
    sent = added("aa", "one", "two \u00fc", "")
    ledger.add(sent)
    assert ledger.submission("aa") == sent
    assert ledger.template("aa") == sent.template
    assert ledger.point("aa0001") == sent.points[1]
    entry = ledger.find("one")
    assert (entry.run, entry.submission, entry.state, entry.attempt, entry.created) == (
        "aa0000", "aa", "pending", 0, 1000.5)


def test_order_is_priority_and_then_first_come(ledger: Ledger) -> None:
    ledger.add(added("aa", count=2))
    ledger.add(added("bb", priority=5))
    ledger.add(added("cc"))
    assert [e.run for e in ledger.entries(("pending",))] == ["bb0000", "aa0000", "aa0001", "cc0000"]
    assert [e.run for e in ledger.entries(("pending",), most=2)] == ["bb0000", "aa0000"]
    assert [e.run for e in ledger.entries(submission="aa")] == ["aa0000", "aa0001"]
    assert ledger.entries(("running",)) == []
    assert ledger.counts() == {"pending": 4} and ledger.counts("aa") == {"pending": 2}


def test_what_is_over_is_listed_by_its_end(ledger: Ledger) -> None:
    ledger.add(added("aa", count=5))
    for n, (state, ended) in enumerate([("failed", 7.0), ("succeeded", 9.0), ("running", 0.0), ("cancelled", 7.0)]):
        ledger.move(f"aa000{n}", ("pending", 0), state=state, ended=ended)
    assert [e.run for e in ledger.ended(10)] == ["aa0001", "aa0003", "aa0000"]
    assert [e.run for e in ledger.ended(1)] == ["aa0001"]


def test_many_are_moved_in_one_step_and_those_alone_that_are_as_they_were_seen(ledger: Ledger) -> None:
    ledger.add(added("aa", count=4))
    ledger.move("aa0001", ("pending", 0), state="running", attempt=1)
    seen = [(f"aa000{n}", "pending", 0) for n in (3, 1, 0)]
    assert ledger.moves([*seen, ("none", "pending", 0)], state="failed", reason="x") == ["aa0003", "aa0000"]
    assert [e.state for e in ledger.entries()] == ["failed", "running", "pending", "failed"]
    assert ledger.moves([], state="failed") == []


def test_only_who_saw_the_present_state_moves_it(ledger: Ledger) -> None:
    ledger.add(added("aa"))
    assert ledger.move("aa0000", ("pending", 0), state="running", attempt=1, where="node7", boot="b",
                       reason="in /data/\udcff")
    assert not ledger.move("aa0000", ("pending", 0), state="running", attempt=1)
    assert not ledger.move("aa0000", ("running", 2), state="failed")
    assert not ledger.move("none", ("running", 1), state="failed")
    entry = ledger.find("aa0000")
    assert (entry.state, entry.attempt, entry.where, entry.boot) == ("running", 1, "node7", "b")
    with pytest.raises(TypeError):
        ledger.move("aa0000", ("running", 1), submission="other")


def test_a_name_is_of_one_run_that_is_not_over(ledger: Ledger) -> None:
    ledger.add(added("aa", "unet"))
    with pytest.raises(QueueError) as told:
        ledger.add(added("bb", "other", "unet"))
    assert told.value.code == "queue.name-taken"
    assert [e.submission for e in ledger.entries()] == ["aa"]  # all or none
    ledger.move("aa0000", ("pending", 0), state="cancelled")
    ledger.add(added("cc", "unet"))
    assert ledger.find("unet").run == "cc0000"  # the newest
    with pytest.raises(QueueError):
        ledger.add(added("dd", "same", "same"))


def test_a_run_is_found_by_the_beginning_of_its_id(ledger: Ledger) -> None:
    ledger.add(added("ab", count=2))
    ledger.add(added("ac"))
    assert ledger.find("ac").run == "ac0000"
    for text, code in (("ab", "queue.ambiguous"), ("zz", "queue.unknown"), ("", "queue.unknown")):
        with pytest.raises(QueueError) as told:
            ledger.find(text)
        assert told.value.code == code, text
    for ask in (ledger.submission, ledger.template, ledger.point):
        with pytest.raises(QueueError) as told:
            ask("zz")
        assert told.value.code == "queue.unknown"


def test_jobs_are_noted(ledger: Ledger) -> None:
    ledger.add(added("aa", count=3))
    ledger.jobs((f"aa{i:04}", f"77_{i}") for i in range(2))
    assert [e.job for e in ledger.entries()] == ["77_0", "77_1", ""]


def test_only_what_is_over_is_forgotten(ledger: Ledger) -> None:
    ledger.add(added("aa", count=2))
    ledger.move("aa0000", ("pending", 0), state="failed", exit_code=3)
    assert ledger.forget(["aa0000", "aa0001", "zz"]) == 1
    assert [e.run for e in ledger.entries()] == ["aa0001"]
    ledger.move("aa0001", ("pending", 0), state="cancelled")
    assert ledger.forget(["aa0001"]) == 1
    with pytest.raises(QueueError):
        ledger.template("aa")


def test_a_submission_is_found_by_its_name(ledger: Ledger) -> None:
    for id in ("aa", "bb"):
        ledger.add(replace(added(id), name="sweep", created=float(len(id) + ord(id[0]))))
    assert (ledger.called("sweep"), ledger.called("aa"), ledger.called("zz"), ledger.called("")) == ("bb", "aa", "", "")
    assert ledger.submission("aa").name == "sweep"


def test_many_in_one_go_with_names(ledger: Ledger) -> None:
    ledger.add(added("aa", *(f"s-{i}" for i in range(1200))))
    with pytest.raises(QueueError):
        ledger.add(added("bb", *(f"s-{i}" for i in range(1199, 3000))))
    assert ledger.counts() == {"pending": 1200}


def test_another_connection_sees_it(tmp_path: Path) -> None:
    make: Callable[[], SqliteLedger] = lambda: SqliteLedger(tmp_path / "queue")  # noqa: E731
    one, two = make(), make()
    one.add(added("aa"))
    assert two.find("aa0000").state == "pending"
    two.move("aa0000", ("pending", 0), state="running", attempt=1)
    assert one.find("aa0000").attempt == 1
    one.close()
    two.close()


def test_what_is_due_and_what_comes_later(ledger: Ledger) -> None:
    ledger.add(added("aa", count=4))
    ledger.add(replace(added("bb"), scheduler="slurm"))
    for run, when in (("aa0001", 1100.0), ("aa0002", 1000.0 + 86400)):  # the second: the clock was set back by a day
        assert ledger.move(run, ("pending", 0), not_before=when)
    ledger.move("aa0003", ("pending", 0), state="running", attempt=1)
    assert [e.run for e in ledger.due(1000.0)] == ["aa0000", "aa0002"]
    assert ledger.later(1000.0) == 1100.0
    assert [e.run for e in ledger.due(1100.0)] == ["aa0000", "aa0001", "aa0002"]
    assert ledger.later(1100.0) == 0.0
    assert ledger.due(1100.0, without=("aa",)) == [] and len(ledger.due(1100.0, most=1)) == 1


def test_a_submission_is_cancelled_in_one_step(ledger: Ledger) -> None:
    ledger.add(added("aa", count=3))
    ledger.add(added("bb"))
    ledger.move("aa0001", ("pending", 0), state="running", attempt=1)
    ledger.move("aa0002", ("pending", 0), state="failed")
    assert ledger.cancel("aa", "stopped", 5.0) == 2
    assert [(e.state, e.wanted, e.ended) for e in ledger.entries(submission="aa")] == [
        ("cancelled", "cancelled", 5.0), ("running", "cancelled", 0.0), ("failed", "", 0.0)]
    assert ledger.find("bb0000").state == "pending"


def test_a_note_is_kept(ledger: Ledger) -> None:
    assert ledger.noted("use") == ""
    ledger.note("use", "1.5 1000")
    ledger.note("use", "2.5 1000")
    assert ledger.noted("use") == "2.5 1000" and ledger.noted("other") == ""
