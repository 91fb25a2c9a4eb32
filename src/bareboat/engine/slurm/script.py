"""What sbatch is given, as text. Pure: nothing a user typed for the program is in it.

A script names the run and starts the node's part of bareboat, which reads argv and variables from the submission's
folder; so what is in them meets no shell. https://slurm.schedmd.com/sbatch.html
"""

from __future__ import annotations

import math
import shlex

from bareboat.engine.scheduler import Submission
from bareboat.errors import UsageError
from bareboat.training.values import Training
from bareboat.values import dataclass

COMMENT = "bareboat"
SIGNAL_MOST = 65535  # seconds, sbatch's own bound
OPTIONS = ("partition", "account", "qos", "constraint", "reservation", "gres")  # given to sbatch as they are
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_VALUE = _PLAIN | frozenset(",:=/@+%*&|()[]!")
_RUN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")


@dataclass(frozen=True)
class Part:
    """A job, or an array of jobs, for some runs of a submission. number: its own among those of the submission; after:
    the job that must be over first, whatever became of it; succeeded: jobs that must have succeeded before.
    """

    number: int
    runs: tuple[str, ...]
    after: str = ""
    succeeded: tuple[str, ...] = ()


def comment(submission: str, part: int) -> str:
    """By what a job is known to be of a submission, whatever number it has."""
    return f"{COMMENT}:{submission}:{part}"


def parts_of(runs: tuple[str, ...], most: int, first: int = 0) -> tuple[Part, ...]:
    """The runs in arrays of at most so many, which is Slurm's MaxArraySize."""
    return tuple(Part(first + number, runs[at:at + most]) for number, at in enumerate(range(0, len(runs), most)))


def runs_file(part: Part) -> str:
    """The file in the submission's folder that has a run a line, by the array's index."""
    return f"part-{part.number}.runs"


def script(submission: Submission, part: Part) -> str:
    """The batch script of a part. Raises UsageError "slurm.*" for what cannot be said to Slurm."""
    array = len(part.runs) > 1
    folder = str(submission.folder)
    lines = [
        "#!/bin/sh",
        f"# bareboat {COMMENT}:{submission.id}: {len(part.runs)} run{'s' if array else ''}",
        *(f"#SBATCH --{name}={quoted(value)}" if value else f"#SBATCH --{name}"
          for name, value in directives(submission, part)),
    ]
    for run in part.runs:
        if not run or not _RUN.issuperset(run):
            raise UsageError("slurm.run", "not the id of a run", where=repr(run))
    if array:
        lines.append(f'run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {shlex.quote(f"{folder}/{runs_file(part)}")})')
    else:
        lines.append(f"run={part.runs[0]}")
    program = shlex.quote(submission.node[0])
    lines += [
        f"[ -x {program} ] || {{ echo \"bareboat: $(hostname) has no \"{program} >&2; exit 126; }}",
        " ".join(["exec", *map(shlex.quote, submission.node), '"$run"']),
    ]
    return "\n".join(lines) + "\n"


def sentinel() -> tuple[str, ...]:
    """A step that does nothing and takes nothing: Slurm's SIGTERM of a preemption, and of scancel --signal, goes to
    every process of every step, and to none of the batch script's. So this step's end is the word, and the program,
    which belongs to the script, is warned as it should be.
    """
    return ("srun", "--overlap", "--quiet", "--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--gres=none", "--mem=0",
            "sleep", "infinity")


def followers(nodes: int, cpus: float, argv: tuple[str, ...]) -> tuple[str, ...]:
    """A step on all nodes but the first, which has the script: one process on each."""
    words = (f"--cpus-per-task={math.ceil(cpus)}",) if cpus else ()  # not inherited since 22.05
    return ("srun", "--overlap", "--quiet", "--relative=1", f"--nodes={nodes - 1}", f"--ntasks={nodes - 1}",
            "--ntasks-per-node=1", *words, "--kill-on-bad-exit=0", *argv)


def directives(submission: Submission, part: Part) -> list[tuple[str, str]]:
    """What sbatch is told, in order; "" for an option without a value. Raises UsageError "slurm.option",
    "slurm.fraction".
    """
    t, need, said = submission.training, submission.training.need, dict(submission.training.options)
    array = len(part.runs) > 1
    output = f"{submission.folder}/part-{part.number}".replace("%", "%%")
    found = [
        ("job-name", job_name(submission)),
        ("comment", comment(submission.id, part.number)),
        ("output", f"{output}-%a.out" if array else f"{output}.out"),
        ("open-mode", "append"),
        ("requeue", ""),
        ("nodes", str(need.nodes)),
        ("ntasks-per-node", "1"),
    ]
    if need.cpus:
        found.append(("cpus-per-task", str(math.ceil(need.cpus))))
    if need.memory:
        found.append(("mem", f"{-(-need.memory // (1 << 20))}M"))
    if need.gpus:
        if need.gpus != int(need.gpus):
            raise UsageError("slurm.fraction", f"Slurm leases whole GPUs, and {need.gpus:g} is a part of one",
                             where="--gpus", hint="ask for 1, or for what your cluster offers instead: --gres shard:1")
        if "gres" not in said:
            found.append(("gres", f"gpu:{int(need.gpus)}"))
    if need.seconds:
        found.append(("time", str(math.ceil(need.seconds / 60))))
    found.append(("signal", f"B:USR1@{warned_before(t)}"))  # B: to the script's process alone
    if array:
        found.append(("array", f"0-{len(part.runs) - 1}" + (f"%{t.parallel}" if t.parallel else "")))
    waits = [f"afterok:{job}" for job in part.succeeded] + ([f"afterany:{part.after}"] if part.after else [])
    if waits:
        found += [("dependency", ",".join(waits)), ("kill-on-invalid-dep", "yes")]
    if t.priority < 0:
        found.append(("nice", str(-t.priority)))  # only lower is anybody's to ask for
    for name in OPTIONS:
        if name in said:
            if not said[name] or not _VALUE.issuperset(said[name]):
                raise UsageError("slurm.option", f"{said[name]!r} is no value for Slurm", where=f"--{name}")
            found.append((name, said[name]))
    return found


def warned_before(t: Training) -> int:
    """Seconds before the time limit at which the node's part of bareboat is told, so that warning and end fit in; at
    most half of the time.
    """
    wanted = t.interrupt.grace + t.interrupt.kill + 5
    return int(min(wanted, t.need.seconds / 2 if t.need.seconds else wanted, SIGNAL_MOST))


def job_name(submission: Submission) -> str:
    """The name that squeue shows: the submission's where it has one, without what a shell or a terminal could take
    amiss.
    """
    name = "".join(c if c in _PLAIN else "_" for c in submission.name)[:64].lstrip("-")
    return name or f"bareboat-{submission.id}"


def quoted(value: str) -> str:
    """A value on a #SBATCH line, where sbatch knows quotes. Raises UsageError "slurm.option"."""
    if "\n" in value or "\0" in value or "'" in value:
        raise UsageError("slurm.option", "Slurm takes no line breaks and no ' here", where=repr(value),
                         hint="move the store to a folder without them: BAREBOAT_HOME")
    return value if _VALUE.issuperset(value) else f"'{value}'"
