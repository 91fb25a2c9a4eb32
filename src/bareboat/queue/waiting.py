"""Which runs of a user could start now, and why the others cannot: what the policy is asked about."""

from __future__ import annotations

from collections.abc import Callable, Collection

from bareboat.errors import BareboatError
from bareboat.lease.values import WISHES_MOST, Wish
from bareboat.queue.base import Entry, Ledger
from bareboat.training.values import Training
from bareboat.values import dataclass

BATCH = 4 * WISHES_MOST


@dataclass(frozen=True)
class Waiting:
    """wishes: in order, bounded; more: how many wait beyond them. held: (run, why) of those that were looked at and
    cannot start yet; dropped: (entry, state, reason) of those that never can.
    """

    wishes: tuple[Wish, ...] = ()
    more: int = 0
    held: tuple[tuple[str, str], ...] = ()
    dropped: tuple[tuple[Entry, str, str], ...] = ()


def waiting(ledger: Ledger, going: Collection[Entry], training: Callable[[str], Training], now: float) -> Waiting:
    """What may start. It reads of the ledger only as much as it needs, so that a sweep of thousands costs as little as
    one run. going: what runs already; training: of a submission.
    """
    wishes: list[Wish] = []
    held: list[tuple[str, str]] = []
    dropped: list[tuple[Entry, str, str]] = []
    running: dict[str, int] = {}
    for entry in going:
        running[entry.submission] = running.get(entry.submission, 0) + 1
    full: set[str] = set()  # submissions of which as many run as may
    seen: set[str] = set()
    while len(wishes) < WISHES_MOST:
        most = BATCH + len(seen)
        batch = ledger.due(now, full, most)
        fresh = [entry for entry in batch if entry.run not in seen]
        for entry in fresh:
            if len(wishes) >= WISHES_MOST:
                break
            seen.add(entry.run)
            if entry.submission in full:
                continue
            try:
                how = training(entry.submission)
            except BareboatError as error:
                dropped.append((entry, "failed", f"{error.code}: {error.what}"))
                continue
            if how.parallel and running.get(entry.submission, 0) >= how.parallel:
                full.add(entry.submission)
                continue
            state, why = follows(how.after, ledger)
            if state:
                dropped.append((entry, state, why))
            elif why:
                held.append((entry.run, why))
            else:
                running[entry.submission] = running.get(entry.submission, 0) + 1
                wishes.append(Wish(entry.run, entry.name, how.need, entry.priority, entry.created, how.preemptible))
        if len(batch) < most or not fresh:
            break
    more = ledger.counts().get("pending", 0) - len(wishes) - len(held) if len(wishes) >= WISHES_MOST else 0
    return Waiting(tuple(wishes), max(more, 0), tuple(held), tuple(dropped))


def follows(after: Collection[str], ledger: Ledger) -> tuple[str, str]:
    """Whether a run may start as far as those before it are concerned: (the state it gets instead, why it waits)."""
    for run in after:
        try:
            before = ledger.find(run)
        except BareboatError:
            continue  # taken off the list, where only what is over can be: it had not failed when this was sent
        name = before.name or before.run[:8]
        if before.state in ("failed", "cancelled"):
            how = "failed" if before.state == "failed" else "was cancelled"
            return "cancelled", f"{name}, which it was to follow, {how}"
        if before.state != "succeeded":
            return "", f"after {name}"
    return "", ""
