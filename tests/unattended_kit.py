"""What tests/contract/test_unattended.py asks of a scheduler, and the one program that its runs are.

To put a scheduler under the suite, write tests/contract/harness_NAME.py with

    def opened(folder: Path) -> AbstractContextManager[Callable[[Path], Harness]]

which is entered once in a session (bring the cluster up; pytest.skip where it cannot be had, unless CI is set) and
gives a function that makes a harness in a fresh folder for each test. For what has an engine/scheduler.Scheduler,
derive from SchedulerHarness: give it the scheduler, say in workload() what image runs `sh`, in `node` how a node
carries out a point, and override what it can do (preempt, lose, held, broken); name in `lacks` what it cannot, of
ABILITIES. wait() asks every so often for real; a harness with a clock of its own overrides clock() and pause().
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from bareboat.engine.scheduler import Scheduler, Submission
from bareboat.record.states import final
from bareboat.record.values import run_id
from bareboat.training.values import Interrupt, Observation, Point, Training
from bareboat.workload import Rootfs, Workload

ABILITIES = frozenset((
    "preempt",  # take a running attempt away for another's sake
    "lose",  # kill what has an attempt, as a node's failure does
    "held",  # let nothing start for a while
    "refused",  # refuse a submission
    "unreachable",  # be away
    "limit",  # time limits of a second
    "after",  # runs that wait for others
    "priority",
    "some",  # cancel a part of a sweep of which nothing has begun
))
QUICK = Interrupt(grace=20.0, kill=5.0)

# Steps of the program, one a word; what it does is in the results folder and in its output:
#   say:TEXT err:TEXT   a line of output or of errors
#   await:NAME          until results/NAME is there
#   forever
#   save:N half:N       a complete checkpoint step-N; one that has not been finished
#   warn:N:CODE         on SIGUSR1: save N and exit with CODE
#   deaf                neither SIGUSR1 nor SIGTERM ends it
#   exit:CODE exits:A,B,C   by attempt, the last of them from there on
#   die                 by SIGKILL
#   later:STEP          from the second attempt on
#   env:NAME            the variable into results/env-NAME
#   args WORD …         the words that follow, each ended by a NUL, into results/args; then exit 0
PROBE = r"""
set -u
results=${PROBE_RESULTS:-/results}
saves=$BAREBOAT_CHECKPOINTS
echo "$BAREBOAT_RUN $BAREBOAT_ATTEMPT $BAREBOAT_FENCE ${BAREBOAT_RESUME##*/}" >> "$results/attempts"
save() {
    [ -d "$saves/step-$1" ] && return
    mkdir "$saves/.step-$1.tmp" && echo "$1" > "$saves/.step-$1.tmp/state" && : > "$saves/.step-$1.tmp/.complete" &&
        mv "$saves/.step-$1.tmp" "$saves/step-$1"
}
warn() { trap "save ${1%%:*}; exit ${1##*:}" USR1; }
exits() {
    codes=$1 n=1
    while [ "$n" -lt "$BAREBOAT_ATTEMPT" ]; do codes=${codes#*,} n=$((n + 1)); done
    exit "${codes%%,*}"
}
step() {
    case $1 in
        say:*) printf '%s\n' "${1#say:}" ;;
        err:*) printf '%s\n' "${1#err:}" >&2 ;;
        await:*) while [ ! -e "$results/${1#await:}" ]; do sleep 0.05; done ;;
        forever) while :; do sleep 0.05; done ;;
        save:*) save "${1#save:}" ;;
        half:*) mkdir "$saves/step-${1#half:}"; echo half > "$saves/step-${1#half:}/state" ;;
        warn:*) warn "${1#warn:}" ;;
        deaf) trap : USR1 TERM ;;
        exit:*) exit "${1#exit:}" ;;
        exits:*) exits "${1#exits:}" ;;
        die) kill -9 $$ ;;
        later:*) [ "$BAREBOAT_ATTEMPT" -gt 1 ] && step "${1#later:}" ;;
        env:*) eval "printf '%s' \"\${${1#env:}-unset}\"" > "$results/env-${1#env:}" ;;
        *) echo "no such step: $1" >&2; exit 99 ;;
    esac
}
while [ $# -gt 0 ]; do
    if [ "$1" = args ]; then shift; printf '%s\0' "$@" > "$results/args"; exit 0; fi
    step "$1"
    shift
done
exit 0
"""


def probe(*steps: str) -> tuple[str, ...]:
    """The argv of the program that takes these steps."""
    return ("sh", "-c", PROBE, "probe", *steps)


class Harness(Protocol):
    """A scheduler as the suite uses it. Runs are named by their ids."""

    name: str
    lacks: frozenset[str]

    def submit(self, *points: Point, training: Training = ...) -> tuple[str, ...]:
        """Send runs together and give their ids. Of the points argv, env and name count; none for `true`. Raises
        EngineError as Scheduler.submit.
        """

    def observe(self, run: str) -> Observation | None:
        """What is known of it now; None: unknown."""

    def wait(self, run: str, true: Callable[[Observation], bool], seconds: float = ...) -> Observation:
        """The first observation for which that holds. Fails when it does not come."""

    def stop(self, *runs: str) -> None: ...

    def resume(self, run: str) -> None: ...

    def logs(self, run: str, follow: bool = False) -> bytes: ...

    def results(self, run: str) -> Path:
        """Its folder on this machine."""

    def preempt(self, run: str) -> None: ...

    def lose(self, run: str) -> None: ...

    def held(self) -> AbstractContextManager[None]:
        """Nothing starts meanwhile."""

    def broken(self, how: str) -> AbstractContextManager[None]:
        """Meanwhile it is "unreachable", or the next submission is "refused"."""

    def left(self) -> list[str]:
        """What is there that should not be when every run is over: jobs, processes, in words."""

    def close(self) -> None:
        """End everything."""


Opened = Callable[[Path], AbstractContextManager[Callable[[Path], Harness]]]


class SchedulerHarness:
    """A harness over a Scheduler: what is the same for all of them."""

    lacks: frozenset[str] = frozenset()
    node: tuple[str, ...] = ()
    image = ""
    patience = 60.0  # seconds for anything that is waited for

    def __init__(self, scheduler: Scheduler, folder: Path) -> None:
        self.scheduler, self.folder, self.name = scheduler, folder, scheduler.name
        self.sent: dict[str, tuple[Submission, Point]] = {}
        self.jobs: dict[str, str] = {}
        self._count = 0

    def workload(self, argv: tuple[str, ...]) -> Workload:
        """Of all runs of a submission."""
        return Workload(Rootfs(()), argv, (("PATH", "/usr/bin:/bin"),), "/")

    def submit(self, *points: Point, training: Training | None = None) -> tuple[str, ...]:
        submission = self.submission(points, training or Training(interrupt=QUICK))
        jobs = self.scheduler.submit(submission)
        assert len(jobs) == len(points) and len(set(jobs)) == len(jobs)
        for point, job in zip(submission.points, jobs, strict=True):
            self.sent[point.run], self.jobs[point.run] = (submission, point), job
        return tuple(point.run for point in submission.points)

    def submission(self, points: tuple[Point, ...], training: Training) -> Submission:
        """As verbs/train makes it."""
        self._count += 1
        id = os.urandom(6).hex()
        folder = self.folder / "submissions" / id
        folder.mkdir(parents=True)
        made = []
        for index, point in enumerate(points):
            run = run_id(os.urandom(6))
            results = self.folder / "results" / run
            (results / "checkpoints").mkdir(parents=True)
            made.append(Point(run, point.name or run, index, point.argv or ("true",), point.parameters, point.env,
                              str(results)))
        return Submission(id, training, self.workload(made[0].argv), tuple(made), folder, f"suite-{self._count}",
                          self.image, self.node)

    def observe(self, run: str) -> Observation | None:
        job = self.jobs.get(run, run)
        return self.scheduler.poll([job]).get(job)

    def wait(self, run: str, true: Callable[[Observation], bool], seconds: float = 0.0) -> Observation:
        end = self.clock() + (seconds or self.patience)
        while True:
            seen = self.observe(run)
            if seen is not None and true(seen):
                return seen
            assert self.clock() < end, f"it did not come to that; at last {seen}, {self.logs(run)[-400:]!r}"
            self.pause()

    def clock(self) -> float:
        """Seconds, for patience."""
        return time.monotonic()

    def pause(self) -> None:
        """Between two looks."""
        time.sleep(0.1)

    def stop(self, *runs: str) -> None:
        self.scheduler.stop([self.jobs.get(run, run) for run in runs])

    def resume(self, run: str) -> None:
        submission, point = self.sent[run]
        self.jobs[run] = self.scheduler.resume(submission, point)

    def logs(self, run: str, follow: bool = False) -> bytes:
        return b"".join(self.scheduler.logs(self.jobs[run], follow))

    def results(self, run: str) -> Path:
        return Path(self.sent[run][1].results)

    def preempt(self, run: str) -> None:
        raise NotImplementedError

    def lose(self, run: str) -> None:
        raise NotImplementedError

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        raise NotImplementedError
        yield

    @contextlib.contextmanager
    def broken(self, how: str) -> Iterator[None]:
        raise NotImplementedError
        yield

    def left(self) -> list[str]:
        return []

    def close(self) -> None:
        running = [run for run in self.jobs if (seen := self.observe(run)) is not None and not final(seen.state)]
        self.stop(*running)
        for run in running:
            self.wait(run, lambda seen: final(seen.state))


# Looking at what a run did


def attempts(harness: Harness, run: str) -> list[tuple[int, str, str]]:
    """(number, fence, name of the checkpoint it resumed from) of each attempt whose program began."""
    file = harness.results(run) / "attempts"
    lines = [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []
    assert all(line[0] == run for line in lines)
    return [(int(number), fence, resumed) for _, number, fence, resumed in lines]


def checkpoints(harness: Harness, run: str) -> list[str]:
    """The complete ones."""
    return sorted(p.parent.name for p in (harness.results(run) / "checkpoints").glob("step-*/.complete"))


def said(harness: Harness, run: str, follow: bool = False) -> bytes:
    """What the program wrote, of all attempts, without what bareboat says beside it."""
    lines = harness.logs(run, follow).splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"bareboat: "))


def over(seen: Observation) -> bool:
    return final(seen.state)


def go(harness: Harness, run: str, name: str = "go") -> None:
    """Let a program go on that awaits it."""
    (harness.results(run) / name).touch()
