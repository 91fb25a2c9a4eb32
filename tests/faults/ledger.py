"""Row 19: one ledger, 32 writers that add, claim, end, cancel and forget runs, and are killed at random moments.

Each writes down what it has been told is done, before its next step. At the end all of that must be in the file, no run
claimed or ended twice, no submission there by halves, and the file whole at each look in between.
"""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.faults.kit import Figures, workplace

from bareboat.queue.base import Added
from bareboat.queue.sqlite import SqliteLedger
from bareboat.training.values import Point

WRITERS, LOOK = 32, 1000  # how many write at once; operations between two looks at the whole file
CONTROLS = ("looks first", "says it first")


class LooksFirst(SqliteLedger):
    """A control: who moves looks whether it still is as it was seen, and writes then."""

    def move(self, run: str, expected: tuple[str, int], **changes: object) -> bool:
        entry = self.find(run)
        return (entry.state, entry.attempt) == expected and super().move(run, self._now(run), **changes)

    def _now(self, run: str) -> tuple[str, int]:
        time.sleep(0.001)
        entry = self.find(run)
        return entry.state, entry.attempt


class Writer:
    """A process that writes until it is killed; number: its own, in what it writes. said: a file of all of them."""

    def __init__(self, folder: Path, number: int, said: int, control: str) -> None:
        self.ledger = (LooksFirst if control == "looks first" else SqliteLedger)(folder)
        self.name, self.said, self.early = f"{number:05x}", said, control == "says it first"
        self.dice, self.count = random.Random(number), 0

    def run(self) -> None:
        """For ever."""
        while True:
            step = self.dice.choices((self.add, self.claim, self.end, self.cancel, self.forget, self.ledger.close),
                                     (4, 8, 6, 1, 2, 2))[0]
            step()

    def _done(self, what: str, run: str, do: Callable[[], object]) -> None:
        """A line, which is written whole, when it is done; the control does it the other way round."""
        line = f"{what} {run} {self.name}\n".encode()
        if self.early:
            os.write(self.said, line)
            time.sleep(0.001)
        if do() and not self.early:
            os.write(self.said, line)

    def add(self) -> None:
        self.count += 1
        points = self.dice.randint(1, 6)
        id = f"{self.name}{self.count:07x}-{points}"
        made = tuple(Point(f"{id}{n}", "", n, ("true",)) for n in range(points))
        self._done("added", id, lambda: self.ledger.add(Added(id, b"t" * 3000, made)) is None)

    def claim(self) -> None:
        for entry in self._some("pending"):
            self._done("claimed", entry, lambda run=entry: self.ledger.move(  # type: ignore[misc]
                run, ("pending", 0), state="running", attempt=1, where=self.name))

    def end(self) -> None:
        for entry in self._some("running"):
            self._done("ended", entry, lambda run=entry: self.ledger.move(  # type: ignore[misc]
                run, ("running", 1), state="succeeded", ended=1.0, reason=self.name))

    def cancel(self) -> None:
        for entry in self._some("pending"):
            self._done("cancelled", entry, lambda run=entry: self.ledger.move(  # type: ignore[misc]
                run, ("pending", 0), state="cancelled", ended=1.0, reason=self.name))

    def forget(self) -> None:
        for entry in self._some("succeeded"):
            os.write(self.said, f"forgets {entry} {self.name}\n".encode())
            self.ledger.forget([entry])

    def _some(self, state: str) -> list[str]:
        """One of the first, which others are after as well."""
        found = self.ledger.entries((state,), most=4)
        return [self.dice.choice(found).run] if found else []


def ledger(operations: int, seed: int = 1, *, control: str = "") -> Figures:
    """Until so many operations have been acknowledged. control: one of CONTROLS."""
    figures, dice = Figures(19, f"one ledger, {WRITERS} writers among kills"), random.Random(seed)
    with workplace() as place:
        folder, said = place / "queue", place / "said"
        log = os.open(said, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        alive: dict[int, Path] = {}
        number, looked, end = 0, 0, time.monotonic() + 60 + operations / 20
        try:
            while (count := os.fstat(log).st_size // 28) < operations and time.monotonic() < end:
                while len(alive) < WRITERS:
                    number += 1
                    trouble = place / f"trouble-{number}"
                    alive[_fork(lambda n=number: Writer(folder, n, log, control).run(), trouble)] = trouble  # type: ignore[misc]
                time.sleep(dice.uniform(0.0, 0.05))
                victim = dice.choice(list(alive))
                os.kill(victim, signal.SIGKILL)
                os.waitpid(victim, 0)
                figures.add("killed")
                figures.bad += _trouble(alive.pop(victim))
                if count >= looked + LOOK:
                    looked = count
                    figures.bad += _whole(folder, place / "look")
                    figures.add("looks at the whole file")
        finally:
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        for trouble in alive.values():
            figures.bad += _trouble(trouble)
        figures.bad += _whole(folder, place / "look")
        lines = [line.split(" ") for line in said.read_text().splitlines()]
        os.close(log)
        found = SqliteLedger(folder)
        try:
            _judge(lines, found, figures)
        finally:
            found.close()
    return figures


def _judge(lines: list[list[str]], found: SqliteLedger, figures: Figures) -> None:
    entries = {entry.run: entry for entry in found.entries()}
    gone = {run for what, run, _ in lines if what == "forgets"}
    there = Counter(entry.submission for entry in entries.values())
    lost, double = [], []
    for what, run, who in lines:
        entry = entries.get(run)
        if what == "added":
            runs = [f"{run}{n}" for n in range(int(run[-1]))]
            lost += [f"{one} was added and is not there" for one in runs if one not in entries and one not in gone]
        elif what == "claimed" and entry is not None and entry.where != who:
            lost.append(f"{run} was claimed by {who}, and the ledger has {entry.where!r}")
        elif what in ("ended", "cancelled") and entry is not None and entry.reason != who:
            lost.append(f"{run} was {what} by {who}, and the ledger has {entry.reason!r}")
    for what in ("claimed", "ended", "cancelled"):
        times = Counter(run for word, run, _ in lines if word == what)
        double += [f"{run} was {what} {count} times" for run, count in times.items() if count > 1]
        figures.add(what, len(times))
    halves = [f"{id} is there by halves: {count} of its runs" for id, count in there.items()
              if count != int(id[-1]) - sum(f"{id}{n}" in gone and f"{id}{n}" not in entries for n in range(6))]
    figures.bad += lost + double + halves
    figures.add("runs added", sum(int(run[-1]) for what, run, _ in lines if what == "added"))
    for what, wrong in (("lost", lost), ("double", double), ("by halves", halves)):
        figures.add(what, len(wrong))


def _fork(do: Callable[[], object], trouble: Path) -> int:
    """The pid of a process that does it; what it raises goes into a file."""
    pid = os.fork()
    if pid:
        return pid
    try:
        do()
    except BaseException:
        trouble.write_text(traceback.format_exc())
    finally:
        os._exit(0)


def _trouble(file: Path) -> list[str]:
    """What a writer was told that no user may be told: that the file is busy, or worse."""
    return [file.read_text().strip().splitlines()[-1]] if file.exists() else []


def _whole(folder: Path, answer: Path) -> list[str]:
    """What SQLite finds wrong in the file, asked in a process of its own: no connection is carried through a fork."""
    def look() -> None:
        answer.write_text(SqliteLedger(folder).check())

    os.waitpid(_fork(look, answer), 0)
    said = answer.read_text()
    return [] if said == "ok" else [said]
