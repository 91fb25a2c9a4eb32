"""What follows an attempt: the whole table, cell by cell (SECURITY row 16)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.record.states import STATES
from bareboat.training.rules import LOST_MOST, follow
from bareboat.training.values import CAUSES, Ending, Retry

NONE, TWICE = Retry(), Retry(retries=2)
SOME = Retry(retries=2, retry_on=(1, 137), fail_on=(42,))
AT_LIMIT = Retry(retries=1, at_limit=True)
ASKS = Retry(requeue_on=(42,))

S, F, P, C = "succeeded", "failed", "pending", "cancelled"
ENDINGS = {
    "exit 0": Ending("exit", 0), "exit 1": Ending("exit", 1), "exit 42": Ending("exit", 42),
    "exit 75": Ending("exit", 75), "killed": Ending("exit", 137, "killed"), "terminated": Ending("exit", 143),
    "memory": Ending("memory", 137, "out of memory"), "start": Ending("start", 127, "not found"),
    "limit": Ending("limit", 143), "limit, saved": Ending("limit", 0), "preempted": Ending("preempted", 143),
    "preempted, saved": Ending("preempted", 0), "stopped": Ending("stopped", 143),
    "stopped, saved": Ending("stopped", 0),
    "lost": Ending("lost"), "reboot": Ending("reboot"), "disk full": Ending("exit", 1, "no space"),
}
#                    none twice some limit asks
TABLE = {
    "exit 0":           (S, S, S, S, S),
    "exit 1":           (F, P, P, P, F),
    "exit 42":          (F, P, F, P, P),
    "exit 75":          (P, P, P, P, F),
    "killed":           (F, P, P, P, F),
    "terminated":       (F, P, F, P, F),
    "memory":           (F, P, P, P, F),
    "start":            (F, F, F, F, F),
    "limit":            (F, F, F, P, F),
    "limit, saved":     (F, F, F, P, F),
    "preempted":        (P, P, P, P, P),
    "preempted, saved": (P, P, P, P, P),
    "stopped":          (C, C, C, C, C),
    "stopped, saved":   (C, C, C, C, C),
    "lost":             (P, P, P, P, P),
    "reboot":           (P, P, P, P, P),
    "disk full":        (F, P, P, P, F),
}  # fmt: skip
POLICIES = {"none": NONE, "twice": TWICE, "some": SOME, "limit": AT_LIMIT, "asks": ASKS}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_state_that_follows(ending: str, policy: str) -> None:
    step = follow(ENDINGS[ending], POLICIES[policy])
    assert step.state == TABLE[ending][list(POLICIES).index(policy)]
    if step.state == P:  # a failure that is retried counts; an interruption and what the program asks for do not
        asked = (ENDINGS[ending].code or 0) in POLICIES[policy].requeue_on
        assert step.failures == (ENDINGS[ending].cause in ("exit", "memory") and not asked)


def test_retries_are_used_up_by_failures_alone() -> None:
    failures = 0
    for _ in range(10):
        failures = follow(Ending("preempted", 143), TWICE, failures).failures
    first = follow(Ending("exit", 1), TWICE, failures)
    second = follow(Ending("exit", 1), TWICE, first.failures)
    assert [first.state, second.state, follow(Ending("exit", 1), TWICE, second.failures).state] == [P, P, F]
    assert 0 < first.wait < second.wait


def test_a_run_that_is_lost_again_and_again_fails_at_last() -> None:
    assert follow(Ending("lost"), NONE, losses=LOST_MOST - 2).state == P
    last = follow(Ending("lost", None, "its process was killed"), NONE, losses=LOST_MOST - 1)
    assert last.state == F and str(LOST_MOST) in last.reason


@given(st.sampled_from(CAUSES), st.none() | st.integers(0, 255), st.integers(0, 5), st.integers(0, 30),
       st.builds(Retry, st.integers(0, 5), st.tuples(st.integers(0, 255)), st.tuples(st.integers(0, 255)),
                 st.tuples(st.integers(0, 255)), st.booleans()))
def test_a_step_is_a_legal_one(cause: str, code: int | None, failures: int, losses: int, retry: Retry) -> None:
    step = follow(Ending(cause, code), retry, failures, losses)
    assert step.state in STATES and step.state != "running"
    assert failures <= step.failures <= failures + 1
    assert step.wait >= 0 and (step.state == "pending" or not step.wait)
    assert (step.state == "cancelled") == (cause == "stopped")
    assert step.state != "succeeded" or (cause == "exit" and code == 0)
