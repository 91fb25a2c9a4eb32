"""SECURITY.md's row 17: holders of leases are killed at random moments, and what is held is counted by who is alive.

A round: takers race for units of a small machine, whole and in shares. Some are killed while they take, some are
stopped, some have handed their descriptors to a child and are killed. Whoever is alive and said that it holds something
is counted; then all are killed, and the whole machine must be free.
"""

from __future__ import annotations

import os
import random
import select
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.kit import Figures

from bareboat.lease import units as unit_locks
from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import Place
from bareboat.lease.values import SLOTS, Holding

UNITS = ("GPU-a", "GPU-b", "GPU-c")
TAKERS = 4
SETTLED = 5.0  # seconds after which what is still held by nobody is leaked
SILENT = 20.0  # seconds after which a taker that has not said anything is stuck

Units = tuple[tuple[str, int], ...]


@dataclass
class Taker:
    """A process that takes units once, tells what came of it, and stays. heir: whether it is to hand them on and die;
    leader: its process group, which has the heir too.
    """

    pid: int
    told: int
    wanted: Units
    heir: bool
    killed: bool = False
    answer: bytes = b""

    def hear(self) -> bytes:
        """b"T" taken, b"R" refused; b"" when it was killed before."""
        if not self.answer and select.select((self.told,), (), (), SILENT)[0]:
            self.answer = os.read(self.told, 1)
        return self.answer


def leases(count: int, *, seed: int = 1, control: str = "", settled: float = SETTLED) -> Figures:
    """So many kills. control: "no locks" (takers that lock nothing), "files that stay" (a lock is a file that is there
    until it is removed).
    """
    chance = random.Random(seed)
    figures = Figures(17, "holders of leases that are killed",
                      {"kills": 0, "while taking": 0, "with an heir": 0, "stopped before": 0, "takes": 0, "double": 0,
                       "leaked": 0})
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as base:
        place = Path(base) / "leases"
        while figures.counts["kills"] < count and len(figures.bad) < 20:
            _round(place, chance, figures, (control, settled))
    return figures


def _round(place: Path, chance: random.Random, figures: Figures, how: tuple[str, float]) -> None:
    control, settled = how
    takers = [_taker(place, _wanted(chance), chance.random() < 0.3, control) for _ in range(TAKERS)]
    early = chance.random() < 0.5
    if early:  # at any moment of its life
        time.sleep(chance.random() * 0.004)
        _kill(chance.choice(takers), chance, figures)
    living = [t for t in takers if not t.killed]
    for taker in living:
        if taker.hear() == b"":
            figures.bad.append(f"a taker said nothing: {taker}")
        figures.counts["takes"] += taker.answer == b"T"
        if chance.random() < 0.3:  # who is stopped holds what he has
            figures.counts["stopped before"] += 1
            os.killpg(taker.pid, signal.SIGSTOP)
    _count(living, figures)
    probe = FlockLeases(Place(place, True))
    _compare(probe, living, figures, control)
    for taker in living:  # one after the other, and each time what is left must be neither more nor less
        _kill(taker, chance, figures)
        rest = [t for t in living if not t.killed]
        _compare(probe, rest, figures, control)
    if not _free(probe, settled, control):
        figures.add("leaked")
        figures.bad.append(f"held by nobody after {settled} s: {sorted(os.listdir(place))}")
        for name in os.listdir(place):
            (place / name).unlink()
    probe.close()


def _wanted(chance: random.Random) -> Units:
    if chance.random() < 0.4:
        return ((chance.choice(UNITS), chance.choice((1, 3, 4, 6, 7))),)
    return tuple((name, SLOTS) for name in sorted(chance.sample(UNITS, chance.choice((1, 1, 2)))))


