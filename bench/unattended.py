"""Figure: unattended runs. Submission, the ledger under many old runs, from a free GPU to a running program, and work
inside a queued run against bare metal.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from bench.environments import SMALL
from bench.measure import Figure, Goal, Row, Series, at_most, interval, seconds
from bench.metal import bare, furnish
from bench.place import Place
from bench.subject import REPOSITORY, Subject, remove

SWEEP, OLD, METAL = 10_000, 100_000, 1.01
SUBMIT, OPERATION, LATENCY = 10.0, 50.0, 200.0  # seconds for the sweep, ms, ms
UUID = "GPU-00000000-1f69-c64e-cf85-44e9b07e7a2a"
_OPERATIONS = """
import json, os, sys, time
from bareboat.queue.base import Added
from bareboat.queue.sqlite import SqliteLedger
from bareboat.queue.policy import View, decide
from bareboat.training.values import Point
from bareboat.verbs import queued
from bareboat.verbs.collaborators import Quiet
from bareboat.verbs.queue import listing
from bareboat.wiring import queue, work

old, times = int(sys.argv[1]), int(sys.argv[2])
at_work = work(Quiet())
ledger = queue(at_work).ledger
template = ledger.template(ledger.entries(most=1)[0].submission)
while sum(ledger.counts().values()) < old:
    name = os.urandom(4).hex()
    points = tuple(Point(os.urandom(6).hex(), f"{name}-{n:04d}", n, ("python", "train.py", "--seed", str(n)),
                         (("seed", str(n)),), (("BAREBOAT_PARAM_SEED", str(n)),), f"/results/{name}/{name}-{n:04d}")
                   for n in range(1000))
    ledger.add(Added(os.urandom(6).hex(), template, points, created=time.time(), name=name))
    ledger.moves([(p.run, "pending", 0) for p in points], state="succeeded", attempt=1, started=time.time() - 60,
                 ended=time.time(), exit_code=0)
some = ledger.ended(10)[-1].name
ledger.close()
waiting = "bench-waiting"

def fresh(do):
    taken = []
    for number in range(times):
        made = queue(at_work)  # each time as a new command has it: nothing read, nothing open
        prepare = do(made, number)
        made.ledger.close()
        began = time.perf_counter()
        prepare()
        taken.append(1000 * (time.perf_counter() - began))
        made.ledger.close()
    return taken

def stop(made, number):
    name = f"{waiting}-{number}"
    made.ledger.add(Added(os.urandom(6).hex(), template, (Point(os.urandom(6).hex(), name),), created=time.time(),
                          name=name))
    return lambda: queued.stop(name, made, wait=False)

def decision(made, _):
    from bareboat.verbs.queue import _decided
    return lambda: _decided(at_work, made)

