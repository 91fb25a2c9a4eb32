"""Figure: nothing changed. What a start costs, and what of it is Python's, our imports', the sandbox's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from statistics import median

from bench.environments import SMALL
from bench.measure import Figure, Goal, Row, Series, at_most, in_turns, seconds
from bench.peer import BASE
from bench.place import Place

RATIO, BEYOND = 0.5, 70.0  # times docker run with the host's network; ms more than bwrap alone


def start(place: Place) -> Figure:
    """`bareboat run -- true` in turns with docker run, bwrap alone, and Python alone."""
    place.base()
    project, subject, docker = place.project(SMALL), place.subject, place.docker
    overlay = [w for tree in subject.trees(project) for w in ("--overlay-src", str(tree))]
    bwrap = [str(subject.bwrap), *overlay, "--tmp-overlay", "/", "--proc", "/proc", "--dev", "/dev",
             "--unshare-pid", "--unshare-ipc", "--unshare-uts", "true"]
    run = [str(subject.venv / "bin/bareboat"), "run", "--", "true"]
    cli = ("run", "--rm", "--network", "host", BASE, "true")
    sides = (
        lambda _: _call(place, run),
        lambda _: 1000 * seconds(lambda: docker.run(BASE, ["true"])),
        lambda _: 1000 * seconds(lambda: docker.run(BASE, ["true"], "bridge")),
        lambda _: 1000 * seconds(lambda: docker.cli(*cli)),
        lambda _: _call(place, bwrap),
        lambda _: _call(place, [str(subject.python), "-I", "-c", "pass"]),
        lambda _: _call(place, [run[0], "--help"]),
    )
    for side in sides:
        side(0)
    ours, host, bridge, command, alone, python, usage = in_turns(place.starts, *sides)
    mine, names = Series("bareboat run -- true", ours), ("start with nothing changed", SMALL.name)
    rows = [at_most(Row(*names, mine, Series("docker run, host network, by socket", host), "ms"), RATIO),
            Row(*names, mine, Series("docker run, bridge, by socket", bridge), "ms"),
            Row(*names, mine, Series("docker run, host network, command", command), "ms"),
            _beyond(Row(*names, mine, Series("bwrap alone, same trees", alone), "ms")),
            Row(*names, mine, Series("python -I -c pass", python), "ms"),
            at_most(Row("bareboat --help", "", Series("bareboat --help", usage), Series("python -I -c pass", python),
                        "ms"), value=100)]
    return Figure("start", "Nothing changed", tuple(rows), _where(place, project, mine.median, median(python)))


def _call(place: Place, argv: list[str]) -> float:
    """Milliseconds of a program that must succeed."""
    def call() -> None:
        done = subprocess.run(argv, cwd=place.project(SMALL), env=place.subject.env, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise RuntimeError(f"{argv[0]}: {done.stderr.decode()[-2000:]}")

    return 1000 * seconds(call)


def _beyond(row: Row) -> Row:
    more = row.ours.median - row.theirs.median
    goal = Goal(f"within {BEYOND:g} ms of it ({more:.0f} ms more)", more < BEYOND)
    return Row(row.title, row.environment, row.ours, row.theirs, row.unit, (*row.goals, goal), row.note)


def _where(place: Place, project: Path, whole: float, python: float) -> tuple[str, ...]:
    """Sentences: how much of a start are imports, and which modules cost most."""
    taken: dict[str, list[float]] = {}
    for _ in range(7):
        done = subprocess.run([place.subject.python, "-I", "-X", "importtime", "-m", "bareboat", "run", "--", "true"],
                              cwd=project, env=place.subject.env, capture_output=True, stdin=subprocess.DEVNULL,
                              check=True)
        for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done.stderr.decode()):
            taken.setdefault(name, []).append(int(own) / 1000)
    baseline = subprocess.run([place.subject.python, "-I", "-X", "importtime", "-c", "pass"], env=place.subject.env,
                              capture_output=True, check=True).stderr.decode()
    starts = set(re.findall(r"\|\s+(\S+)\n", baseline))
    cost = {name: median(samples) for name, samples in taken.items() if name not in starts}
    ours = sum(ms for name, ms in cost.items() if name.startswith("bareboat"))
    library = sum(ms for name, ms in cost.items() if not name.startswith("bareboat"))
    most = sorted(cost, key=cost.__getitem__, reverse=True)[:8]
    rest = whole - python - ours - library
    return (
        f"Of the {whole:.0f} ms of a start, {python:.0f} ms are Python's own start and about {ours + library:.0f} ms "
        f"imports: {ours:.0f} ms are {sum(n.startswith('bareboat') for n in cost)} modules of bareboat, "
        f"{library:.0f} ms {sum(not n.startswith('bareboat') for n in cost)} modules of the standard library "
        f"(`-X importtime`, which makes them slower than they are); {rest:.0f} ms are all the rest: looking at "
        "project, lock and store, the sandbox, the record before and after.",
        "The dearest modules: " + ", ".join(f"{n} {cost[n]:.1f} ms" for n in most) + ".")