def _taker(place: Path, wanted: Units, heir: bool, control: str) -> Taker:
    hear, tell = os.pipe()
    pid = os.fork()
    if pid:
        os.close(tell)
        with suppress(OSError):
            os.setpgid(pid, pid)
        return Taker(pid, hear, wanted, heir)
    code = 1
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        held = _take(FlockLeases(Place(place, True)), wanted, control)
        if held is not None and heir and os.fork():
            signal.pause()  # until it is killed; the child has the same descriptors
        os.write(tell, b"R" if held is None else b"T")
        os.close(tell)
        signal.pause()
        code = 0
    finally:
        os._exit(code)


def _take(view: FlockLeases, wanted: Units, control: str) -> object:
    """What is held, None for nothing."""
    if control == "files that stay":
        made: list[Path] = []
        view.holdings()  # the directory is there
        for unit, _ in wanted:
            try:
                os.close(os.open(view.at.path / f"lock-{unit}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                for path in made:
                    path.unlink()
                return None
            made.append(view.at.path / f"lock-{unit}")
        return made
    holding = Holding(0, f"r{os.getpid()}", units=wanted)
    if control == "no locks":
        unit_locks.take = lambda directory, units: []
        view._is_held = lambda wanted: False  # type: ignore[method-assign]
        return view.take(holding)
    with view.turn():
        return view.take(holding)


def _kill(taker: Taker, chance: random.Random, figures: Figures) -> None:
    """Kill it, and its heir, one way or another; when this returns nothing of it is left."""
    figures.counts["kills"] += 1
    figures.counts["while taking"] += not taker.answer
    if taker.heir and taker.answer == b"T":
        figures.counts["with an heir"] += 1
        os.kill(taker.pid, signal.SIGKILL)
        os.waitpid(taker.pid, 0)
        time.sleep(chance.random() * 0.001)
        os.killpg(taker.pid, signal.SIGKILL)  # the heir, which is nobody's child that we could wait for
        _gone(taker.pid)
    else:
        os.killpg(taker.pid, signal.SIGKILL)
        os.waitpid(taker.pid, 0)
        _gone(taker.pid)
    taker.killed = True
    os.close(taker.told)


def _gone(group: int) -> None:
    end = time.monotonic() + SILENT
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        if all(_state(pid) in "ZX" for pid in _members(group)):
            return
        time.sleep(0.0005)


def _members(group: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                if os.getpgid(int(name)) == group:
                    found.append(int(name))
    return found


def _state(pid: int) -> str:
    from bareboat.host import processes

    return processes.state(pid)


def _used(living: list[Taker]) -> dict[str, int]:
    used = dict.fromkeys(UNITS, 0)
    for taker in living:
        if taker.answer == b"T":
            for unit, slots in taker.wanted:
                used[unit] += slots
    return used


def _count(living: list[Taker], figures: Figures) -> None:
    for unit, slots in _used(living).items():
        if slots > SLOTS:
            figures.add("double")
            figures.bad.append(f"{unit} is held {slots}/{SLOTS} times")


def _compare(probe: FlockLeases, living: list[Taker], figures: Figures, control: str) -> None:
    """A unit of which somebody alive has a part cannot be had as a whole."""
    for unit, slots in _used(living).items():
        if not slots:
            continue
        lease = _take(probe, ((unit, SLOTS),), control) if control != "no locks" else None
        if lease is not None:
            figures.add("double")
            figures.bad.append(f"{unit} was given away while {slots}/{SLOTS} of it are held")
            if isinstance(lease, list):
                for path in lease:
                    path.unlink()
            else:
                lease.release()  # type: ignore[attr-defined]


def _free(probe: FlockLeases, settled: float, control: str) -> bool:
    """Whether the whole machine can be had again, and nothing is told of it any more."""
    if control == "no locks":
        return True

    def free() -> bool:
        lease = _take(probe, tuple((unit, SLOTS) for unit in UNITS), control)
        if lease is None:
            return False
        if isinstance(lease, list):
            return True
        lease.release()  # type: ignore[attr-defined]
        return not probe.holdings()

    return _within(free, settled)


def _within(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True
