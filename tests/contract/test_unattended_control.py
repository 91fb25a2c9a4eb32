"""The suite of schedulers notices schedulers that are wrong: each of these has one fault, and a test that sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.contract import harness_memory
from tests.contract import test_unattended as suite

from bareboat.engine import scheduler_memory
from bareboat.engine.scheduler_memory import MemoryScheduler
from bareboat.training.values import Ending


class Counting(MemoryScheduler):
    """A preemption is a failure."""

    def _over(self, run: Any, ending: Ending) -> None:
        super()._over(run, Ending("exit", ending.code) if ending.cause == "preempted" else ending)


class Trusting(MemoryScheduler):
    """Who exits with 0 after the warning has finished."""

    def _over(self, run: Any, ending: Ending) -> None:
        super()._over(run, Ending("exit", 0) if ending.code == 0 else ending)


class Forgetful(MemoryScheduler):
    """Each attempt has a new log."""

    def _start(self, run: Any) -> None:
        del run.log[:]
        super()._start(run)


class Renumbering(MemoryScheduler):
    """Attempts of a resumed run begin at 1 again."""

    def resume(self, submission: Any, point: Any) -> str:
        self._runs[point.run].attempt = 0
        return super().resume(submission, point)


class Eager(MemoryScheduler):
    """What was stopped while it waited starts all the same."""

    def stop(self, jobs: Sequence[str]) -> None:
        super().stop([job for job in jobs if (run := self._of(job)) and run.state != "pending"])


class Unbounded(MemoryScheduler):
    """--max-parallel is not heeded."""

    def _begin(self) -> None:
        for run in self._runs.values():
            object.__setattr__(run.submission.training, "parallel", 0)
        super()._begin()


class Splitting(MemoryScheduler):
    """Words go through a shell."""

    def _start(self, run: Any) -> None:
        argv = tuple(piece for word in run.point.argv[4:] for piece in word.split())
        object.__setattr__(run.point, "argv", (*run.point.argv[:4], *argv))
        super()._start(run)


class Reviving(MemoryScheduler):
    """A stop changes what is over."""

    def stop(self, jobs: Sequence[str]) -> None:
        super().stop(jobs)
        for job in jobs:
            run = self._of(job)
            if run is not None and run.state != "running":
                run.state = "cancelled"


def half_written(folder: Path) -> str:
    found = sorted(folder.iterdir())
    return str(found[-1]) if found else ""


@pytest.mark.parametrize(("wrong", "check"), [
    (Counting, suite.test_preemption_uses_up_no_retry),
    (Trusting, suite.test_one_that_saves_and_exits_with_0_when_it_is_preempted_has_not_finished),
    (Forgetful, suite.test_attempts_share_a_log_and_go_on_from_the_newest_complete_checkpoint),
    (Renumbering, suite.test_one_that_was_stopped_is_resumed_from_its_checkpoint),
    (Eager, suite.test_stop_of_one_that_waits),
    (Unbounded, suite.test_no_more_of_a_sweep_at_once_than_was_said),
    (Splitting, suite.test_words_reach_the_program_as_they_are),
], ids=lambda value: getattr(value, "__name__", ""))
def test_a_wrong_scheduler_is_noticed(wrong: type[MemoryScheduler], check: Callable[..., None], tmp_path: Path) -> None:
    harness = harness_memory.Memory(tmp_path, wrong)
    with pytest.raises(AssertionError):
        check(harness)
    check(harness_memory.Memory(tmp_path / "right"))


def test_one_that_changes_what_is_over_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        suite.test_stop_of_one_that_is_over_changes_nothing(harness_memory.Memory(tmp_path, Reviving), (), "succeeded")


def test_one_that_resumes_from_half_a_checkpoint_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_memory, "_newest", half_written)
    with pytest.raises(AssertionError):
        suite.test_attempts_share_a_log_and_go_on_from_the_newest_complete_checkpoint(harness_memory.Memory(tmp_path))
