"""The seam between bareboat and what carries out unattended runs: the local queue, Slurm, Kubernetes, a fake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bareboat.record.values import RunRecord
from bareboat.training.values import Observation, Point, Training
from bareboat.values import TYPE_CHECKING, Protocol, dataclass
from bareboat.workload import Exec, Outcome, Workload

if TYPE_CHECKING:
    from bareboat.engine.base import Streams


@dataclass(frozen=True)
class Submission:
    """Runs that are sent together: one image, one code, points that differ in argv and variables.

    workload: of all of them, with the first point's argv; what a point says goes over it. folder: a directory of this
    submission alone, which outlives the command and which the nodes see, for what the scheduler needs. image: the
    pushed reference by digest, where the scheduler wants one ("" else). record: what is known of all of the runs
    before they start. node: the argv by which a node carries out a
    point; the scheduler adds the run's id as its last word.
    """

    id: str
    training: Training
    workload: Workload
    points: tuple[Point, ...]
    folder: Path
    name: str = ""
    image: str = ""
    node: tuple[str, ...] = ()
    record: RunRecord | None = None


class Scheduler(Protocol):
    """Carries out runs one attempt at a time: never two attempts of a run at once, each run at least once.

    A job is the scheduler's own name for one run; it is kept in the ledger and survives this process.
    """

    name: str

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """The job of each point, in their order; all or none. Raises EngineError "NAME.unreachable" (nothing was sent,
        or it cannot be known: then the jobs are found by the submission's id on the next poll), "NAME.refused".
        """

    def poll(self, jobs: Sequence[str]) -> dict[str, Observation]:
        """What is known of these jobs, in one question for all; those missing are unknown. Raises EngineError
        "NAME.unreachable" where nothing can be asked.
        """

    def stop(self, jobs: Sequence[str]) -> None:
        """Cancel: what waits never starts, what runs is interrupted as its Training has it. Idempotent."""

    def resume(self, submission: Submission, point: Point) -> str:
        """The job of one more attempt of a run that is over: it goes on from its newest checkpoint."""

    def logs(self, job: str, follow: bool = False) -> Iterator[bytes]:
        """What the run has written so far, of all attempts; follow: until it is over."""

    def explain(self, submission: Submission) -> str:
        """The exact thing that submit would send, readable, without sending it."""


class Entering(Protocol):
    """A scheduler whose runs are entered through it; those of the others are entered where they run, as containers."""

    def exec(self, job: str, call: Exec, streams: Streams) -> Outcome:
        """As Engine.exec, in the run's attempt. Of call: uid, gid, limits and network are the run's own, and env is
        added to its. Raises EngineError "NAME.not-running".
        """
