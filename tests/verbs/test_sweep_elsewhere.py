"""A sweep that another scheduler has, from sending to resuming, with the fake in its place."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from tests import sandbox_kit
from tests.queue_kit import Yard

from bareboat.engine.scheduler_memory import MemoryScheduler, Trainee
from bareboat.engine.slurm import notes
from bareboat.queue.base import Added
from bareboat.queue.memory import MemoryLedger
from bareboat.record.values import RunRecord
from bareboat.training.sweep import grid
from bareboat.training.values import Observation, Point, Training
from bareboat.values import replace
from bareboat.verbs import queued
from bareboat.verbs.launch import Kept
from bareboat.verbs.outcomes import outcomes
from bareboat.verbs.polling import refresh
from bareboat.verbs.submission import Queue, Template, packed, placed, submission_of
from bareboat.verbs.sweep import spread


def work(at: Trainee) -> Generator[float, tuple[int, ...], int]:
    yield 1.0
    return int(at.argv[1]) if at.env["BAREBOAT_ATTEMPT"] == "1" else 0


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def test_a_sweep_is_polled_and_its_failed_runs_are_resumed_alone(yard: Yard, tmp_path: Path) -> None:
    fake, ledger = MemoryScheduler({"work": work}, room=100), MemoryLedger()
    queue = Queue(ledger, yard.queue.leases, lambda: None, lambda name: fake, tmp_path / "queue")
    load = sandbox_kit.workload(yard.tree, "work", "0")
    template = Template(Kept(load, RunRecord("0" * 12, argv=load.argv, engine="memory"), None),
                        Training(scheduler="memory"))
    points = placed(spread(grid(["code=0,3,0,4"]))(Point("", "sw", argv=("work", "{code}"))), tmp_path, "sw")
    id = os.urandom(6).hex()
    ledger.add(Added(id, packed(template), points, "memory", created=time.time(), name="sw"))
    jobs = fake.submit(submission_of(id, template, points, "sw", queue.folder))
    ledger.jobs(zip((point.run for point in points), jobs, strict=True))
    fake.advance(5)
    assert refresh(queue) == ()
    assert outcomes(id, ledger).counts == (("succeeded", 2), ("failed", 2))
    again = queued.resume("sw", queue, failed=True)
    assert [entry.run for entry in again] == [points[1].run, points[3].run]
    fake.advance(5)
    refresh(queue)
    assert [(p.state, p.attempt) for p in outcomes(id, ledger).points] == [
        ("succeeded", 1), ("succeeded", 2), ("succeeded", 1), ("succeeded", 2)]
    assert replace(fake.poll(jobs)[jobs[1]], reason="").state == "failed"  # the job of before stays what it was


def test_slurm_is_asked_seldom_by_who_waits(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of waiting on a clock of its own: the end is noticed by what the node wrote."""
    ledger, now, asked = MemoryLedger(), [1000.0], []
    over = 1000.0 + 3600.0

    class Asked(MemoryScheduler):
        def poll(self, jobs: object) -> dict[str, Observation]:
            asked.append(now[0])
            return {"7@abc/r": Observation("succeeded" if now[0] >= over else "running", "", 1, 0)}

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] >= over:
            notes.write(folder, notes.Note("r", "succeeded", attempt=1, exit_code=0))

    fake = Asked({})
    queue = Queue(ledger, yard.queue.leases, lambda: None, lambda name: fake, tmp_path / "queue")
    folder = queue.folder / "submissions/abc"
    folder.mkdir(parents=True)
    load = sandbox_kit.workload(yard.tree, "work")
    template = Template(Kept(load, RunRecord("0" * 12, argv=load.argv, engine="memory"), None),
                        Training(scheduler="slurm"))
    ledger.add(Added("abc", packed(template), (Point("r", "x", argv=("work",)),), "slurm", created=0.0, name="x"))
    ledger.jobs([("r", "7@abc/r")])
    monkeypatch.setattr(queued.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(queued.time, "sleep", sleep)
    ended = queued.until_over("r", queue)
    assert ended is not None and ended.state == "succeeded" and now[0] - over < 2.0
    assert 300 < len(asked) < 500
