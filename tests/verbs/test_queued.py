"""Queued runs from submission to end, with real workers and attempts over the skeleton root."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.life_kit import until
from tests.queue_kit import Yard

from bareboat.errors import BareboatError
from bareboat.training.values import Retry, Training
from bareboat.verbs import queue as listing
from bareboat.verbs import queued


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def test_a_run_is_queued_and_carried_out(yard: Yard) -> None:
    run, = yard.submit("echo hello; echo kept > /results/file", name="one")
    yard.wake()
    entry = yard.over(run)
    assert (entry.state, entry.attempt, entry.exit_code) == ("succeeded", 1, 0)
    assert yard.said(run) == "hello\n" and (yard.results / "one" / "file").read_text() == "kept\n"
    assert queued.wait("one", yard.queue) == 0


def test_a_failure_is_retried_as_often_as_was_said(yard: Yard) -> None:
    run, = yard.submit("echo try; exit 3", training=Training(retry=Retry(retries=1)))
    yard.wake()
    entry = yard.over(run)
    assert (entry.state, entry.attempt, entry.failures, entry.exit_code) == ("failed", 2, 2, 3)
    assert yard.said(run).count("try") == 2


def test_what_waits_is_stopped_and_never_starts(yard: Yard) -> None:
    run, = yard.submit("echo never", name="waits")
    assert queued.stop("waits", yard.queue)
    assert yard.entry(run).state == "cancelled" and yard.entry(run).attempt == 0
    assert yard.said(run) == ""
    assert queued.stop("waits", yard.queue)  # again is no error
    assert not queued.stop("nobody", yard.queue)


def test_what_runs_is_stopped_and_resumed(yard: Yard) -> None:
    run, = yard.submit("echo up; sleep 60", name="long")
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    assert queued.stop("long", yard.queue)
    assert yard.entry(run).state == "cancelled"
    assert [entry.run for entry in queued.resume("long", yard.queue)] == [run]
    yard.until(run, lambda entry: entry.state == "running" and yard.said(run).count("up") == 2)
    assert yard.entry(run).attempt == 2
    with pytest.raises(BareboatError) as told:
        queued.resume("long", yard.queue)
    assert told.value.code == "resume.going"


def test_a_sweep_is_meant_by_its_name(yard: Yard) -> None:
    runs = yard.submit("sleep 60", "sleep 60", "sleep 60", name="sweep")
    yard.ledger.move(runs[2], ("pending", 0), state="failed", reason="before")
    assert queued.stop(yard.entry(runs[0]).submission, yard.queue)
    assert [yard.entry(run).state for run in runs] == ["cancelled", "cancelled", "failed"]
    assert len(queued.resume(yard.entry(runs[0]).submission, yard.queue)) == 3
    assert queued.remove(yard.entry(runs[0]).submission, yard.queue, yard.store, force=True)
    assert yard.ledger.entries() == []


def test_what_follows_waits_for_it_or_is_cancelled_with_it(yard: Yard) -> None:
    first, = yard.submit("sleep 0.2; echo first")
    second, = yard.submit("echo second", training=Training(after=(first,)))
    bad, = yard.submit("exit 1")
    never, = yard.submit("echo never", training=Training(after=(bad,)))
    yard.wake()
    assert yard.over(second).state == "succeeded"
    assert yard.entry(second).started >= yard.entry(first).ended
    assert yard.over(never).state == "cancelled" and "which it was to follow, failed" in yard.entry(never).reason


def test_two_workers_never(yard: Yard) -> None:
    run, = yard.submit("sleep 60")
    first = yard.worker()
    yard.until(run, lambda entry: entry.state == "running")
    second = yard.worker()
    assert os.waitpid(second, 0)[1] == 0  # it ended at once
    yard.workers.remove(second)
    os.kill(first, 0)
    assert yard.entry(run).attempt == 1


def test_an_attempt_outlives_its_worker_and_the_next_one_takes_it_over(yard: Yard) -> None:
    run, = yard.submit("echo up; while [ ! -e /results/go ]; do sleep 0.05; done; echo through")
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    yard.kill_worker()
    assert yard.store.runs.is_alive(run)
    yard.wake()
    (yard.results / run / "go").touch()
    entry = yard.over(run)
    assert (entry.state, entry.attempt) == ("succeeded", 1)
    assert yard.said(run).count("up") == 1


def test_the_end_of_an_attempt_without_a_worker_is_written_down_by_the_next(yard: Yard) -> None:
    run, = yard.submit("echo up; while [ ! -e /results/go ]; do sleep 0.05; done; exit 4")
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    yard.kill_worker()
    (yard.results / run / "go").touch()
    from tests.life_kit import until

    until(lambda: not yard.store.runs.is_alive(run))
    assert yard.entry(run).state == "running"
    yard.wake()
    assert (yard.over(run).state, yard.entry(run).exit_code) == ("failed", 4)


def test_a_supervisor_that_is_killed_is_a_loss_and_the_run_starts_again(yard: Yard) -> None:
    run, = yard.submit("echo up; [ -e /results/again ] && exit 0; touch /results/again; sleep 60")
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    os.kill(yard.attempt_of(run), signal.SIGKILL)
    entry = yard.over(run)
    assert (entry.state, entry.attempt, entry.failures) == ("succeeded", 2, 0)


def test_after_a_reboot_the_run_goes_on(yard: Yard) -> None:
    run, = yard.submit("echo on")
    yard.ledger.move(run, ("pending", 0), state="running", attempt=1, boot="another start of this machine")
    yard.wake()
    entry = yard.over(run)
    assert (entry.state, entry.attempt, entry.losses, entry.failures) == ("succeeded", 2, 0, 0)


@pytest.mark.parametrize("days", [-1, 1])
def test_the_clock_jumps_by_a_day(yard: Yard, days: int) -> None:
    import time

    run, = yard.submit("echo on")
    yard.ledger.move(run, ("pending", 0), not_before=time.time() - days * 86400.0, created=time.time() - days * 86400.0)
    yard.wake()
    assert yard.over(run).state == "succeeded"


def test_a_queue_is_made_anew_of_submissions_and_records(yard: Yard) -> None:
    """Damaged beyond reading: what ran is known by its records, what runs is found again, what waited waits, held."""
    from bareboat.verbs.rebuild import rebuild

    done, = yard.submit("echo done", name="done")
    failed, = yard.submit("exit 3")
    going, = yard.submit("echo up; while [ ! -e /results/go ]; do sleep 0.05; done")
    later, = yard.submit("echo later", training=Training(after=(going,)))
    yard.wake()
    yard.over(done)
    yard.over(failed)
    yard.until(going, lambda _: "up" in yard.said(going))
    yard.ledger.close()
    file = yard.store.queue / "ledger.sqlite"
    file.write_bytes(b"\0" * file.stat().st_size)
    made = rebuild(yard.work, yard.queue)
    yard.workers.clear()
    assert (made.submissions, made.runs, made.waiting) == (4, 4, 1) and made.aside and made.aside.exists()
    assert [yard.entry(run).state for run in (done, failed, going, later)] == [
        "succeeded", "failed", "running", "pending"]
    assert yard.entry(failed).exit_code == 3
    yard.worker()
    (yard.results / going / "go").touch()
    assert yard.over(going).state == "succeeded" and yard.entry(going).attempt == 1
    from bareboat.verbs.queue import hold

    assert yard.entry(later).state == "pending"
    hold(yard.queue, held=False)
    assert yard.over(later).state == "succeeded"


def test_what_is_readable_of_a_damaged_file_is_kept(yard: Yard) -> None:
    from bareboat.verbs.rebuild import rebuild

    yard.submit("echo a", name="a")
    stopped, = yard.submit("echo b", name="b")
    assert queued.stop("b", yard.queue)
    yard.kill_worker()
    yard.ledger.close()
    rebuild(yard.work, yard.queue)
    assert yard.entry(stopped).state == "cancelled" and yard.entry("a").state == "pending"


def test_the_name_of_a_queued_run_is_no_containers(yard: Yard) -> None:
    from bareboat.verbs import containers
    from bareboat.verbs.containers import Container

    yard.submit("true", name="mine")
    with pytest.raises(BareboatError) as told:
        containers.claim(yard.store, Container("abc", "mine"))
    assert told.value.code == "container.name-taken" and "queued" in told.value.what
    queued.stop("mine", yard.queue)
    assert containers.claim(yard.store, Container("abc", "mine")).name == "mine"


def test_a_container_while_it_runs_and_none_after(yard: Yard) -> None:
    from bareboat.verbs import containers

    run, = yard.submit("echo up; sleep 60", name="here")
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    seen = containers.find(yard.store, "here")
    assert (seen.container.id, seen.state) == (run, "running")
    queued.stop("here", yard.queue)
    assert containers.listed(yard.store) == []


def test_what_runs_and_show_say_of_a_run_that_waits(yard: Yard) -> None:
    from bareboat.verbs.queue import hold
    from bareboat.verbs.runs import RunFilter, find, runs

    hold(yard.queue, held=True)
    run, = yard.submit("echo later", name="later")
    record = find(yard.store, "later")
    assert (record.id, record.state, record.attempt, record.argv[-1]) == (run, "pending", 1, "echo later")
    assert [(r.id, r.state) for r in runs(yard.store, RunFilter()).runs] == [(run, "pending")]
    assert runs(yard.store, RunFilter(state="pending")).runs and not runs(yard.store, RunFilter(state="failed")).runs


def test_who_writes_nothing_and_uses_nothing_is_silent(yard: Yard) -> None:
    from bareboat.verbs.attempts import LocalHands

    run, = yard.submit("echo up; while [ ! -e /results/busy ]; do sleep 5; done; while :; do :; done")
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    hands = LocalHands(yard.work, yard.ledger, lambda _: None)  # type: ignore[arg-type,return-value]
    assert hands.silent(yard.entry(run)) == 0.0  # it was not looked at before
    until(lambda: hands.silent(yard.entry(run)) > 0.1)
    queued.stop(run, yard.queue)
    assert hands.silent(yard.entry(run)) == 0.0  # who is gone is not silent


def test_doctor_looks_at_the_queues_file(yard: Yard) -> None:
    from bareboat.verbs.doctor import _queue

    assert list(_queue(yard.work)) == []  # nothing was ever queued
    yard.submit("true")
    yard.ledger.close()
    check, = _queue(yard.work)
    assert check.ok and check.detail == "1 pending"
    file = yard.store.queue / "ledger.sqlite"
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 8192)
    check, = _queue(yard.work)
    assert not check.ok and "--rebuild" in check.remedy
    file.unlink()


def test_what_bareboat_says_is_a_line_of_its_own_behind_a_progress_bar(yard: Yard) -> None:
    run, = yard.submit("printf 10%%; sleep 600", name="bar")
    yard.wake()
    yard.until(run, lambda _: "10%" in yard.said(run))
    queued.stop(run, yard.queue)
    assert yard.said(run).startswith("10%\nbareboat: interrupted: ")


def test_who_uses_a_gpu_is_not_silent(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    from bareboat.supervisor import client
    from bareboat.verbs.attempts import LocalHands

    said: dict[str, object] = {"cpu_seconds": 1.0, "gpu": 0.0}
    monkeypatch.setattr(client, "ask", lambda *_, **__: SimpleNamespace(value=said))
    run, = yard.submit("true")
    entry = yard.entry(run)
    hands = LocalHands(yard.work, yard.ledger, lambda _: None)  # type: ignore[arg-type,return-value]
    assert hands.silent(entry) == 0.0
    time.sleep(0.02)
    assert hands.silent(entry) > 0.0
    said["gpu"] = 3.0
    assert hands.silent(entry) == 0.0
    said["gpu"] = None  # not known
    time.sleep(0.02)
    assert hands.silent(entry) > 0.0


def test_what_is_held_back_is_not_said_to_start(yard: Yard) -> None:
    yard.submit("true", name="waits")
    listing.hold(yard.queue, held=True)
    page = listing.listing(yard.work, yard.queue)
    assert page.held and [row.why for row in page.rows] == [listing.HELD]
    listing.hold(yard.queue, held=False)
    assert [row.why for row in listing.listing(yard.work, yard.queue).rows] != [listing.HELD]
