"""A real Slurm cluster of two nodes under the suite."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import sandbox_kit
from tests.slurm_kit import cut_off, need_cluster, slurm, until
from tests.unattended_kit import SchedulerHarness

from bareboat.engine.scheduler import Submission
from bareboat.engine.slurm.slurm import Slurm
from bareboat.host.process import Command, Completed, ProcessError, run
from bareboat.store import Store
from bareboat.training.values import Observation, Point, Training
from bareboat.values import replace
from bareboat.verbs.nodes import lay_out
from bareboat.verbs.submission import bare_template, unpacked
from bareboat.workload import Mount, Workload


class OnSlurm(SchedulerHarness):
    lacks = frozenset(("priority",))

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder / "home")
        self.tree = sandbox_kit.skeleton(folder / "tree")
        self.away, self.partition = False, "batch"
        (self.store.queue / "results").mkdir(parents=True)
        environ = {**os.environ, "BAREBOAT_HOME": os.fspath(self.store.home),
                   "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        self.slurm = Slurm(self.store.queue / "submissions", environ, self.store.runs.path, self.start)
        self.slurm.settle = 2.0  # one clock
        super().__init__(self.slurm, self.store.queue)

    def start(self, command: Command) -> Completed:
        if self.away:
            raise ProcessError("process.timeout", "took longer than 1 s and was killed", where=command.argv[0])
        return run(command)

    def workload(self, argv: tuple[str, ...]) -> Workload:
        return sandbox_kit.workload(self.tree, *argv, mounts=(Mount(self.folder / "results", "/results"),))

    def submission(self, points: tuple[Point, ...], training: Training) -> Submission:
        training = replace(training, scheduler="slurm", options=(("partition", self.partition),),
                           need=replace(training.need, memory=64 << 20))
        made = super().submission(points, training)
        node = (sys.executable, "-m", "bareboat.entry.node", os.fspath(made.folder))
        lay_out(made.folder, unpacked(bare_template(made), "the suite"), made.points)
        return replace(made, node=node)

    def observe(self, run: str) -> Observation | None:
        """As whoever looks at the queue: of all runs at once, so that each that was requeued is started again soon."""
        job = self.jobs.get(run, run)
        return self.slurm.poll([*self.jobs.values(), job]).get(job)

    def number(self, run: str) -> str:
        return self.jobs[run].partition("@")[0]

    def preempt(self, run: str) -> None:
        node = slurm("squeue", "-h", "-o", "%N", "-j", self.number(run))
        other = slurm("sbatch", "--parsable", "--partition=urgent", f"--nodelist={node}", "--exclusive",
                      "--output=/dev/null", "--wrap=true")
        until(lambda: slurm("squeue", "-h", "--states=all", "-o", "%T", "-j", other) == "COMPLETED")

    def lose(self, run: str) -> None:
        number = self.number(run)
        with cut_off(slurm("squeue", "-h", "-o", "%N", "-j", number)):
            until(lambda: slurm("squeue", "-h", "-o", "%T", "-j", number) == "PENDING")
            slurm("scontrol", "update", f"JobId={number}", "StartTime=now")
            until(lambda: slurm("squeue", "-h", "-o", "%T", "-j", number) == "RUNNING")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        slurm("scontrol", "update", "partitionname=batch", "state=down")
        try:
            yield
        finally:
            slurm("scontrol", "update", "partitionname=batch", "state=up")

    @contextlib.contextmanager
    def broken(self, how: str) -> Iterator[None]:
        if how == "refused":
            self.partition = "nowhere"
        else:
            self.away = True
        try:
            yield
        finally:
            self.partition, self.away = "batch", False

    def left(self) -> list[str]:
        numbers = {self.number(run).partition("_")[0] for run in self.jobs}
        end = time.monotonic() + 20.0
        while True:  # the account of a run is there a moment before its job is over
            rows = slurm("squeue", "-h", "-o", "%i %T").splitlines()
            found = [row for row in rows if row.split("_")[0].split(" ")[0] in numbers]
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.05)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Callable[[Path], OnSlurm]]:
    need_cluster()
    yield OnSlurm