print(json.dumps({
    "queue: the listing": fresh(lambda made, _: lambda: listing(at_work, made)),
    "find by name": fresh(lambda made, _: lambda: made.ledger.find(some)),
    "stop of one that waits": fresh(stop),
    "the next decision": fresh(decision),
}))
"""


def unattended(place: Place) -> Figure:
    """One store for all of it; while nothing shall start, the queue is held."""
    project = place.project(SMALL)
    subject = _with_gpu(place)
    call = partial(_call, subject, project)
    call("queue", "hold")
    rows = [_submission(place, call)]
    rows += _operations(place, subject, project)
    call("stop", "bench-kept")
    call("queue", "release")
    latency, text = _latency(place, subject, project)
    rows.append(latency)
    rows += _metal(place, call, project)
    return Figure("queue", "Unattended runs", tuple(rows), text)


def _with_gpu(place: Place) -> Subject:
    """The subject on a machine with one GPU that is made of files."""
    folder = place.work / "gpu"
    folder.mkdir(exist_ok=True)
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, REPOSITORY / "tests/fake_nvml.c"], check=True)
    (folder / "nvml.txt").write_text(f"driver 550.54.14\ncuda 12040\ngpu {UUID}|a GPU of files|0|{80 << 30}|0|0|"
                                     "00000000:01:00.0|0\n")
    (folder / "nvidia.yaml").write_text("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n" + "".join(
        f'  - name: "{name}"\n    containerEdits:\n      deviceNodes:\n        - path: /dev/nvidia0\n'
        "          hostPath: /dev/zero\n" for name in ("0", UUID, "all")))
    more = {"FAKE_NVML": str(folder / "nvml.txt"), "BAREBOAT_GPU_NVML": str(library), "BAREBOAT_GPU_CDI": str(folder),
            "BAREBOAT_LEASES_PATH": str(place.work / "leases")}
    return replace(place.subject, more=tuple(more.items()))


def _call(subject: Subject, project: Path, *words: str) -> str:
    done = subprocess.run([subject.venv / "bin/bareboat", *words], cwd=project, env=subject.env, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout


def _submission(place: Place, call) -> Row:  # type: ignore[no-untyped-def]
    """The whole command, from its start to its end: project, lock, code, points, ledger."""
    call("train", "--name", "bench-kept", "--", "true")
    taken = []
    for number in range(place.rounds):
        name = f"bench-{number}"
        taken.append(seconds(lambda name=name: call(  # type: ignore[misc]
            "train", "--name", name, "--sweep", "a=1..100", "--sweep", "b=1..100", "--", "true", "{a}", "{b}")))
        call("stop", name)
        call("rm", name)
    row = Row(f"submit a sweep of {SWEEP:,}", SMALL.name, Series("bareboat train", tuple(taken)),
              Series("the goal, 1,000 runs a second", (SUBMIT,)), "s")
    return at_most(row, 1.0)


def _operations(place: Place, subject: Subject, project: Path) -> list[Row]:
    done = subprocess.run([subject.python, "-c", _OPERATIONS, str(OLD), str(place.starts)], cwd=project,
                          env=subject.env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return [at_most(Row(f"{what}, {OLD:,} old runs", "", Series("bareboat", tuple(taken)),
                        Series("the goal", (OPERATION,)), "ms"), 1.0)
            for what, taken in json.loads(done.stdout).items()]


def _latency(place: Place, subject: Subject, project: Path) -> tuple[Row, tuple[str, ...]]:
    """Runs that want the one GPU, one after the other: from the last thing a program does to the first of the next."""
    call = partial(_call, subject, project)
    count = place.starts + 1
    call("train", "--name", "bench-line", "--gpus", "1", "--sweep", f"n=1..{count}", "--", "sh", "-c",
         "date +%s.%N; sleep 0.2; : {n}; date +%s.%N")
    call("wait", "bench-line")
    times = sorted(tuple(map(float, call("logs", f"bench-line-{n:04d}").split()[:2])) for n in range(count))
    gaps = tuple(1000 * (after[0] - before[1]) for before, after in pairwise(times))
    slow = sorted(gaps)[int(len(gaps) * 0.95)]
    call("rm", "bench-line")
    row = Row("from a program's end to the next one's beginning on its GPU", SMALL.name, Series("bareboat", gaps),
              Series("the goal", (LATENCY,)), "ms")
    return at_most(row, 1.0), (
        f"{len(gaps)} runs of one GPU that is made of files, one after the other: the time between what the program of "
        f"one wrote last and what that of the next wrote first; 95 % of them within {slow:.0f} ms.",)


def _metal(place: Place, call, project: Path) -> list[Row]:  # type: ignore[no-untyped-def]
    """The work of the figure "metal" in a queued run, in turns with bare metal."""
    root = place.plain(SMALL)
    furnish(project, root)
    results = project / "results"

    def inside(number: int) -> dict[str, float]:
        name = f"bench-metal-{number}"
        call("train", "--name", name, "--", "python", "/data/load.py", "/data/file")
        call("wait", name)
        text = call("logs", name)
        call("rm", name)
        shutil.rmtree(results / name, ignore_errors=True)
        return dict(json.loads(text))

    inside(1000)
    bare(place, root)
    pairs = [(inside(n), bare(place, root)) if n % 2 else tuple(reversed((bare(place, root), inside(n))))
             for n in range(place.pairs)]
    rows = []
    for what in pairs[0][0]:
        row = Row(f"{what}, queued", SMALL.name, Series("bareboat train", tuple(p[0][what] * 1000 for p in pairs)),
                  Series("bare metal", tuple(p[1][what] * 1000 for p in pairs)), "ms")
        low, high = interval(row.ratios)
        rows.append(replace(row, goals=(Goal(f"interval reaches {METAL:g} or below: {low:.3f} to {high:.3f}",
                                             low <= METAL),)))
    remove(project / "data")
    return rows
