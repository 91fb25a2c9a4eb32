"""The fake under the suite: the probe as a function, and time that passes when somebody waits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from tests.unattended_kit import SchedulerHarness

from bareboat.engine.scheduler_memory import SIGTERM, MemoryScheduler, Trainee
from bareboat.training.values import USR1


class Memory(SchedulerHarness):
    def __init__(self, folder: Path, scheduler: type[MemoryScheduler] = MemoryScheduler) -> None:
        self.fake = scheduler({"sh": probe_function}, room=8)
        super().__init__(self.fake, folder)

    def clock(self) -> float:
        return self.fake.now

    def pause(self) -> None:
        self.fake.advance(0.25)

    def preempt(self, run: str) -> None:
        self.fake.preempt(self.jobs[run])

    def lose(self, run: str) -> None:
        self.fake.lose(self.jobs[run])

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        room, self.fake.room = self.fake.room, 0
        yield
        self.fake.room = room

    @contextlib.contextmanager
    def broken(self, how: str) -> Iterator[None]:
        if how == "refused":
            self.fake.refused = "not today"
        else:
            self.fake.unreachable = True
        yield
        self.fake.refused, self.fake.unreachable = "", False

    def left(self) -> list[str]:
        return ["two attempts at once"] if self.fake.overlaps else []


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Callable[[Path], Memory]]:
    yield Memory


class _End(Exception):
    pass


def probe_function(at: Trainee) -> Generator[float, tuple[int, ...], int]:
    """PROBE of the kit, word for word."""
    saves, attempt = Path(at.env["BAREBOAT_CHECKPOINTS"]), int(at.env["BAREBOAT_ATTEMPT"])
    with open(at.results / "attempts", "a") as told:
        told.write(f"{at.env['BAREBOAT_RUN']} {attempt} {at.env['BAREBOAT_FENCE']} "
                   f"{os.path.basename(at.env['BAREBOAT_RESUME'])}\n")
    steps, warned = list(at.argv[4:]), ""

    def half(number: str, content: str) -> Path:
        (saves / f"step-{number}").mkdir()
        (saves / f"step-{number}/state").write_text(content)
        return saves / f"step-{number}"

    def save(number: str) -> None:
        if not (saves / f"step-{number}").exists():
            (half(number, number) / ".complete").touch()

    while steps:
        word, _, rest = steps.pop(0).partition(":")
        if word == "later":
            if attempt > 1:
                steps.insert(0, rest)
        elif word in ("say", "err"):
            at.write(f"{rest}\n".encode())
        elif word in ("await", "forever"):
            while word == "forever" or not (at.results / rest).exists():
                if USR1 in (yield 0.05) and warned:
                    number, _, code = warned.partition(":")
                    save(number)
                    return int(code)
        elif word == "save":
            save(rest)
        elif word == "half":
            half(rest, "half")
        elif word == "warn":
            warned = rest
            at.caught.add(USR1)
        elif word == "deaf":
            at.caught |= {USR1, SIGTERM}
        elif word == "exit":
            return int(rest)
        elif word == "exits":
            codes = rest.split(",")
            return int(codes[min(attempt, len(codes)) - 1])
        elif word == "die":
            return 137
        elif word == "env":
            (at.results / f"env-{rest}").write_bytes(os.fsencode(at.env.get(rest, "unset")))
        elif word == "args":
            (at.results / "args").write_bytes(b"".join(os.fsencode(argument) + b"\0" for argument in steps))
            return 0
        else:
            at.write(f"no such step: {word}\n".encode())
            return 99
    return 0
