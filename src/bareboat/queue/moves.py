"""Moves of a run that people ask for, safe against whatever happens to it at the same moment."""

from __future__ import annotations

from collections.abc import Sequence

from bareboat.errors import BareboatError
from bareboat.queue.base import Entry, Ledger
from bareboat.record.states import final
from bareboat.values import replace


def found(ledger: Ledger, text: str) -> Entry | None:
    """The run of a name or an id; None where there is none. Raises QueueError "queue.ambiguous"."""
    try:
        return ledger.find(text)
    except BareboatError as error:
        if error.code != "queue.unknown":
            raise
        return None


def cancel(ledger: Ledger, run: str, now: float, reason: str = "stopped") -> bool:
    """What waits is cancelled, of what runs the end is wanted; by what it is at the moment when it is written. False
    when it was over. Idempotent.
    """
    entry = found(ledger, run)
    while entry is not None and not final(entry.state):
        if entry.state == "pending":
            if ledger.move(entry.run, ("pending", entry.attempt), state="cancelled", reason=reason, wanted="cancelled",
                           ended=now):
                return True
        elif entry.wanted == "cancelled" or ledger.move(entry.run, ("running", entry.attempt), wanted="cancelled"):
            return True
        entry = found(ledger, run)
    return False


def again(ledger: Ledger, entries: Sequence[Entry]) -> list[Entry]:
    """Runs that are over wait for one more attempt, in one step; those that were still as the caller saw them."""
    moved = set(ledger.moves([(e.run, e.state, e.attempt) for e in entries], state="pending", reason="", wanted="",
                             failures=0, losses=0, not_before=0.0, ended=0.0, exit_code=None, job=""))
    return [replace(e, state="pending", reason="") for e in entries if e.run in moved]
