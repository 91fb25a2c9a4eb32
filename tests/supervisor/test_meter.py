"""What is measured of a container: looks, a curve of bounded length, GPUs by a process that may never answer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import gpu_kit as kit

from bareboat.errors import EngineError
from bareboat.host.loop import Loop
from bareboat.supervisor import meter
from bareboat.supervisor.meter import POINTS, Look, Meter, halved
from bareboat.workload import Usage


def test_each_point_has_what_came_since_the_one_before() -> None:
    made = Meter(100.0)
    made.add(101.0, Usage(0.5, 10, 1, 100, 0))
    made.add(103.0, Usage(2.5, 30, 2, 150, 7))
    made.add(104.0, Usage(2.0, 20, 1, 140, 9))  # a process ended, and what it used is told no more
    assert made.looks == [Look(1.0, 0.5, 10, 100, 0), Look(3.0, 2.0, 30, 50, 7), Look(4.0, 0.0, 20, 0, 2)]


@given(st.integers(1, 5 * POINTS))
def test_however_long_it_runs_nothing_of_the_sums_is_lost(count: int) -> None:
    made = Meter(0.0)
    for number in range(1, count + 1):
        made.add(float(number), Usage(float(number), number % 97, 1, 3 * number, number))
    assert 0 < len(made.looks) < POINTS and made.looks[-1].seconds == count
    assert sum(look.cpu_seconds for look in made.looks) == pytest.approx(count)
    assert (sum(look.read for look in made.looks), sum(look.written for look in made.looks)) == (3 * count, count)
    assert max(look.memory for look in made.looks) == max(number % 97 for number in range(1, count + 1))
    assert [look.seconds for look in made.looks] == sorted(look.seconds for look in made.looks)


def test_two_points_become_one() -> None:
    looks = [Look(1, 1.0, 5, 1, 1, 10.0, 7), Look(2, 2.0, 3, 1, 1, 30.0, 9), Look(3, 1.0, 1, 0, 0)]
    assert halved(looks) == [Look(2, 3.0, 5, 2, 2, 20.0, 9), Look(3, 1.0, 1, 0, 0)]


class Alive:
    """A container whose engine takes its time, or does not answer."""

    def __init__(self, clock: list[float], cost: float) -> None:
        self.clock, self.cost, self.asked, self.silent = clock, cost, 0, False

    def usage(self) -> Usage:
        self.asked += 1
        self.clock[0] += self.cost
        if self.silent:
            raise EngineError("engine.gone", "the container has ended")
        return Usage(1.0, 1, 1)


def test_looking_is_as_rare_as_it_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, waits = [0.0], list[float]()
    monkeypatch.setattr(Loop, "after", lambda _, seconds, call: waits.append(seconds))
    for cost in (0.0, 0.1):
        Meter(0.0, clock=lambda: clock[0]).start(Loop(), Alive(clock, cost))  # type: ignore[arg-type]
    assert waits == [meter.FIRST, pytest.approx(0.1 * meter.SHARE)]


def test_an_engine_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(Loop, "after", lambda _, seconds, call: calls.append(call))
    live, made = Alive([0.0], 0.0), Meter(0.0)
    live.silent = True
    made.start(Loop(), live)  # type: ignore[arg-type]
    assert not made.looks and len(calls) == 1
    live.silent = False
    calls.pop()()  # type: ignore[operator]
    assert len(made.looks) == 1
    made.stop()
    calls.pop()()  # type: ignore[operator]
    assert live.asked == 2


def test_gpus_are_told_by_a_process_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = kit.nvml(kit.TWO, tmp_path, monkeypatch)
    made = Meter(0.0, "device=0,1", str(library))
    monkeypatch.setattr(Loop, "after", lambda *_: None)
    made.start(Loop(), Alive([0.0], 0.0))  # type: ignore[arg-type]
    reader = made._reader
    end = time.monotonic() + 30
    while made.gpu is None and time.monotonic() < end:
        time.sleep(0.02)
        made.add(1.0, Usage(0.0, 0, 0))
    assert made.gpu == 15.0 and made.looks[-1].gpu_memory == kit.GIB
    made.stop()
    with pytest.raises(ChildProcessError):
        os.waitpid(reader, 0)
        os.waitpid(reader, 0)


def test_a_reader_that_never_says_anything_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = tmp_path / "stuck"
    stuck.write_text("#!/bin/sh\nexec sleep 600\n")
    stuck.chmod(0o755)
    monkeypatch.setattr(meter.sys, "executable", str(stuck))
    monkeypatch.setattr(Loop, "after", lambda *_: None)
    made = Meter(0.0, "device=0", "")
    made.start(Loop(), Alive([0.0], 0.0))  # type: ignore[arg-type]
    assert made._reader and made.looks == [Look(pytest.approx(made.looks[0].seconds), 1.0, 1, 0, 0)]
    made.stop()


@pytest.mark.parametrize(("said", "told"), [
    (b"50.0 1024\n", (50.0, 1024)), (b"50.0 1024\n75.5 2", (50.0, 1024)), (b"1 2\n3 4\n", (3.0, 4)),
    (b"?\n", (None, None)), (b"", (None, None)), (b"50.0 1024\n?\n", (None, None))])
def test_the_last_whole_line_counts(said: bytes, told: tuple[float | None, int | None]) -> None:
    made, (hear, say) = Meter(0.0), os.pipe2(os.O_NONBLOCK)
    made._hear = hear
    os.write(say, said)
    assert made._gpus() == told and made._gpus() == told  # it stays until there is another
    os.close(say)
    assert made._gpus() == (None, None)  # who told it has died
    os.close(hear)
