"""The fake beside the scheduler's Protocol: programs are functions, the clock is its own, the rest is the contract."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bareboat.engine.scheduler import Submission
from bareboat.errors import NOT_FOUND, SIGNALLED, EngineError
from bareboat.record.states import final
from bareboat.training.rules import follow
from bareboat.training.values import Ending, Observation, Point, Training

SIGKILL, SIGTERM = 9, 15


@dataclass
class Trainee:
    """What a program of the fake sees of its attempt: argv, variables, its results folder, and whom it tells.

    caught: the signals it does not die of; they come as what its yield gives.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    results: Path
    write: Callable[[bytes], None]
    caught: set[int] = field(default_factory=set)


# a program yields how many seconds it sleeps and gets the signals that it was woken by; it returns its exit code
Program = Callable[[Trainee], Generator[float, tuple[int, ...], int]]


@dataclass
class _Run:
    """A run in the fake: as the ledger would have it, and its attempt while that runs."""

    point: Point
    submission: Submission
    job: str
    order: int
    state: str = "pending"
    reason: str = ""
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    not_before: float = 0.0
    exit_code: int | None = None
    log: bytearray = field(default_factory=bytearray)
    going: Generator[float, tuple[int, ...], int] | None = None
    trainee: Trainee | None = None
    wakes: float = 0.0
    cause: str = ""  # what it was asked to end for
    signals: list[tuple[float, int]] = field(default_factory=list)  # still to come: when and which

    @property
    def training(self) -> Training:
        return self.submission.training


