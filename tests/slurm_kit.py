"""A store whose runs go to a real Slurm cluster, over the skeleton root: no image, no network."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import gpu_kit
from tests import sandbox_kit as kit

from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.engine.slurm import notes
from bareboat.engine.slurm.answers import job_fields
from bareboat.engine.slurm.slurm import Slurm
from bareboat.host.process import Command, Completed, ProcessError, run
from bareboat.lease.memory import MemoryLeases, Table
from bareboat.queue.base import Added, Entry
from bareboat.queue.sqlite import SqliteLedger
from bareboat.record.states import final
from bareboat.record.values import RunRecord, timestamp
from bareboat.settings import Settings
from bareboat.store import Store
from bareboat.training.values import Need, Point, Training
from bareboat.values import replace
from bareboat.verbs.collaborators import Quiet, Work
from bareboat.verbs.launch import Kept
from bareboat.verbs.polling import refresh
from bareboat.verbs.submission import Queue, Template, apart, enter, packed, placed, submission_of
from bareboat.verbs.train import hand_over
from bareboat.workload import Mount

PATIENCE = 60.0  # seconds; what is waited for takes a few


def need_cluster() -> str:
    """SLURM_CONF of a cluster for tests; skip where there is none, but never in CI."""
    kit.need_sandbox()
    conf = os.environ.get("SLURM_CONF", "")
    if not conf or shutil.which("sbatch") is None:
        if os.environ.get("CI"):
            pytest.fail("no cluster: slurm-up was not run, or SLURM_CONF is not set")
        pytest.skip("no cluster: SLURM_CONF is not set")
    return conf


def slurm(*argv: str, check: bool = True) -> str:
    """What one of Slurm's commands says."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout.strip()


def until(true: Callable[[], object], patience: float = PATIENCE, pause: float = 0.1) -> None:
    """Wait for a condition."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(pause)


def daemon(name: str) -> int:
    """The pid of one of the cluster's daemons."""
    return int((Path(os.environ["SLURM_CONF"]).parent / f"run/{name}.pid").read_text())


