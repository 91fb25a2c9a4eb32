"""SECURITY.md's row 18 on real containers: processes of each are killed at random moments, and what is left is looked
for everywhere.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.faults.kit import Figures
from tests.life_kit import Fleet, quick

from bareboat.errors import BareboatError
from bareboat.host import processes
from bareboat.verbs import containers, enter

SETTLED = 10.0  # seconds after which what still runs is an orphan


def killed_containers(count: int, *, seed: int = 1, control: bool = False,
                      settled: float = SETTLED) -> Figures:
    """Start so many, kill one process of each with SIGKILL (its supervisor, the guard, bwrap, or its program), and look
    for what is left. control: something of it does not die with its supervisor.
    """
    chance = random.Random(seed)
    figures = Figures(18, "containers of which a process is killed",
                      {"containers": 0, "orphans": 0, "wrong states": 0, "left in the store": 0})
    with tempfile.TemporaryDirectory() as base:
        fleet = Fleet(Path(base))
        for number in range(count):
            figures.counts["containers"] += 1
            _one(fleet, number, (chance, settled), figures, control)
        left = [*fleet.store.keys("starts"), *fleet.store.keys("containers"), *os.listdir(f"{base}/home/tmp"),
                *(n for n in fleet.store.runs.ids() if (fleet.store.runs.path(n) / "control").exists()
                  and fleet.store.runs.is_alive(n))]
        figures.counts["left in the store"] = len(left)
        figures.bad += [f"left in the store: {name}" for name in left[:5]]
    return figures


def strangers(count: int, *, control: bool = False) -> Figures:
    """So many numbers that were given out again, and who was signalled; see strangers.py."""
    words = [sys.executable, "-m", "tests.faults.strangers", str(count), *(["--control"] if control else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rounds, reused, wrong = map(int, done.stdout.split())
    figures = Figures(18, "numbers given out again", {"rounds": rounds, "reused": reused, "wrong signals": wrong})
    if wrong:
        figures.bad.append(f"{wrong} strangers were signalled")
    return figures


def _one(fleet: Fleet, number: int, by: tuple[random.Random, float], figures: Figures, control: bool) -> None:
    chance, settled = by
    mark = f"98{os.getpid() % 1000:03}{number:06}"
    name = f"c{number}"
    fleet.run("sh", "-c", f"(setsid sleep {mark} &); sleep {mark}", name=name,
              rules=quick(restart=chance.choice((0, 2))))
    supervisor = fleet.supervisor(name)
    below = [supervisor, *processes.descendants(supervisor)]
    time.sleep(chance.random() * 0.02)
    victim = supervisor if control else chance.choice(below)
    if control:  # the sandbox goes on without it: what would be, did nothing die with its parent
        orphan = os.fork()
        if orphan == 0:
            os.execvp("sleep", ["sleep", mark])
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        pass
    while processes.state(victim) not in "ZX":
        time.sleep(0.001)

    def found() -> tuple[bool, bool]:
        """Whether it is said to run, and whether anything of it does."""
        return containers.find(fleet.store, name).state == "running", bool(_marked(mark))

    end = time.monotonic() + settled
    while len(set(pair := found())) > 1 and time.monotonic() < end:
        time.sleep(0.01)  # it may be between two starts, or on its way to its end
    said, runs = pair
    if said != runs:
        figures.add("wrong states" if said else "orphans")
        figures.bad.append(f"{name}: {containers.find(fleet.store, name).state}, and of it run {_marked(mark)}")
    try:
        enter.remove(name, fleet.store, force=True)
    except BareboatError as error:
        figures.bad.append(f"{name}: {error.code}")
    end = time.monotonic() + settled
    while _marked(mark) and not control and time.monotonic() < end:
        time.sleep(0.01)
    for pid in _marked(mark):
        if not control:
            figures.counts["orphans"] += 1
            figures.bad.append(f"{name}: {pid} is left after rm -f")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if control:
        os.waitpid(orphan, 0)


def _marked(mark: str) -> list[int]:
    """Processes of this machine whose words have the mark, zombies aside."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            told = processes.told(int(name))
            if told and f"sleep {mark}" in told[2] and processes.state(int(name)) not in "ZX":
                found.append(int(name))
    return found
