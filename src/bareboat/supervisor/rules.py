"""What a container's supervisor keeps to, as values: stop, restart, health, time."""

from __future__ import annotations

from bareboat.values import dataclass

TERM = 15


@dataclass(frozen=True)
class Health:
    """A command that says whether the container is well, Docker's HEALTHCHECK. Times in seconds; retries: failures in a
    row until it counts as unhealthy; start: at first, a failure does not count for so long.
    """

    argv: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start: float = 0.0


@dataclass(frozen=True)
class Rules:
    """stop_signal: what asks the program to end; stop_seconds: how long it has, then it is killed. restart: how often a
    failed program is started again, 0 for never. max_time, idle_stop: seconds, 0 for no end. warning, grace: the signal
    and the seconds before stop_signal when it is interrupted, training.values.Interrupt; 0 for neither.
    """

    stop_signal: int = TERM
    stop_seconds: float = 10.0
    restart: int = 0
    health: Health | None = None
    max_time: float = 0.0
    idle_stop: float = 0.0
    warning: int = 0
    grace: float = 0.0


def backoff(attempt: int) -> float:
    """Seconds before a start that follows so many: doubled each time, from a tenth of a second to a minute."""
    return float(min(0.1 * 2 ** min(max(attempt - 1, 0), 10), 60.0))


def warned_at(rules: Rules) -> float:
    """When the interruption for the time limit begins, in seconds from the start: so early that grace and the time
    until it is killed fit before the limit, where that is not more than half of it.
    """
    return max(rules.max_time - rules.grace - rules.stop_seconds, rules.max_time / 2) if rules.grace else rules.max_time


def warnings_before(seconds: float) -> tuple[float, ...]:
    """How long before the end of such a time it is announced: five minutes and one, where that is less than half."""
    return tuple(w for w in (300.0, 60.0) if w < seconds / 2)
