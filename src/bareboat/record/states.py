"""The states of a run and the moves between them (DESIGN: States); everything else is a reason."""

from __future__ import annotations

from bareboat.errors import RecordError
from bareboat.values import TYPE_CHECKING, replace

if TYPE_CHECKING:
    from bareboat.record.values import RunRecord

MOVES = {
    "pending": ("running", "failed", "cancelled"),
    "running": ("succeeded", "failed", "cancelled", "pending"),  # pending again: preempted, to be resumed
    "succeeded": (),
    "failed": (),
    "cancelled": (),
}
STATES = tuple(MOVES)


def final(state: str) -> bool:
    """Whether nothing can follow."""
    return not MOVES[state]


def move(
    record: RunRecord, state: str, *, at: str, reason: str = "", exit_code: int | None = None
) -> RunRecord:
    """The record in its next state, at a time (values.timestamp). RecordError record.move when it is not
    legal.

    started is the first start; ended and exit_code belong to final states only; succeeded means exit code 0.
    """
    if state not in MOVES.get(record.state, ()):
        allowed = ", ".join(MOVES.get(record.state, ())) or "nothing: it is final"
        raise RecordError(
            "record.move",
            f"a run that is {record.state} cannot become {state}",
            where=record.id,
            hint=f"allowed from here: {allowed}",
        )
    if state == "succeeded" and exit_code not in (0, None):
        raise RecordError("record.move", f"exit code {exit_code} is no success", where=record.id)
    if not final(state):
        started = record.started or (at if state == "running" else "")
        return replace(record, state=state, reason=reason, started=started, exit_code=None)
    return replace(
        record, state=state, reason=reason, ended=at, exit_code=0 if state == "succeeded" else exit_code
    )


def ended(record: RunRecord, code: int, *, at: str, reason: str = "") -> RunRecord:
    """The record of a running program that ended with an exit code, as Docker counts them."""
    return move(record, "succeeded" if code == 0 else "failed", at=at, reason=reason, exit_code=code)


def again(record: RunRecord, *, at: str, reason: str = "") -> RunRecord:
    """The record of a run that ended, or is about to be left by its program, before its next start: pending, with the
    start before kept among its attempts. RecordError record.move when it has not been started.
    """
    from bareboat.record.gathered import Attempt

    if record.state == "pending":
        raise RecordError("record.move", "a run that is pending has not been started", where=record.id)
    past = Attempt(record.attempt, record.started, record.ended or at, record.exit_code, record.reason,
                   record.resumed, record.used)
    return replace(record, state="pending", reason=reason, started="", ended="", exit_code=None, resumed="", used=None,
                   attempt=record.attempt + 1, attempts=(*record.attempts, past))
