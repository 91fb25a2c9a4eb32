"""The order in which a container is asked to end, by a clock that does not go by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.errors import EngineError
from bareboat.supervisor.keeper import Keeper
from bareboat.supervisor.rules import Rules, warned_at
from bareboat.workload import Usage

TERM, USR1 = 15, 10


class Clock:
    """A loop whose time goes on when it is told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.later: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.later.append((self.now + seconds, call))

    def add(self, *_: object) -> None:
        pass

    drop = add

    def until(self, at: float) -> None:
        while due := sorted((t, n) for n, (t, _) in enumerate(self.later) if t <= at):
            self.now, number = due[0]
            self.later.pop(number)[1]()
        self.now = at


class Container:
    """What a keeper does to it, with the time. catches: the signals of some process in it."""

    def __init__(self, clock: Clock, *catches: int) -> None:
        self.clock, self.caught = clock, catches
        self.did: list[tuple[float, str]] = []
        self.gone = False

    def _say(self, what: str) -> None:
        self.did.append((self.clock.now, what))

    def usage(self) -> Usage:
        return Usage(0.0, 0, 1)

    def warn(self, number: int) -> int:
        if number in self.caught:
            self._say(f"warn {number}")
        return int(number in self.caught)

    def catches(self, number: int) -> bool:
        return number in self.caught

    def ask(self, number: int) -> bool:
        self._say(f"ask {number}")
        return True

    def signal(self, number: int) -> bool:
        self._say(f"signal {number}")
        return True

    def kill(self, reason: str) -> None:
        self._say("kill")

    def pause(self) -> None:
        self._say("pause")

    def unpause(self) -> None:
        if self.gone:
            raise EngineError("engine.gone", "the container has ended")
        self._say("unpause")


class Asker:
    """A peer; what it was answered."""

    answers: list[dict[str, Any]]

    def __init__(self) -> None:
        self.answers, self.closed = [], lambda: None

    def answer(self, value: dict[str, Any], *_: object, **__: object) -> None:
        self.answers.append(value)


RULES = Rules(stop_seconds=10, warning=USR1, grace=60)


@contextmanager
def keeping(folder: Path, rules: Rules, *catches: int) -> Iterator[tuple[Keeper, Container, Clock]]:
    clock = Clock()
    container = Container(clock, *catches)
    keeper = Keeper(str(folder), {}, rules)
    keeper.serve = lambda loop: setattr(keeper, "loop", loop)  # type: ignore[method-assign,assignment]
    try:
        yield keeper, container, clock
    finally:
        keeper.control.close()


def begin(keeper: Keeper, container: Container, clock: Clock) -> None:
    keeper.started(clock, container)  # type: ignore[arg-type]


def ask(keeper: Keeper, cause: str) -> None:
    peer = Asker()
    keeper._do_interrupt(peer, {"cause": cause})  # type: ignore[arg-type]
    assert peer.answers == [{}]


@pytest.mark.parametrize(("catches", "wanted"), [
    ((USR1, TERM), [(5, "warn 10"), (65, "ask 15"), (75, "kill")]),
    ((USR1,), [(5, "warn 10"), (65, "ask 15"), (75, "kill")]),
    ((TERM,), [(5, "ask 15"), (65, "kill")]),  # the whole grace is behind the only signal that it hears
    ((), [(5, "ask 15"), (65, "kill")]),
])
def test_an_interruption(tmp_path: Path, catches: tuple[int, ...], wanted: list[tuple[float, str]]) -> None:
    with keeping(tmp_path, RULES, *catches) as (keeper, container, clock):
        begin(keeper, container, clock)
        clock.until(5)
        ask(keeper, "preempted")
        clock.until(30)
        ask(keeper, "preempted")  # changes nothing
        clock.until(1000)
        assert container.did == wanted and keeper.ending == "preempted"


def test_a_program_that_ended_in_its_grace_is_not_signalled_any_more(tmp_path: Path) -> None:
    with keeping(tmp_path, RULES, USR1) as (keeper, container, clock):
        begin(keeper, container, clock)
        ask(keeper, "preempted")
        keeper.live = None
        clock.until(1000)
        assert container.did == [(0, "warn 10")]


