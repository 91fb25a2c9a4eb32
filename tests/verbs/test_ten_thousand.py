"""A sweep of 10,000 in this machine's queue: sent, listed, begun, stopped, resumed and taken off the list as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue_kit import Yard

from bareboat.cli import queue as words
from bareboat.training.values import Training
from bareboat.verbs import queued
from bareboat.verbs.queue import listing

COUNT = 10_000


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def test_a_sweep_of_ten_thousand(yard: Yard) -> None:
    runs = yard.submit(*["echo up; sleep 600"] * COUNT, name="sw", training=Training(parallel=2),
                       env=(("API_KEY", "secret"),))
    id = yard.entry(runs[0]).submission
    assert yard.ledger.counts(id) == {"pending": COUNT} and len(set(runs)) == COUNT
    assert len(list((yard.store.queue / "withheld").iterdir())) == 2  # one file, and the lock
    yard.wake()
    for run in runs[:2]:
        yard.until(run, lambda _, r=run: "up" in yard.said(r))
    assert yard.ledger.counts(id)["running"] == 2
    assert len(list(yard.store.runs.path(runs[0]).parent.iterdir())) <= 4  # what waits is a row and nothing else
    shown = list(words.rows(listing(yard.work, yard.queue)))
    assert len(shown) < 60 and any("more" in cell for row in shown for cell in row)  # a screenful
    assert queued.stop(id, yard.queue)
    assert yard.ledger.counts(id) == {"cancelled": COUNT}, yard.ledger.counts(id)
    assert not (yard.store.queue / "withheld" / id).exists()
    assert len(queued.resume(id, yard.queue, given={"API_KEY": "secret"})) == COUNT
    assert queued.stop(id, yard.queue)
    assert queued.remove(id, yard.queue, yard.store) and yard.ledger.counts() == {}
