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
from bareboat.queue.base import Added
from bareboat.queue.memory import MemoryLedger
from bareboat.record.values import RunRecord
from bareboat.training.sweep import grid
from bareboat.training.values import Point, Training
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
