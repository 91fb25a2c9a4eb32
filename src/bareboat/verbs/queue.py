"""queue: whose runs there are on this machine, what they wait for, and what they hold."""

from __future__ import annotations

import time

from bareboat.queue.base import Entry
from bareboat.queue.policy import Decision, Machine, View, Wait, decide
from bareboat.training.values import Need, Training
from bareboat.values import dataclass
from bareboat.verbs.submission import Queue


@dataclass(frozen=True)
class Row:
    """A run as it is listed. uid: whose; need: what it takes, where that is known; units: GPUs that it has; ahead,
    starts: as the policy has it, 0 where it is not known. why: what it waits for, or how it ended.
    """

    uid: int
    run: str
    name: str
    state: str
    why: str = ""
    attempt: int = 0
    need: Need = Need()
    units: tuple[tuple[str, int], ...] = ()
    ahead: int = 0
    starts: float = 0.0
    since: float = 0.0
    scheduler: str = "local"
    priority: int = 0
    kind: str = "training"
    exit_code: int | None = None


@dataclass(frozen=True)
class Listing:
    """rows: what runs, what waits in its order, and what is over; problems: what could not be read."""

    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()
    more: int = 0


def outlook(entry: Entry, training: Training, queue: Queue) -> Wait:
    """What a run that was just sent waits for, as the last decision of anybody has it."""
    found = decided(queue).waits
    for wait in found:
        if wait.run == entry.run:
            return wait
    return Wait(0, entry.run)


def decided(queue: Queue, machine: Machine | None = None) -> Decision:
    """What the policy makes of what is known now."""
    view = View(machine or Machine(), queue.leases.holdings(), queue.leases.pages(), now=time.time())
    return decide(view)