class MemoryScheduler:
    """Scheduler whose programs are functions by the name of argv[0] and whose time passes by advance() alone.

    room: how many attempts run at once. unreachable, refused: what the next questions and submissions meet.
    """

    name = "memory"

    def __init__(self, programs: Mapping[str, Program], room: int = 1, now: float = 1_000_000.0) -> None:
        self.programs, self.room, self.now = dict(programs), room, now
        self.unreachable = False
        self.refused = ""
        self.overlaps = 0  # attempts of a run that began while another had not ended
        self._runs: dict[str, _Run] = {}  # by run
        self._jobs: dict[str, tuple[str, Observation | None]] = {}  # run, and how a job ended that was resumed since
        self._count = 0

    # the Protocol

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """See Scheduler.submit."""
        self._reached()
        if self.refused:
            raise EngineError("memory.refused", self.refused, hint="this is what the fake was told to say")
        taken = [point.run for point in submission.points if point.run in self._runs]
        if taken:
            raise EngineError("memory.refused", f"the run {taken[0]} was submitted before")
        return tuple([self._add(submission, point, f"{submission.id}_{point.index}").job
                      for point in submission.points])

    def poll(self, jobs: Sequence[str]) -> dict[str, Observation]:
        """See Scheduler.poll."""
        self._reached()
        found: dict[str, Observation] = {}
        for job in jobs:
            if job in self._jobs:
                run, before = self._jobs[job]
                found[job] = before or self._observation(self._runs[run])
        return found

    def stop(self, jobs: Sequence[str]) -> None:
        """See Scheduler.stop."""
        self._reached()
        for job in jobs:
            run = self._of(job)
            if run is None or final(run.state):
                continue
            if run.state == "pending":
                run.state, run.reason = "cancelled", "stopped"
            else:
                self._interrupt(run, "stopped")

    def resume(self, submission: Submission, point: Point) -> str:
        """See Scheduler.resume. Raises EngineError "memory.refused" while the run is not over."""
        self._reached()
        run = self._runs.get(point.run)
        if run is not None and not final(run.state):
            raise EngineError("memory.refused", f"the run is {run.state}", where=point.run)
        if run is None:
            return self._add(submission, point, f"{submission.id}_{point.index}").job
        self._jobs[run.job] = run.point.run, self._observation(run)
        run.job = f"{submission.id}_{point.index}.{run.attempt}"
        self._jobs[run.job] = point.run, None
        run.submission, run.point, run.state, run.reason, run.exit_code = submission, point, "pending", "resumed", None
        run.failures = run.losses = 0
        run.not_before = self.now
        return run.job

    def logs(self, job: str, follow: bool = False) -> Iterator[bytes]:
        """See Scheduler.logs; time passes while it follows."""
        run = self._of(job)
        if run is None:
            raise EngineError("memory.unknown", "there is no such job", where=job)
        at = 0
        while True:
            if len(run.log) > at:
                yield bytes(run.log[at:])
                at = len(run.log)
            elif not follow or final(run.state):
                return
            else:
                self.advance(1.0)

    def explain(self, submission: Submission) -> str:
        """The runs and their words."""
        return "".join(f"{point.run} {list(point.argv)}\n" for point in submission.points)

    # what befalls it

    def advance(self, seconds: float) -> None:
        """Let time pass, and whatever is due in it happen in order."""
        end = self.now + seconds
        self._begin()
        while (due := min((self._due(run) for run in self._runs.values()), default=end + 1)) <= end:
            self.now = max(self.now, due)
            for run in sorted(self._runs.values(), key=lambda run: run.order):
                if self._due(run) <= self.now:
                    self._happen(run)
            self._begin()
        self.now = end

    def preempt(self, job: str) -> None:
        """A running attempt must make room, as its Training has it."""
        run = self._of(job)
        if run is not None and run.going is not None:
            self._interrupt(run, "preempted")

    def lose(self, job: str) -> None:
        """What has the attempt is gone at once, and the attempt with it."""
        run = self._of(job)
        if run is not None and run.going is not None:
            self._over(run, Ending("lost", None, "its node failed"))

    def reboot(self) -> None:
        """Every attempt ends; everything else is kept."""
        for run in self._runs.values():
            if run.going is not None:
                self._over(run, Ending("reboot", None, "the machine was started again"))

    def forget(self, job: str) -> None:
        """Know no more of a job, as a cluster does after a while: the answer to a poll is nothing."""
        self._jobs.pop(job, None)

    # inside

    def _reached(self) -> None:
        if self.unreachable:
            raise EngineError("memory.unreachable", "nobody answers", hint="try again later")

    def _add(self, submission: Submission, point: Point, job: str) -> _Run:
        run = _Run(point, submission, job, self._count)
        self._count += 1
        self._runs[point.run] = run
        self._jobs[job] = point.run, None
        return run

    def _of(self, job: str) -> _Run | None:
        """The run of its newest job."""
        run, before = self._jobs.get(job, ("", None))
        return self._runs.get(run) if before is None else None

    def _observation(self, run: _Run) -> Observation:
        return Observation(run.state, run.reason, run.attempt, run.exit_code,
                           where="memory" if run.attempt else "")

    def _due(self, run: _Run) -> float:
        """When something happens to an attempt next; never, where none runs."""
        if run.going is None:
            # one that waits for a time: the clock has to stop there for it to begin
            return run.not_before if run.state == "pending" and run.not_before > self.now else float("inf")
        return min(run.wakes, run.signals[0][0] if run.signals else float("inf"))

    def _happen(self, run: _Run) -> None:
        if run.signals and run.signals[0][0] <= self.now:
            _, number = run.signals.pop(0)
            if number == 0:
                self._interrupt(run, "limit")
            else:
                self._signal(run, number)
        elif run.going is not None:
            self._go_on(run, ())

    def _begin(self) -> None:
        """Start what may start, by priority and then in order."""
        waiting = sorted((run for run in self._runs.values() if run.state == "pending"),
                         key=lambda run: (-run.training.priority, run.order))
        for run in waiting:
            before = [self._runs[name] for name in run.training.after if name in self._runs]
            if any(other.state in ("failed", "cancelled") for other in before):
                run.state, run.reason = "cancelled", "a run that it was to follow did not succeed"
                continue
            going = [other for other in self._runs.values() if other.going is not None]
            beside = sum(other.submission.id == run.submission.id for other in going)
            if len(going) < self.room and run.not_before <= self.now and all(o.state == "succeeded" for o in before) \
                    and not 0 < run.training.parallel <= beside:
                self._start(run)

    def _start(self, run: _Run) -> None:
        self.overlaps += run.going is not None
        run.attempt += 1
        run.state, run.reason, run.cause, run.exit_code = "running", "", "", None
        point, need = run.point, run.training.need
        results = Path(point.results)
        (results / "checkpoints").mkdir(parents=True, exist_ok=True)
        argv = point.argv or run.submission.workload.argv
        env = {**dict(run.submission.workload.env), **dict(point.env), "BAREBOAT_RUN": point.run,
               "BAREBOAT_ATTEMPT": str(run.attempt), "BAREBOAT_FENCE": f"{point.run}.{run.attempt}",
               "BAREBOAT_CHECKPOINTS": str(results / "checkpoints"),
               "BAREBOAT_RESUME": _newest(results / "checkpoints"),
               "BAREBOAT_DEADLINE": str(int(self.now + need.seconds)) if need.seconds else ""}
        run.signals = [(self.now + need.seconds, 0)] if need.seconds else []
        program = self.programs.get(argv[0])
        run.trainee = Trainee(argv, env, results, run.log.extend)
        run.going = program(run.trainee) if program else iter(())  # type: ignore[assignment]
        if program is None:
            self._over(run, Ending("start", NOT_FOUND, f"{argv[0]}: not found"))
        else:
            self._go_on(run, None)

    def _go_on(self, run: _Run, signals: tuple[int, ...] | None) -> None:
        """Until its next sleep, or its end."""
        going = run.going
        assert going is not None
        try:
            run.wakes = self.now + (next(going) if signals is None else going.send(signals))
        except StopIteration as end:
            self._over(run, Ending(run.cause or "exit", int(end.value or 0)))

    def _interrupt(self, run: _Run, cause: str) -> None:
        """Begin the sequence of its Training; one that was begun goes on, under the name of who wants its end."""
        asked, run.cause = run.cause, "stopped" if "stopped" in (cause, run.cause) else cause
        if asked or run.trainee is None:
            return
        how = run.training.interrupt
        warned = how.grace if how.warning in run.trainee.caught else 0.0
        run.signals = [(self.now + warned, SIGTERM), (self.now + warned + how.kill, SIGKILL)]
        if warned:
            run.signals.insert(0, (self.now, how.warning))

    def _signal(self, run: _Run, number: int) -> None:
        assert run.going is not None and run.trainee is not None
        if number != SIGKILL and number in run.trainee.caught:
            self._go_on(run, (number,))
        else:
            self._over(run, Ending(run.cause or "exit", SIGNALLED + number))

    def _over(self, run: _Run, ending: Ending) -> None:
        if run.going is not None and hasattr(run.going, "close"):
            run.going.close()
        run.going = run.trainee = None
        run.signals = []
        step = follow(ending, run.training.retry, run.failures, run.losses)
        run.state, run.reason, run.failures, run.exit_code = step.state, step.reason, step.failures, ending.code
        run.losses = step.losses
        run.not_before = self.now + step.wait


def _newest(folder: Path) -> str:
    """The newest complete checkpoint, as BAREBOAT_RESUME has it."""
    from bareboat.store.checkpoints import resume_from

    last = resume_from(folder, "")
    return str(folder / last) if last else ""
