"""What follows an attempt: one table for every scheduler. Pure."""

from __future__ import annotations

from bareboat.training.values import Ending, Retry
from bareboat.values import dataclass

UNCOUNTED = ("preempted", "lost", "reboot")  # no fault of the program's: another attempt, whatever --retries says
LOST_MOST = 20  # losses in a row without a checkpoint between: then something is wrong with the run or its machine


@dataclass(frozen=True)
class Step:
    """The state that follows: "pending" for another attempt. failures: those that count so far; wait: seconds until the
    next attempt may start.
    """

    state: str
    reason: str = ""
    failures: int = 0
    wait: float = 0.0


def follow(ending: Ending, retry: Retry, failures: int = 0, losses: int = 0) -> Step:
    """The step after an attempt. failures: those that counted before; losses: "lost" endings in a row before this."""
    cause, code = ending.cause, ending.code
    reason = ending.reason or cause
    if cause == "stopped":
        return Step("cancelled", reason, failures)
    if cause in UNCOUNTED:
        if cause == "lost" and losses + 1 >= LOST_MOST:
            return Step("failed", f"{reason}, {losses + 1} times in a row", failures)
        return Step("pending", reason, failures, min(0.5 * 2.0 ** losses, 60.0) if cause == "lost" else 0.0)
    if cause == "limit" and retry.at_limit:
        return Step("pending", reason, failures)
    if cause == "exit" and code == 0:
        return Step("succeeded", ending.reason, failures)
    if cause == "exit" and code in retry.requeue_on:
        return Step("pending", f"it asked for another attempt (exit {code})", failures)
    counts = cause in ("exit", "memory") and code not in retry.fail_on and (
        not retry.retry_on or code in retry.retry_on)
    if counts and failures < retry.retries:
        wait = float(min(2.0 ** failures, 300.0))
        return Step("pending", f"exit {code}, failure {failures + 1} of {retry.retries} that are retried",
                    failures + 1, wait)
    return Step("failed", ending.reason or (f"exit {code}" if cause == "exit" else cause), failures + counts)
