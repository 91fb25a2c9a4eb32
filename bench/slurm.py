"""Figure: what a submission to Slurm costs, in turns with plain sbatch and with submitit. Needs a cluster's SLURM_CONF.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from bench.measure import Figure, Row, Series, in_turns, seconds
from bench.place import Place
from bench.subject import Subject

ARRAY = 100
SUBMITIT = """
import sys, subprocess, submitit
executor = submitit.AutoExecutor(folder=sys.argv[1], cluster="slurm")
executor.update_parameters(slurm_partition="batch", mem_gb=0.1, timeout_min=5,
                           slurm_additional_parameters={"hold": True}, slurm_array_parallelism=100)
n = int(sys.argv[2])
jobs = [executor.submit(subprocess.run, ["true"])] if n == 1 else executor.map_array(abs, range(n))
print(jobs[0].job_id.split("_")[0])
"""


def slurm(place: Place) -> Figure:
    """Commands from their start to their end; jobs are held, so that nothing runs meanwhile, and cancelled."""
    if "SLURM_CONF" not in os.environ:
        raise RuntimeError("SLURM_CONF is not set: there is no cluster")
    project, subject = place.bare(), place.bare_subject()
    python = _submitit(place.work)
    numbers = count()
    rounds = min(place.pairs, 21)
    rows = []
    try:
        for runs in (1, ARRAY):
            what = "one run sent" if runs == 1 else f"a sweep of {runs} sent"
            own, plain, other = in_turns(
                rounds, _timed(partial(_ours, subject, project, numbers, runs)), _timed(partial(_sbatch, runs)),
                _timed(partial(_run, str(python), "-c", SUBMITIT, str(place.work / "logs"), str(runs))))
            ours = Series("bareboat train", _ms(own))
            rows.append(Row(what, "", ours, Series("sbatch", _ms(plain)), "ms"))
            rows.append(Row(what, "", ours, Series("submitit, a function", _ms(other)), "ms"))
        done, alone = in_turns(min(rounds, 11), lambda n: _over(partial(_ours_now, subject, project, numbers)),
                               lambda n: _over(lambda: _sbatch_now()))
        rows.append(Row("sent, until Slurm has it as completed", "", Series("bareboat train -- true", done),
                        Series("sbatch of true", alone), "s"))
    finally:
        _run("scancel", "--name=bench-slurm,wrap,submitit")
    return Figure("slurm", "Slurm", tuple(rows), (
        "A controller and two nodes on this machine. The first four: whole commands, with jobs that are held. "
        "bareboat's includes its look at project, lock and image, the snapshot of the code and the ledger. submitit's "
        "includes the import of itself and its pickle. The last: the schedule of Slurm, which looks at its queue every "
        "second or two, is most of both; bareboat's has the node's part of it, the sandbox and one step more.",))


def _timed(send: Callable[[], str]) -> Callable[[int], float]:
    """How long it takes; what was sent is cancelled afterwards."""
    def once(_: int) -> float:
        found: list[str] = []
        taken = seconds(lambda: found.append(send()))
        _run("scancel", found[0].strip())
        return taken

    return once


def _ms(samples: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(1000 * sample for sample in samples)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: {done.stderr[-2000:]}")
    return done.stdout


def _submitit(work: Path) -> Path:
    """A Python that has submitit, in an environment of its own."""
    venv = work / "submitit"
    if not venv.exists():
        _run(sys.executable, "-m", "venv", str(venv))
        _run(str(venv / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "submitit")
        _run(str(venv / "bin/python"), "-c", "import submitit")
    return venv / "bin/python"


def _ours(subject: Subject, project: Path, numbers: count[int], runs: int) -> str:
    sweep = () if runs == 1 else ("--sweep", f"n=1..{runs}")
    subject.bareboat(project, "train", "--engine", "slurm", "--partition", "batch", "--memory", "100m", "--name",
                     f"bench-{os.getpid()}-{next(numbers)}", "--sbatch=--hold --job-name=bench-slurm", *sweep, "--",
                     "true", *(("{n}",) if sweep else ()))
    return "--name=bench-slurm"


def _sbatch(runs: int) -> str:
    array = () if runs == 1 else (f"--array=0-{runs - 1}",)
    return _run("sbatch", "--parsable", "--hold", "--partition=batch", "--mem=100M", "--output=/dev/null", *array,
                "--wrap=true")


def _ours_now(subject: Subject, project: Path, numbers: count[int]) -> str:
    name = f"bench-{os.getpid()}-{next(numbers)}"
    subject.bareboat(project, "train", "--engine", "slurm", "--partition", "batch", "--memory", "100m", "--name", name,
                     "--", "true")
    return f"--name={name}"


def _sbatch_now() -> str:
    sent = _run("sbatch", "--parsable", "--partition=batch", "--mem=100M", "--output=/dev/null", "--wrap=true")
    return f"--jobs={sent}"


def _over(send: Callable[[], str]) -> float:
    """Seconds until Slurm has it as completed."""
    began = time.perf_counter()
    which = send().strip()
    while _run("squeue", "-h", "--states=all", "-o", "%T", which).strip() != "COMPLETED":
        time.sleep(0.02)
    return time.perf_counter() - began
