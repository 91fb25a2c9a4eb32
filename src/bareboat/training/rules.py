"""What follows an attempt: one table for every scheduler. Pure."""

from __future__ import annotations

from bareboat.training.values import Ending, Retry
from bareboat.values import dataclass

LOST_MOST = 20  # attempts in a row that came no further: then something is wrong with the run or its machine
WAIT_MOST, RETRY_MOST = 60.0, 300.0  # seconds


@dataclass(frozen=True)
class Step:
    """The state that follows: "pending" for another attempt. failures: those that count so far; losses: attempts in a
    row that were lost, ran into their time limit or asked for another, without a new checkpoint; wait: seconds until
    the next attempt may start.
    """

    state: str
    reason: str = ""
    failures: int = 0
    wait: float = 0.0
    losses: int = 0


def follow(ending: Ending, retry: Retry, failures: int = 0, losses: int = 0) -> Step:
    """The step after an attempt. failures, losses: those before it, as Step has them.

    An interruption by others and the loss of a node use up no retry. What would begin again and again where it began
    before is made to wait, and is given up after LOST_MOST times.
    """
    cause, code = ending.cause, ending.code
    reason = ending.reason or cause
    if cause == "stopped":
        return Step("cancelled", reason, failures)
    if cause in ("preempted", "reboot"):
        return Step("pending", reason, failures, losses=0 if ending.progressed else losses)
    if cause == "lost" or (cause == "limit" and retry.at_limit):
        return _again(ending, reason, failures, losses)
    if cause == "exit" and code == 0:
        return Step("succeeded", ending.reason, failures)
    if cause == "exit" and code in retry.requeue_on and code not in retry.fail_on:
        stuck = 0 if ending.progressed else losses + 1
        wait = min(2.0 ** min(stuck - 2, 6), WAIT_MOST) if stuck > 1 else 0.0
        return Step("pending", f"it asked for another attempt (exit {code})", failures, wait, stuck)
    counts = cause in ("exit", "memory") and code not in retry.fail_on and (
        not retry.retry_on or code in retry.retry_on)
    if counts and failures < retry.retries:
        wait = float(min(2.0 ** min(failures, 9), RETRY_MOST))
        return Step("pending", f"{_ended(ending)}, failure {failures + 1} of {retry.retries} that are retried",
                    failures + 1, wait)
    return Step("failed", ending.reason or _ended(ending), failures + counts)


def _again(ending: Ending, reason: str, failures: int, losses: int) -> Step:
    """Another attempt, unless so many in a row came no further. What is not known to have come no further has, where
    the program could use its time.
    """
    limit = ending.cause == "limit"
    further = ending.progressed or (limit and ending.progressed is None)
    stuck = 0 if further else losses + 1
    if stuck >= LOST_MOST:
        return Step("failed", f"{reason}, {stuck} times in a row without a new checkpoint", failures, losses=stuck)
    wait = 0.0 if limit else min(0.5 * 2.0 ** max(stuck - 1, 0), WAIT_MOST)
    return Step("pending", reason, failures, wait, stuck)


def _ended(ending: Ending) -> str:
    return ending.reason or (f"exit {ending.code}" if ending.cause == "exit" else ending.cause)
