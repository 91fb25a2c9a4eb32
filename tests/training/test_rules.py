"""What follows an attempt: the whole table of endings and policies, and what holds for any of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.record.states import STATES, final
from bareboat.training.rules import LOST_MOST, RETRY_MOST, WAIT_MOST, Step, follow
from bareboat.training.values import CAUSES, Ending, Retry

NOTHING = Retry()
TWICE = Retry(retries=2)
CHOSEN = Retry(retries=2, retry_on=(1, 137), fail_on=(42,))
NEVER = Retry(retries=2, fail_on=(1,))
AT_LIMIT = Retry(at_limit=True)
OTHER = Retry(requeue_on=(42,))

ENDINGS = {
    "exit 0": Ending("exit", 0),
    "exit 1": Ending("exit", 1),
    "exit 42": Ending("exit", 42),
    "exit 75": Ending("exit", 75),
    "exit 137": Ending("exit", 137),
    "out of memory": Ending("memory", 137, "out of memory"),
    "SIGTERM by itself": Ending("exit", 143),
    "preempted, saved, 0": Ending("preempted", 0, "preempted"),
    "preempted, saved, 75": Ending("preempted", 75, "preempted"),
    "preempted, killed": Ending("preempted", 137, "preempted"),
    "time limit": Ending("limit", 143, "time limit"),
    "lost": Ending("lost", None, "its process was killed"),
    "reboot": Ending("reboot", None, "the machine was started again"),
    "disk full at the start": Ending("start", 125, "store.full: no room"),
    "disk full in the program": Ending("exit", 1, ""),
    "stopped": Ending("stopped", 143, "stopped"),
    "stopped, saved, 0": Ending("stopped", 0, "stopped"),
}
POLICIES = {"nothing": NOTHING, "twice": TWICE, "chosen": CHOSEN, "never": NEVER, "at limit": AT_LIMIT, "other": OTHER}
# P: pending, F: failed, S: succeeded, C: cancelled; + where it counts as a failure. In the order of POLICIES.
TABLE = {
    "exit 0":                   "S S S S S S",
    "exit 1":                   "F+ P+ P+ F F+ F+",
    "exit 42":                  "F+ P+ F P+ F+ P",
    "exit 75":                  "P P P P P F+",
    "exit 137":                 "F+ P+ P+ P+ F+ F+",
    "out of memory":            "F+ P+ P+ P+ F+ F+",
    "SIGTERM by itself":        "F+ P+ F P+ F+ F+",
    "preempted, saved, 0":      "P P P P P P",
    "preempted, saved, 75":     "P P P P P P",
    "preempted, killed":        "P P P P P P",
    "time limit":               "F F F F P F",
    "lost":                     "P P P P P P",
    "reboot":                   "P P P P P P",
    "disk full at the start":   "F F F F F F",
    "disk full in the program": "F+ P+ P+ F F+ F+",
    "stopped":                  "C C C C C C",
    "stopped, saved, 0":        "C C C C C C",
}  # fmt: skip
LETTERS = {"P": "pending", "F": "failed", "S": "succeeded", "C": "cancelled"}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("policy", POLICIES)
def test_table(ending: str, policy: str) -> None:
    cell = TABLE[ending].split()[list(POLICIES).index(policy)]
    step = follow(ENDINGS[ending], POLICIES[policy])
    assert (step.state, step.failures) == (LETTERS[cell[0]], int("+" in cell))


def test_failures_are_retried_so_often_and_wait_longer_each_time() -> None:
    failures, waits = 0, []
    for _ in range(3):
        step = follow(Ending("exit", 1), Retry(retries=3), failures)
        assert step.state == "pending"
        failures, waits = step.failures, [*waits, step.wait]
    assert waits == [1.0, 2.0, 4.0]
    step = follow(Ending("exit", 1), Retry(retries=3), failures)
    assert (step.state, step.reason) == ("failed", "exit 1")


def test_retries_are_used_up_by_failures_alone() -> None:
    failures = 0
    for _ in range(10):
        failures = follow(Ending("preempted", 143), TWICE, failures).failures
    assert failures == 0


def after(*endings: Ending, retry: Retry = NOTHING) -> Step:
    step = Step("pending")
    for number, ending in enumerate(endings):
        assert step.state == "pending", f"it was over before ending {number}"
        step = follow(ending, retry, step.failures, step.losses)
    return step


LOST = Ending("lost", None, "its node was lost")
LIMIT = Ending("limit", 143, "time limit", progressed=False)


def test_losses_in_a_row_end_a_run_unless_it_comes_further_in_between() -> None:
    assert after(*[LOST] * (LOST_MOST - 1)).state == "pending"
    ended = after(*[LOST] * LOST_MOST)
    assert (ended.state, ended.reason) == ("failed", "its node was lost, 20 times in a row without a new checkpoint")
    further = Ending("lost", None, "its node was lost", progressed=True)
    assert after(*[*[LOST] * (LOST_MOST - 1), further] * 3).state == "pending"
    assert after(*[*[LOST] * (LOST_MOST - 1), Ending("preempted", 0, progressed=True)] * 3).state == "pending"


def test_a_time_limit_that_is_reached_before_any_checkpoint_does_not_go_round_for_ever() -> None:
    assert after(*[LIMIT] * (LOST_MOST - 1), retry=AT_LIMIT).state == "pending"
    assert after(*[LIMIT] * LOST_MOST, retry=AT_LIMIT).state == "failed"
    for known in (True, None):  # what is not known is not held against it
        assert after(*[Ending("limit", 143, "time limit", known)] * 100, retry=AT_LIMIT).state == "pending"


def test_asking_for_another_attempt_without_coming_further_is_slowed_down_and_never_failed() -> None:
    ask = Ending("exit", 75, progressed=False)
    waits = [after(*[ask] * count).wait for count in (1, 2, 3, 4, 100)]
    assert waits == [0.0, 1.0, 2.0, 4.0, WAIT_MOST]
    assert after(*[Ending("exit", 75, progressed=True)] * 100).wait == 0.0


endings = st.builds(Ending, st.sampled_from(CAUSES), st.none() | st.integers(0, 255), st.sampled_from(["", "why"]),
                    st.sampled_from([None, True, False]))
codes = st.lists(st.integers(0, 255), max_size=4).map(tuple)
retries = st.builds(Retry, st.integers(0, 5), codes, codes, codes, st.booleans())


@settings(deadline=None)
@given(endings, retries, st.integers(0, 2000), st.integers(0, 2000))
def test_any_ending_has_one_step(ending: Ending, retry: Retry, failures: int, losses: int) -> None:
    step = follow(ending, retry, failures, losses)
    assert step.state in STATES and step.state != "running"
    assert 0 <= step.wait <= max(WAIT_MOST, RETRY_MOST)
    assert step.failures - failures in (0, 1) and step.losses >= 0
    assert not final(step.state) or step.wait == 0
    assert step.reason or step.state == "succeeded"
    if ending.cause == "stopped":
        assert step.state == "cancelled"
    if step.state == "succeeded":
        assert (ending.cause, ending.code) == ("exit", 0)
    if ending.cause in ("preempted", "reboot", "lost", "limit", "start"):
        assert step.failures == failures, "that is no failure of the program's"


@settings(deadline=None)
@given(st.lists(endings, max_size=60), retries)
def test_a_run_fails_no_more_often_than_it_may(happened: list[Ending], retry: Retry) -> None:
    step = Step("pending")
    for ending in happened:
        step = follow(ending, retry, step.failures, step.losses)
        if step.state != "pending":
            break
        assert step.failures <= retry.retries
        assert step.losses < LOST_MOST or ending.cause not in ("lost", "limit")
