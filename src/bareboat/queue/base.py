"""The seam of the ledger: every unattended run of one user, whatever scheduler has it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bareboat.training.values import Point
from bareboat.values import Protocol, dataclass

SKEW = 400.0  # seconds: more than training.rules lets a run wait for its next attempt


@dataclass(frozen=True)
class Entry:
    """A run in the ledger. Times: seconds since the epoch, 0 for not yet. attempt: which one runs or ran last, 0 before
    the first: the fence of everything that is written about an attempt. failures: those that count; losses: as
    training.rules.Step; not_before: when the next attempt may start; job: the scheduler's own name for it; where: the
    node. wanted: "" or "cancelled": somebody asked for the end of one that runs.
    """

    run: str
    submission: str
    name: str = ""
    index: int = 0
    state: str = "pending"
    reason: str = ""
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    priority: int = 0
    created: float = 0.0
    not_before: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    exit_code: int | None = None
    scheduler: str = "local"
    job: str = ""
    where: str = ""
    boot: str = ""
    wanted: str = ""


@dataclass(frozen=True)
class Added:
    """A submission as the ledger keeps it. template: bytes that mean something to verbs alone (all of a run but what
    its point says); created: seconds since the epoch. name: of all its runs together, as people call it.
    """

    id: str
    template: bytes
    points: tuple[Point, ...]
    scheduler: str = "local"
    priority: int = 0
    created: float = 0.0
    name: str = ""


class Ledger(Protocol):
    """Durable; safe with many processes; no lock of it is ever held while something is waited for."""

    def add(self, submission: Added) -> None:
        """All of its runs or none. Raises QueueError "queue.name-taken" for a name that a run which is not over has."""

    def find(self, text: str) -> Entry:
        """By name (the newest), id or the unique beginning of one. Raises QueueError "queue.unknown"."""

    def entries(self, states: Collection[str] = (), submission: str = "", most: int = 0) -> list[Entry]:
        """Those in these states (all of them when empty), by priority and then in the order of submission."""

    def ended(self, most: int) -> list[Entry]:
        """Of those that are over so many, the last that ended first."""

    def due(self, now: float, without: Collection[str] = (), most: int = 0) -> list[Entry]:
        """As entries, those of the local queue that wait and may start, but for some submissions'. One whose next
        attempt is further away than any rule lets one wait is due: the clock was set back.
        """

    def later(self, now: float) -> float:
        """When the next of those that are not due yet is; 0 where there is none."""

    def cancel(self, submission: str, reason: str, now: float) -> int:
        """In one step: what waits of a submission is cancelled, and of what runs the end is wanted; how many."""

    def counts(self, submission: str = "") -> dict[str, int]:
        """How many runs there are of each state that any has."""

    def submission(self, id: str) -> Added:
        """With its points. Raises QueueError "queue.unknown"."""

    def called(self, name: str) -> str:
        """The id of the newest submission of a name, or of this id; "" when there is none."""

    def template(self, id: str) -> bytes:
        """Of a submission, without its points. Raises QueueError "queue.unknown"."""

    def point(self, run: str) -> Point:
        """Of one run."""

    def move(self, run: str, expected: tuple[str, int], **changes: object) -> bool:
        """Change fields of an entry whose (state, attempt) is still what the caller saw; False when it is not."""

    def moves(self, seen: Collection[tuple[str, str, int]], **changes: object) -> list[str]:
        """As move of each (run, state, attempt), in one step; the runs that were still so, in their order."""

    def close(self) -> None:
        """Let go of it; it is opened again when it is needed."""

    def jobs(self, names: Iterable[tuple[str, str]]) -> None:
        """Note the scheduler's name of each run: (run, job)."""

    def note(self, key: str, value: str) -> None:
        """Keep a text of the worker's own under a name."""

    def noted(self, key: str) -> str:
        """What was kept; "" where nothing was."""

    def forget(self, runs: Collection[str]) -> int:
        """Drop runs that are over, and submissions that have none left; how many went. Others stay."""
