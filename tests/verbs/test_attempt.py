"""Attempts: what they are started with, how they are interrupted, and what the next one goes on from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue_kit import Yard

from bareboat.record.values import RunRecord
from bareboat.supervisor.client import ask
from bareboat.training.values import Checkpoints, Interrupt, Need, Retry, Training
from bareboat.verbs.attempt import ending_of
from bareboat.verbs.runs import load

# counts to $1, saves at each step, and ends when it is told to
COUNTS = """
i=0; [ -z "$BAREBOAT_RESUME" ] || i=$(cat "$BAREBOAT_RESUME")
echo "attempt $BAREBOAT_ATTEMPT $BAREBOAT_FENCE from $i"
trap 'echo "warned at $i"; exit 0' USR1
while [ $i -lt 3 ]; do
  i=$((i + 1)); echo $i > "$BAREBOAT_CHECKPOINTS/step-$i.tmp"; mv "$BAREBOAT_CHECKPOINTS/step-$i.tmp" "$BAREBOAT_CHECKPOINTS/step-$i"
  [ $i -gt "$BAREBOAT_ATTEMPT" ] || continue
  echo "waits at $i"; while :; do sleep 0.05; done
done
echo "done $i"
"""  # noqa: E501
SOON = Interrupt(grace=20.0, kill=5.0)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def _interrupt(yard: Yard, run: str, cause: str) -> None:
    ask(yard.store.runs.path(run), 5.0, do="interrupt", cause=cause)


def test_a_run_that_is_preempted_goes_on_from_its_checkpoint(yard: Yard) -> None:
    run, = yard.submit(COUNTS, name="counts", training=Training(interrupt=SOON))
    yard.wake()
    for attempt in (1, 2):
        yard.until(run, lambda _, a=attempt: f"waits at {a + 1}" in yard.said(run))
        _interrupt(yard, run, "preempted")
    entry = yard.over(run)
    assert (entry.state, entry.attempt, entry.failures) == ("succeeded", 3, 0)
    said = yard.said(run)
    for line in (f"attempt 1 {run}.1 from 0", "warned at 2", f"attempt 2 {run}.2 from 2", "warned at 3",
                 f"attempt 3 {run}.3 from 3", "done 3"):
        assert line in said
    record = load(yard.store, run)
    assert [(a.number, a.reason) for a in record.attempts] == [(1, "preempted"), (2, "preempted")]
    assert dict(record.env)["BAREBOAT_RESUME"] == ""  # a repetition begins from nothing


def test_what_listens_to_nothing_is_killed_when_its_time_is_over(yard: Yard) -> None:
    run, = yard.submit("trap '' TERM; echo up; while :; do sleep 0.05; done",
                       training=Training(interrupt=Interrupt(grace=0.2, kill=0.1)))
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    _interrupt(yard, run, "stopped")
    entry = yard.over(run)
    assert (entry.state, entry.exit_code) == ("cancelled", 137)


def test_a_program_without_a_handler_does_not_die_of_the_warning_but_of_the_signal_after_it(yard: Yard) -> None:
    run, = yard.submit("trap 'echo saved; exit 3' TERM; echo up; while :; do sleep 0.05; done",
                       training=Training(interrupt=SOON))
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    _interrupt(yard, run, "stopped")
    assert yard.over(run).exit_code == 3 and "saved" in yard.said(run)


def test_a_shell_around_the_program_does_not_take_it_along(yard: Yard) -> None:
    run, = yard.submit("""
        sh -c 'trap "echo saved; exit 3" TERM; echo up; while :; do sleep 0.05; done'
        echo "it ended with $?"; exit 4
    """, training=Training(interrupt=SOON))
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    _interrupt(yard, run, "stopped")
    assert yard.over(run).exit_code == 4 and "saved\nit ended with 3" in yard.said(run)


def test_a_stop_during_a_preemption_is_the_last_word(yard: Yard) -> None:
    run, = yard.submit("trap 'echo told' USR1; echo up; while :; do sleep 0.05; done",
                       training=Training(interrupt=Interrupt(grace=1.0, kill=1.0)))
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    _interrupt(yard, run, "preempted")
    yard.until(run, lambda _: "told" in yard.said(run))
    _interrupt(yard, run, "stopped")
    assert yard.over(run).state == "cancelled"


def test_the_time_limit_leaves_time_to_save_and_the_run_goes_on_if_that_was_said(yard: Yard) -> None:
    training = Training(Need(seconds=2.0), Interrupt(grace=0.9, kill=0.1), Retry(at_limit=True))
    run, = yard.submit(COUNTS, training=training)
    yard.wake()
    entry = yard.over(run)
    assert (entry.state, entry.attempt) == ("succeeded", 3) and "warned at 2" in yard.said(run)
    failed, = yard.submit("sleep 60", training=Training(Need(seconds=0.4), Interrupt(grace=0.1, kill=0.1)))
    yard.wake()
    entry = yard.over(failed)
    assert (entry.state, entry.reason) == ("failed", "time limit")


def test_as_many_checkpoints_are_kept_as_was_said(yard: Yard) -> None:
    script = 'for i in 1 2 3 4; do echo $i > "$BAREBOAT_CHECKPOINTS/step-$i"; done; echo x > "$BAREBOAT_CHECKPOINTS/.a"'
    run, = yard.submit(script, name="many", training=Training(checkpoints=Checkpoints(keep=2)))
    yard.wake()
    assert yard.over(run).state == "succeeded"
    left = sorted(p.name for p in (yard.results / "many" / "checkpoints").iterdir())
    assert left == [".a", "step-3", "step-4"]


@pytest.mark.parametrize("place", ["checkpoints", "results"])
def test_a_folder_whose_place_was_taken_is_a_failure_that_says_so(yard: Yard, place: str, tmp_path: Path) -> None:
    run, = yard.submit("echo never", name="taken")
    outside = tmp_path / "outside"
    outside.mkdir()
    if place == "results":
        (yard.results / "taken").write_text("mine")
    else:
        (yard.results / "taken").mkdir()
        (yard.results / "taken" / "checkpoints").symlink_to(outside)
    yard.wake()
    entry = yard.over(run)
    assert entry.state == "failed" and str(yard.results / "taken") in entry.reason
    assert yard.said(run) == "" and list(outside.iterdir()) == []


def test_who_asked_for_the_end_decides_what_it_was() -> None:
    record = RunRecord("0" * 12, state="cancelled", exit_code=0)
    asked = ("preempted", "time limit", "stopped", "killed", "idle")
    causes = {why: ending_of(record, why).cause for why in asked}
    assert causes == {"preempted": "preempted", "time limit": "limit", "stopped": "stopped", "killed": "stopped",
                      "idle": "stopped"}
    assert ending_of(RunRecord("0" * 12, state="failed", reason="out of memory", exit_code=137), "").cause == "memory"
    assert ending_of(RunRecord("0" * 12, state="succeeded", exit_code=0), "").cause == "exit"


def test_a_checkpoint_folder_that_was_deleted_while_it_ran(yard: Yard) -> None:
    """The next attempt has an empty one, and begins anew; whatever was put in its place is not followed."""
    import shutil

    script = """
        c=$BAREBOAT_CHECKPOINTS; echo "attempt $BAREBOAT_ATTEMPT from '$BAREBOAT_RESUME'"
        echo 1 > $c/step-1.tmp && mv $c/step-1.tmp $c/step-1 && echo saved
        [ "$BAREBOAT_ATTEMPT" = 3 ] || while :; do sleep 0.05; done"""
    run, = yard.submit(script, name="d", training=Training(interrupt=SOON))
    yard.wake()
    folder = yard.results / "d/checkpoints"
    for attempt in (1, 2):
        yard.until(run, lambda _, a=attempt: yard.said(run).count("saved") == a)
        shutil.rmtree(folder)
        _interrupt(yard, run, "preempted")
    entry = yard.over(run)
    assert (entry.state, entry.attempt) == ("succeeded", 3)
    assert yard.said(run).count("from ''") == 3 and [path.name for path in folder.iterdir()] == ["step-1"]


def test_a_link_in_the_place_of_the_checkpoint_folder_ends_the_run_with_words(yard: Yard, tmp_path: Path) -> None:
    (yard.results / "l").mkdir()
    run, = yard.submit("echo never", name="l")
    results = Path(yard.ledger.point(run).results)
    results.mkdir(exist_ok=True)
    (results / "checkpoints").symlink_to(tmp_path)
    yard.wake()
    entry = yard.over(run)
    assert entry.state == "failed" and "checkpoints.folder" in entry.reason and yard.said(run) == ""
