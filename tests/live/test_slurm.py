"""Runs on a real Slurm cluster of two nodes: sent, watched, stopped, lost, preempted, resumed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.slurm_kit import Yard, slurm

from bareboat.errors import EngineError
from bareboat.training.values import Training

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    made = Yard(tmp_path_factory.mktemp("slurm"))
    yield made
    made.close()


def test_runs_of_one_submission_are_an_array(place: Yard) -> None:
    runs = place.send("echo one; echo bad >&2; exit 3", "echo two; echo kept > /results/kept", name="ab")
    first, second = (place.over(run) for run in runs)
    assert (first.state, first.exit_code, first.attempt) == ("failed", 3, 1)
    assert (second.state, second.exit_code, second.attempt) == ("succeeded", 0, 1)
    assert first.where in ("n1", "n2")
    numbers = [place.job(run).partition("_") for run in runs]
    assert numbers[0][0] == numbers[1][0] and [n[2] for n in numbers] == ["0", "1"]
    assert sorted(place.said(runs[0]).split()) == ["bad", "one"]
    assert (place.results / "ab1/kept").read_text() == "kept\n"


def test_what_slurm_refuses_has_left_nothing(place: Yard) -> None:
    before = [entry.run for entry in place.ledger.entries()]
    with pytest.raises(EngineError) as caught:
        place.send("true", "true", training=Training(options=(("partition", "nowhere"),)))
    assert caught.value.code == "slurm.refused" and "nvalid partition" in caught.value.what
    assert not slurm("squeue", "-h", "-o", "%k", "--states=PENDING,RUNNING")
    assert [entry.run for entry in place.ledger.entries()] == before
