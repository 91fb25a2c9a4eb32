"""Unattended runs from Python: what train() and queued() give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue_kit import Yard

import bareboat
from bareboat.errors import BareboatError


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    made = Yard(tmp_path)
    monkeypatch.setenv("BAREBOAT_HOME", str(made.home))
    monkeypatch.setenv("BAREBOAT_LEASES_PATH", str(made.leases))
    made.worker()
    yield made
    made.close()


def test_runs_that_were_sent_together(yard: Yard) -> None:
    runs = yard.submit("echo one", "echo two; exit 3", name="both")
    sent = bareboat.queued(yard.entry(runs[0]).submission)
    yard.wake()
    assert sent.runs == tuple(runs) and sent.wait() == 3
    assert [(o.state, o.exit_code) for o in sent.outcomes()] == [("succeeded", 0), ("failed", 3)]
    assert sent.logs(runs[1]) == b"two\n" and sent.record(runs[0]).exit_code == 0
    with pytest.raises(BareboatError) as error:
        sent.logs()
    assert error.value.code == "usage.run"
    assert sent.resume(failed=True) == [runs[1]]
    assert sent.wait() == 3 and sent.outcomes()[1].attempt == 2
    sent.stop()  # nothing to stop is no error


def test_one_run_of_several(yard: Yard) -> None:
    runs = yard.submit("echo up; sleep 60", "true")
    one = bareboat.queued(runs[0])
    yard.wake()
    yard.until(runs[0], lambda entry: "up" in yard.said(runs[0]))
    assert one.runs == (runs[0],) and [o.state for o in one.outcomes()] == ["running"]
    one.stop()
    assert [o.state for o in one.outcomes()] == ["cancelled"] and one.logs().startswith(b"up\n")


def test_who_is_not_there(yard: Yard) -> None:
    with pytest.raises(BareboatError) as error:
        bareboat.queued("nobody")
    assert error.value.code == "queue.unknown"
    with pytest.raises(BareboatError) as error:
        bareboat.train()
    assert error.value.code == "usage.no-program"
