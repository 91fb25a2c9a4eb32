"""The local queue as a scheduler: a job is the run's own id, and whoever of its user's workers is alive has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from bareboat.engine.scheduler import Submission
from bareboat.errors import EngineError
from bareboat.queue.base import Added, Ledger
from bareboat.queue.moves import again, cancel, found
from bareboat.record.states import final
from bareboat.store import Store, runlog
from bareboat.training.values import Observation, Point


class LocalQueue:
    """engine.scheduler.Scheduler. wake: make sure that a worker looks soon; pack: the template of a submission that is
    not in the ledger yet.
    """

    name = "local"

    def __init__(self, ledger: Ledger, store: Store, wake: Callable[[], None],
                 pack: Callable[[Submission], bytes]) -> None:
        self._ledger, self._store, self._wake, self._pack = ledger, store, wake, pack

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """As Scheduler.submit. Idempotent: what is in the ledger is not added again."""
        s = submission
        runs = tuple(point.run for point in s.points)
        if not self._ledger.called(s.id):
            self._ledger.add(Added(s.id, self._pack(s), s.points, self.name, s.training.priority, time.time(), s.name))
        self._wake()
        return runs

    def poll(self, jobs: Sequence[str]) -> dict[str, Observation]:
        """As Scheduler.poll."""
        told = {}
        for job in jobs:
            entry = found(self._ledger, job)
            if entry is not None and entry.run == job:
                told[job] = Observation(entry.state, entry.reason, entry.attempt, entry.exit_code, entry.where)
        return told

    def stop(self, jobs: Sequence[str]) -> None:
        """As Scheduler.stop."""
        for job in jobs:
            cancel(self._ledger, job, time.time())
        self._wake()

    def resume(self, submission: Submission, point: Point) -> str:
        """As Scheduler.resume. Raises EngineError "local.refused" where it is not over."""
        entry = found(self._ledger, point.run)
        if entry is None or not final(entry.state) or not again(self._ledger, [entry]):
            raise EngineError("local.refused", "the run is not over, or not in the queue", where=point.run)
        self._wake()
        return point.run

    def logs(self, job: str, follow: bool = False) -> Iterator[bytes]:
        """As Scheduler.logs."""
        folder = self._store.runs.path(job)
        pieces = runlog.follow(folder, lambda: self._lives(job)) if follow else runlog.pieces(folder)
        for piece in pieces:
            yield piece.data

    def _lives(self, job: str) -> bool:
        entry = found(self._ledger, job)
        return (entry is not None and not final(entry.state)) or self._store.runs.is_alive(job)

    def explain(self, submission: Submission) -> str:
        """As Scheduler.explain."""
        import shlex

        s, need = submission, submission.training.need
        lines = [f"scheduler  {self.name}: this machine's queue",
                 f"image      {s.workload.root.plan_blob or 'trees of the store'}",
                 f"needs      {need.gpus:g} GPUs, {need.cpus or 'any number of'} CPUs, "
                 f"{need.memory or 'any amount of'} bytes of memory, "
                 + (f"at most {need.seconds:g} s" if need.seconds else "for as long as it takes"),
                 f"runs       {len(s.points)}"]
        for point in s.points[:20]:
            lines.append(f"  {point.name or point.index}: {shlex.join(point.argv)}"
                         + (f" > {point.results}" if point.results else ""))
        if len(s.points) > 20:
            lines.append(f"  and {len(s.points) - 20} more")
        return "\n".join(lines)
