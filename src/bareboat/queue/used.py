"""How much of a machine a user had lately: what fair shares are measured by. Pure."""

from __future__ import annotations

from bareboat.queue.policy import HALF_LIFE
from bareboat.training.values import Need
from bareboat.values import dataclass

CPU = 1 / 64  # of a GPU, where none is involved
MOST = 30 * 86400.0  # seconds of one attempt that count: beyond that a clock was wrong


@dataclass(frozen=True)
class Used:
    """GPU-seconds, decayed until at, in seconds since the epoch."""

    amount: float = 0.0
    at: float = 0.0

    def until(self, now: float) -> Used:
        """The same, decayed to a later moment; a clock that was set back decays nothing."""
        passed = now - self.at
        return Used(self.amount * 0.5 ** (passed / HALF_LIFE), now) if passed > 0 else Used(self.amount, now)

    def plus(self, need: Need, seconds: float, now: float) -> Used:
        """With an attempt that has just had its share for so long."""
        return Used(self.until(now).amount + rate(need) * min(max(seconds, 0.0), MOST), now)


def rate(need: Need) -> float:
    """What a run of this need uses in a second."""
    return need.gpus or max(need.cpus, 1.0) * CPU
