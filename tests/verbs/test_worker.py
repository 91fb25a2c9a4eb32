"""The worker in its loop: when it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.life_kit import until
from tests.queue_kit import Yard

from bareboat.host.background import start_child
from bareboat.queue import door
from bareboat.verbs.worker import serve


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def test_one_that_is_idle_ends(yard: Yard) -> None:
    assert serve(yard.work, yard.queue, 0.05) == 0
    assert not door.is_held(yard.store.queue)


def test_one_that_shall_start_nothing_ends_though_runs_wait(yard: Yard) -> None:
    run, = yard.submit("true")
    door.set_held(yard.store.queue, True)
    assert serve(yard.work, yard.queue, 0.05) == 0
    assert yard.entry(run).state == "pending"
    door.set_held(yard.store.queue, False)
    yard.wake()
    assert yard.over(run).state == "succeeded"


def test_one_in_the_foreground_waits_for_ever_and_ends_when_it_is_asked(yard: Yard) -> None:
    env = {**os.environ, "BAREBOAT_HOME": str(yard.home), "BAREBOAT_LEASES_PATH": str(yard.leases)}
    pid = start_child((sys.executable, "-m", "bareboat", "queue", "worker"), env)
    yard.workers.append(pid)
    until(lambda: door.is_held(yard.store.queue) and door.ring(yard.store.queue))  # it waits, with nothing to do
    run, = yard.submit("true")
    until(lambda: door.ring(yard.store.queue))
    assert yard.over(run).state == "succeeded"
    assert door.is_held(yard.store.queue)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    yard.workers.remove(pid)