@contextlib.contextmanager
def cut_off(node: str) -> Iterator[None]:
    """A node is down for the controller, and what runs on it goes on."""
    pid = daemon(f"slurmd-{node}")
    os.kill(pid, signal.SIGSTOP)
    try:
        slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        slurm("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        until(lambda: slurm("sinfo", "-h", "-n", node, "-p", "batch", "-o", "%T") in ("idle", "mixed", "allocated"))


@contextlib.contextmanager
def stopped_controller() -> Iterator[None]:
    """Slurm's controller does not answer meanwhile."""
    pid = daemon("slurmctld")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def ended_controller() -> Iterator[None]:
    """Slurm's controller is ended meanwhile, and begins again from what it has saved."""
    pid = daemon("slurmctld")
    os.kill(pid, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{pid}").exists())
    try:
        yield
    finally:
        subprocess.run(("slurmctld",), check=True, capture_output=True, timeout=60)
        until(lambda: "UP" in slurm("scontrol", "ping", check=False))


def deaf_to(*programs: str) -> Callable[[Command], Completed]:
    """Runs commands; of these programs' answers nothing comes through, and of no question that follows either."""
    lost = False

    def start(command: Command) -> Completed:
        nonlocal lost
        if lost:
            raise ProcessError("process.timeout", "took longer than 1 s and was killed", where=command.argv[0])
        done = run(command)
        lost = command.argv[0] in programs
        if lost:
            raise ProcessError("process.timeout", "took longer than 1 s and was killed", where=command.argv[0])
        return done

    return start


class Yard:
    """A store, its ledger and Slurm. sh: what is submitted is a script for the shell."""

    def __init__(self, base: Path) -> None:
        need_cluster()
        self.base, self.home, self.results = base, base / "home", base / "results"
        self.store = Store.open(self.home)
        self.results.mkdir(exist_ok=True)
        self.tree = kit.skeleton(base / "tree")
        self.more: dict[str, object] = {}  # of the workloads
        self.ledger = SqliteLedger(self.store.queue)
        self.work = Work(self.store, Bubblewrap(self.home), Settings(home=self.home), Quiet())
        gpu_kit.cdi_yaml(base / "cdi", gpu_kit.library(base / "libcuda.so.999.88", "libcuda.so.1"))
        environ = {**os.environ, "BAREBOAT_HOME": os.fspath(self.home), "BAREBOAT_GPU_CDI": os.fspath(base / "cdi"),
                   "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        self.slurm = Slurm(self.store.queue / "submissions", environ, self.store.runs.path)
        self.slurm.settle = 2.0  # one clock
        self.queue = Queue(self.ledger, MemoryLeases(os.getuid(), Table()), lambda: None, lambda name: self.slurm,
                           self.store.queue)

    def send(self, *scripts: str, training: Training = Training(), name: str = "",  # noqa: B008
             env: tuple[tuple[str, str], ...] = ()) -> list[str]:
        """The ids of runs, one a script, sent together."""
        return self.send_argv(*(("/bin/sh", "-c", script) for script in scripts), training=training, name=name, env=env)

    def send_argv(self, *argvs: tuple[str, ...], training: Training = Training(), name: str = "",  # noqa: B008
                  env: tuple[tuple[str, str], ...] = ()) -> list[str]:
        """As send, with argvs."""
        training = replace(training, scheduler="slurm", need=replace(training.need, memory=training.need.memory or (
            100 << 20)))  # else a job has all of its node's memory
        load = kit.workload(self.tree, *argvs[0], mounts=(Mount(self.results, "/results"),), env=env,
                            **self.more)
        record = RunRecord("0" * 12, created=timestamp(time.time()), argv=argvs[0], engine="bubblewrap", uid=load.uid,
                           gid=load.gid)
        points = placed(tuple(Point("", f"{name}{i if i else ''}" if name else "", i, argv)
                              for i, argv in enumerate(argvs)), self.results)
        template, points, values = apart(Template(Kept(load, record, self.results), training), points)
        id = os.urandom(6).hex()
        enter(Added(id, packed(template), points, "slurm", created=time.time(), name=name), values, self.queue)
        hand_over(submission_of(id, template, points, name, self.queue.folder), self.queue)
        return [point.run for point in points]

    def look(self, run: str) -> Entry:
        """Its entry, as Slurm has it now."""
        problems = refresh(self.queue)
        assert not problems, problems
        return self.ledger.find(run)

    def until(self, run: str, true: Callable[[Entry], object], patience: float = PATIENCE) -> Entry:
        """Wait until its entry is so."""
        end = time.monotonic() + patience
        while not true(entry := self.look(run)):
            assert time.monotonic() < end, (entry, self.said(run), self.told(run))
            time.sleep(0.2)
        return entry

    def over(self, run: str, patience: float = PATIENCE) -> Entry:
        """Wait for its end."""
        return self.until(run, lambda entry: final(entry.state), patience)

    def runs(self, run: str) -> Entry:
        """Wait until its program runs."""
        entry = self.until(run, lambda entry: final(entry.state) or (
            entry.state == "running" and entry.attempt and self.said(run)))
        assert entry.state == "running", (entry, self.told(run))
        return entry

    def job(self, run: str) -> str:
        """Slurm's own number of it."""
        return self.ledger.find(run).job.partition("@")[0]

    def folder(self, run: str) -> Path:
        """Its results."""
        return Path(self.ledger.point(run).results)

    def leased(self, run: str) -> str:
        """The GPUs of its node that Slurm gave it."""
        fields = job_fields(slurm("scontrol", "show", "job", "--details", "--oneliner", self.job(run)).encode())
        return fields.get("GRES", "")

    def note(self, run: str) -> notes.Note | None:
        """What its node has written down."""
        return notes.read(self.queue.folder / "submissions" / self.ledger.find(run).submission, run)

    def said(self, run: str) -> str:
        """What its program wrote."""
        path = self.store.runs.path(run) / "log"
        return path.read_text() if path.exists() else ""

    def told(self, run: str) -> str:
        """What its nodes said, and its attempts' processes."""
        folder = self.queue.folder / "submissions" / self.ledger.find(run).submission
        files = [*sorted(folder.glob("*.out")), self.store.runs.path(run) / "attempt.log"]
        return "\n".join(f.read_text(errors="replace") for f in files if f.exists())

    def close(self) -> None:
        """Nothing is left in the cluster."""
        numbers = {entry.job.partition("@")[0].partition("_")[0] for entry in self.ledger.entries() if entry.job}
        if numbers:
            slurm("scancel", "--quiet", *numbers, check=False)
            wanted = f"--jobs={','.join(numbers)}"
            until(lambda: not slurm("squeue", "-h", wanted, check=False))
        self.ledger.close()


def gpus(count: int, **more: object) -> Training:
    """A training on so many GPUs."""
    return Training(Need(gpus=count), **more)  # type: ignore[arg-type]
