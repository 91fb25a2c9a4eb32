"""Figure: compute, memory bandwidth and reading a file, inside against bare metal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

from bench.environments import SMALL
from bench.measure import Figure, Goal, Row, Series, interval
from bench.place import Place
from bench.subject import remove

GOAL = 1.01
SIZE = 1_000_000_000
ENTER = ("for d in proc sys dev; do mount --rbind /$d $0/$d; done; "
         'exec chroot $0 /opt/venv/bin/python /bench/load.py /bench/file')


def metal(place: Place) -> Figure:
    """The same Python and numpy, the same file in the page cache; a process of its own for each sample."""
    project, root = place.project(SMALL), place.plain(SMALL)
    furnish(project, root)
    inside, outside = partial(_inside, place, project), partial(bare, place, root)
    inside(), outside()
    pairs = [(inside(), outside()) if n % 2 else tuple(reversed((outside(), inside()))) for n in range(place.pairs)]
    rows = []
    for what in pairs[0][0]:
        row = Row(what, SMALL.name, Series("bareboat", tuple(p[0][what] * 1000 for p in pairs)),
                  Series("bare metal", tuple(p[1][what] * 1000 for p in pairs)), "ms")
        low, high = interval(row.ratios)
        goal = Goal(f"interval reaches {GOAL:g} or below: {low:.3f} to {high:.3f}", low <= GOAL)
        rows.append(Row(row.title, row.environment, row.ours, row.theirs, row.unit, (goal,)))
    remove(project / "data")
    return Figure("metal", "Inside against bare metal", tuple(rows), (
        f"{place.pairs} pairs of processes in turns; the interval is of the median of the pairs' ratios, 95 %, by "
        "bootstrap. Bare metal: the same interpreter and wheels in a plain directory, by chroot, as the caller, "
        "without namespaces but the one for its mounts, without seccomp, without overlay.",))


def furnish(project: Path, root: Path) -> None:
    """One file for both, by a hard link, and the program beside it."""
    data = project / "data"
    for folder in (data, root / "bench"):
        remove(folder)
        folder.mkdir()
        shutil.copy(Path(__file__).parent / "load.py", folder)
    with open(data / "file", "wb") as file:
        for _ in range(SIZE // 1_000_000):
            file.write(os.urandom(1_000_000))
    os.link(data / "file", root / "bench/file")


def _inside(place: Place, project: Path) -> dict[str, float]:
    return dict(json.loads(place.subject.run(project, "python", "/data/load.py", "/data/file")))


def bare(place: Place, root: Path) -> dict[str, float]:
    """What the work takes outside."""
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-ec", ENTER, root],
                          env=place.subject.env, capture_output=True, stdin=subprocess.DEVNULL, check=True)
    return dict(json.loads(done.stdout))