def test_one_that_was_asked_for_before_the_program_was_there(tmp_path: Path) -> None:
    with keeping(tmp_path, RULES) as (keeper, container, clock):
        ask(keeper, "preempted")
        assert container.did == []
        begin(keeper, container, clock)
        assert container.did == [(0, "ask 15")]


def test_a_paused_container_goes_on_first(tmp_path: Path) -> None:
    with keeping(tmp_path, RULES, USR1) as (keeper, container, clock):
        begin(keeper, container, clock)
        container.pause()
        keeper.paused = True
        ask(keeper, "preempted")
        assert container.did == [(0, "pause"), (0, "unpause"), (0, "warn 10")] and not keeper.paused
        clock.until(30)
        container.pause()
        keeper.paused = True  # by somebody, in its grace
        clock.until(60)
        assert container.did[3:] == [(30, "pause"), (60, "unpause"), (60, "ask 15")]


def test_a_paused_container_that_ends_at_this_moment_is_no_error(tmp_path: Path) -> None:
    with keeping(tmp_path, RULES, USR1) as (keeper, container, clock):
        begin(keeper, container, clock)
        keeper.paused = container.gone = True
        ask(keeper, "preempted")
        assert keeper.ending == "preempted"


def test_the_last_word_is_a_users_stop(tmp_path: Path) -> None:
    with keeping(tmp_path, RULES, USR1) as (keeper, container, clock):
        begin(keeper, container, clock)
        for cause, then in (("preempted", "preempted"), ("stopped", "stopped"), ("preempted", "stopped")):
            ask(keeper, cause)
            assert keeper.ending == then
        assert container.did == [(0, "warn 10")]


@pytest.mark.parametrize(("catches", "wanted"), [
    ((USR1, TERM), [(530, "warn 10"), (590, "ask 15"), (600, "kill")]),
    ((TERM,), [(530, "ask 15"), (590, "kill")]),
    ((), [(600, "ask 15"), (610, "kill")]),  # it could do nothing with a warning: it has all of its time
])
def test_the_time_limit_leaves_time_to_save(tmp_path: Path, catches: tuple[int, ...],
                                            wanted: list[tuple[float, str]]) -> None:
    rules = Rules(stop_seconds=10, warning=USR1, grace=60, max_time=600)
    with keeping(tmp_path, rules, *catches) as (keeper, container, clock):
        begin(keeper, container, clock)
        clock.until(2000)
        assert container.did == wanted and keeper.ending == "time limit"


def test_a_limit_after_a_preemption_changes_nothing(tmp_path: Path) -> None:
    rules = Rules(stop_seconds=10, warning=USR1, grace=60, max_time=600)
    with keeping(tmp_path, rules, USR1) as (keeper, container, clock):
        begin(keeper, container, clock)
        clock.until(520)
        ask(keeper, "preempted")
        clock.until(2000)
        assert keeper.ending == "preempted"
        assert container.did == [(520, "warn 10"), (580, "ask 15"), (590, "kill")]


def test_containers_without_a_grace_are_stopped_as_docker_does(tmp_path: Path) -> None:
    rules = Rules(stop_seconds=-1, max_time=600)
    with keeping(tmp_path, rules, USR1, TERM) as (keeper, container, clock):
        begin(keeper, container, clock)
        clock.until(10_000)
        assert container.did == [(600, "signal 15")], "-1 is never killed"


@settings(deadline=None)
@given(st.floats(1, 1e6), st.floats(0, 1e4), st.floats(0, 1e4))
def test_the_warning_is_never_after_the_limit_nor_before_half_of_it(limit: float, grace: float, kill: float) -> None:
    at = warned_at(Rules(stop_seconds=kill, warning=USR1, grace=grace, max_time=limit))
    assert limit / 2 <= at <= limit
    assert at + grace + kill <= limit * (1 + 1e-9) or at == limit / 2 or not grace
