"""Figure: importing the heavy stack on the second start, in a plain venv beside it."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from bench.environments import Environment
from bench.measure import Figure, Row, Series, at_most, in_turns
from bench.place import Place

GOAL = 1.15
PAIRS = 11
TIMED = "import time; t = time.perf_counter(); {heavy}; print(time.perf_counter() - t)"


def imports(place: Place, environments: tuple[Environment, ...]) -> Figure:
    """Measured inside, around the import statement; files are in the page cache for both."""
    rows = []
    for environment in environments:
        project, root = place.project(environment), place.plain(environment)
        program = ["python", "-c", TIMED.format(heavy=environment.heavy)]
        sides = (partial(_ours, place, project, program), partial(_plain, place, root, program))
        for side in sides:
            side(0)
        ours, theirs = in_turns(PAIRS, *sides)
        row = Row("import of the stack, second start", environment.name, Series("bareboat", ours),
                  Series("plain venv", theirs), "s", note=environment.heavy)
        rows.append(at_most(row, GOAL))
    return Figure("imports", "Import on the second start", tuple(rows), (
        "The plain venv: made by uv from the same pylock.toml with bytecode, on a copy of the same base in one plain "
        "directory, under bwrap alone: the same Python and the same files, without overlay and without our sandbox.",))


def _ours(place: Place, project: Path, program: list[str], _: int) -> float:
    return float(place.subject.run(project, *program).split()[-1])


def _plain(place: Place, root: Path, program: list[str], _: int) -> float:
    done = subprocess.run(place.bwrap(root, *program), env=place.subject.env, capture_output=True, check=True,
                          stdin=subprocess.DEVNULL)
    return float(done.stdout.split()[-1])
