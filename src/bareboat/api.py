"""The Python API, for notebooks and scripts: the same verbs, quiet unless told otherwise, returning values.

    import bareboat
    record = bareboat.run("python", "src/run.py", project="experiments/seg", env={"LR": "0.1"})
    record.exit_code, record.results.files
    sweep = bareboat.create("python", "src/run.py", name="sweep")
    sweep.start(); sweep.wait(); sweep.remove()
    sent = bareboat.train("python", "src/train.py", "{lr}", name="lr", sweep={"lr": [0.1, 0.01]})
    sent.wait(), [(o.parameters, o.state) for o in sent.outcomes()]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bareboat.errors import UsageError
from bareboat.verbs.collaborators import Quiet, Tell

if TYPE_CHECKING:
    from bareboat.record.values import RunRecord
    from bareboat.training.values import Training
    from bareboat.verbs.collaborators import Work
    from bareboat.verbs.outcomes import Outcome
    from bareboat.verbs.submission import Queue

Said = TypeVar("Said")


def run(*program: str, project: str | os.PathLike[str] = ".", env: Mapping[str, str] | None = None,
        results: str | os.PathLike[str] | None = None, gpus: str | None = None, tell: Tell | None = None) -> RunRecord:
    """Run a program in a project's environment and return its record; the output goes to this process's streams.

    A program that fails is no exception: see record.exit_code. results: another results folder. gpus: as --gpus has
    it ("all", "2", "device=0,1", "none"); None: as the project says. tell: who hears what bareboat does, nobody by
    default. Call from the main thread: the sandbox dies with the thread that made it.
    Raises BareboatError (project, lock, archive, store, engine).
    """
    from bareboat.project.values import Resources
    from bareboat.verbs.prepare import RunRequest
    from bareboat.verbs.run import run as run_verb
    from bareboat.wiring import work

    if not program or not all(isinstance(word, str) for word in program):
        raise UsageError("usage.no-program", "run takes the program and its words as strings",
                         hint='bareboat.run("python", "src/run.py")')
    request = RunRequest(
        program=program, project=Path(project).absolute(), env=tuple(f"{k}={v}" for k, v in (env or {}).items()),
        results=Path(results).absolute() if results is not None else None, interactive=False, tty=False,
        resources=Resources(gpus=gpus))
    return run_verb(request, work(tell or Quiet()))


def record(run_id: str) -> RunRecord:
    """The record of a run by its id or the beginning of one. Raises RecordError record.missing, record.ambiguous."""
    from bareboat.verbs.runs import find
    from bareboat.wiring import store

    return find(store(), run_id)


class Container:
    """A container beside a supervisor of its own; made by create() and container(). It outlives this process.

    id and name are as the command line shows them. Methods raise BareboatError.
    """

    def __init__(self, run_id: str, name: str, work: Work) -> None:
        self.id, self.name, self._work = run_id, name, work

    def start(self) -> None:
        """Start it, on a fresh writable layer; returns when the program has started."""
        from bareboat.verbs.containers import find
        from bareboat.verbs.launch import start

        start(find(self._work.store, self.id), self._work)

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        from bareboat.verbs.enter import wait

        return wait(self.id, self._work.store)

    def stop(self, seconds: float | None = None) -> int | None:
        """Ask it to end, and kill it after so many seconds; its exit code, None when it was not running."""
        from bareboat.verbs.enter import stop

        return stop(self.id, self._work.store, seconds)

    def remove(self, *, force: bool = False) -> None:
        """List it no more; its record, log and results stay."""
        from bareboat.verbs.enter import remove

        remove(self.id, self._work.store, force=force)

    def exec(self, *program: str) -> tuple[int, bytes, bytes]:
        """Run a program more in it: exit code, output and errors."""
        from bareboat.engine.base import Streams
        from bareboat.verbs.enter import ExecRequest, execute_in

        out, err = bytearray(), bytearray()
        ended = execute_in(self.id, ExecRequest(program), self._work, Streams(out.extend, err.extend))
        return ended.code, bytes(out), bytes(err)

    def logs(self) -> bytes:
        """Everything it wrote so far, both streams in order."""
        from bareboat.store.runlog import pieces

        return b"".join(piece.data for piece in pieces(self._work.store.runs.path(self.id)))

    def record(self) -> RunRecord:
        """The record of its run, as it is now."""
        from bareboat.verbs.runs import load

        return load(self._work.store, self.id)


def create(*program: str, project: str | os.PathLike[str] = ".", env: Mapping[str, str] | None = None,
           name: str = "", results: str | os.PathLike[str] | None = None) -> Container:
    """Make a container of a project's environment without starting it. Raises BareboatError, as run does, and
    UsageError "container.name-taken".
    """
    from bareboat.verbs.launch import Life
    from bareboat.verbs.launch import create as create_verb
    from bareboat.verbs.prepare import RunRequest
    from bareboat.wiring import work

    request = RunRequest(
        program=program, project=Path(project).absolute(), env=tuple(f"{k}={v}" for k, v in (env or {}).items()),
        name=name, results=Path(results).absolute() if results is not None else None, interactive=False, tty=False)
    at_work = work(Quiet())
    made, _ = create_verb(request, Life(), at_work)
    return Container(made.id, made.name, at_work)


def container(name: str) -> Container:
    """A container by name, id, or the beginning of one. Raises UsageError "container.unknown"."""
    from bareboat.verbs.containers import find
    from bareboat.wiring import work

    at_work = work(Quiet())
    seen = find(at_work.store, name)
    if seen.container.engine not in ("", at_work.engine.name):
        at_work = work(Quiet(), engine=seen.container.engine)
    return Container(seen.container.id, seen.container.name, at_work)


class Queued:
    """Unattended runs that were sent together, one or those of a sweep; made by train() and queued(). They outlive this
    process. name: as the command line has it, an id where they have no name. Methods raise BareboatError.
    """

    def __init__(self, name: str, runs: Sequence[str], submission: str) -> None:
        self.name, self.runs, self._submission = name, tuple(runs), submission
        self._word = self.runs[0] if len(self.runs) == 1 else submission

    def outcomes(self) -> list[Outcome]:
        """How each of them went, as far as it has, in the order in which they were sent."""
        from bareboat.verbs.outcomes import outcomes
        from bareboat.wiring import work

        with _queue(work(Quiet())) as queue:
            return [point for point in outcomes(self._submission, queue.ledger).points if point.run in self.runs]

    def wait(self) -> int:
        """When all are over, their exit code: of several the first that is not 0."""
        from bareboat.verbs.queued import wait

        return self._do(wait) or 0

    def stop(self) -> None:
        """What waits never starts, what runs is interrupted with its grace; returns when all are over."""
        from bareboat.verbs.queued import stop

        self._do(stop)

    def resume(self, *, failed: bool = False) -> list[str]:
        """One more attempt of those that failed or were cancelled, or failed alone; their ids."""
        from bareboat.verbs.queued import resume

        return [entry.run for entry in self._do(lambda word, queue: resume(word, queue, failed))]

    def logs(self, run: str = "") -> bytes:
        """What one of them wrote so far, of all attempts: the only one where run is not said."""
        from bareboat.store.runlog import pieces
        from bareboat.wiring import store

        return b"".join(piece.data for piece in pieces(store().runs.path(self._one(run))))

    def record(self, run: str = "") -> RunRecord:
        """The record of one of them, as it is now: the only one where run is not said."""
        return record(self._one(run))

    def _one(self, run: str) -> str:
        if run in self.runs or (not run and len(self.runs) == 1):
            return run or self.runs[0]
        raise UsageError("usage.run", f"{run!r} is none of its {len(self.runs)} runs" if run else
                         f"there are {len(self.runs)} runs, and one of them is meant here", hint="an id of .runs")

    def _do(self, verb: Callable[[str, Queue], Said]) -> Said:
        from bareboat.wiring import work

        with _queue(work(Quiet())) as queue:
            return verb(self._word, queue)


Sweep = Mapping[str, Iterable[object]] | Sequence[Mapping[str, object]]


def train(*program: str, project: str | os.PathLike[str] = ".", env: Mapping[str, str] | None = None, name: str = "",
          sweep: Sweep | None = None, how: Training | None = None) -> Queued:
    """Send a program for execution, unattended: it is queued, and what it was sent with is fixed.

    sweep: {"lr": [0.1, 0.01], "seed": range(5)} for a grid, or a list of points {"lr": 0.1, "seed": 1}; {lr} in the
    program and in env stands for its value. how: what it needs, when it is tried again, which scheduler has it
    (bareboat.training.values); how.need says GPUs, CPUs and memory. Raises BareboatError as run does, and what
    verbs.train.train raises.
    """
    from bareboat.project.values import Resources
    from bareboat.training.values import Training
    from bareboat.verbs.prepare import RunRequest
    from bareboat.verbs.sweep import given, spread
    from bareboat.verbs.train import TrainRequest
    from bareboat.verbs.train import train as train_verb
    from bareboat.wiring import work

    if not program or not all(isinstance(word, str) for word in program):
        raise UsageError("usage.no-program", "train takes the program and its words as strings",
                         hint='bareboat.train("python", "src/train.py")')
    how = how or Training()
    points = None if sweep is None else given(sweep)
    if points is not None and not name:
        name = f"sweep-{os.urandom(2).hex()}"
    words = tuple(f"{k}={v}" for k, v in (env or {}).items())
    request = RunRequest(
        program=program, project=Path(project).absolute(), env=words, name=name, interactive=False, tty=False,
        resources=Resources(memory=how.need.memory or None, cpus=how.need.cpus or None))
    gpus = f"{how.need.gpus:g}" if how.need.gpus else None
    at_work = work(Quiet())
    with _queue(at_work) as queue:
        asked = TrainRequest(request, how, gpus, spread=spread(points, words) if points else None)
        sent = train_verb(asked, at_work, queue)
        runs = [entry.run for entry in queue.ledger.entries(submission=sent.id)]
    return Queued(name or runs[0], runs, sent.id)


def queued(name: str) -> Queued:
    """Unattended runs by name or id, of a run or of a sweep. Raises QueueError "queue.unknown"."""
    from bareboat.verbs.queued import ledger_unknown, meant
    from bareboat.wiring import work

    with _queue(work(Quiet())) as queue:
        entries = meant(queue.ledger, name)
    if not entries:
        raise ledger_unknown(name)
    return Queued(name, [entry.run for entry in entries], entries[0].submission)


@contextmanager
def _queue(at_work: Work) -> Iterator[Queue]:
    """The queue's collaborators for one call: a connection to its file is not kept, for threads and forks."""
    from bareboat.wiring import queue

    made = queue(at_work)
    try:
        yield made
    finally:
        close = getattr(made.ledger, "close", None)
        if close is not None:
            close()
