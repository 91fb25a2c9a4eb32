"""What every scheduler of unattended runs does, whichever it is: tests/unattended_kit.py says how one is put here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.unattended_kit import QUICK, Harness, attempts, checkpoints, go, over, probe, said

from bareboat.errors import EngineError
from bareboat.training.values import Interrupt, Need, Point, Retry, Training

NAMES = sorted(file.stem.removeprefix("harness_") for file in Path(__file__).parent.glob("harness_*.py"))
STRANGE = (
    "a b", "", " ", "'", '"', "it's \"so\"", "$HOME", "$(id)", "`id`", "a\\b", "\\n", "two\nlines", "\ttab", "*", "~",
    "-x", "--name=-n", "--", "#", ";", "&", "|", ">out", "über 日本 🚢", "%s", "{lr}", "!x", "a=b", "\udcff\udc80",
)


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Callable[[Path], Harness]]]:
    made: dict[str, Callable[[Path], Harness]] = {}
    with ExitStack() as stack:
        def kind(name: str) -> Callable[[Path], Harness]:
            if name not in made:
                module = importlib.import_module(f"tests.contract.harness_{name}")
                made[name] = stack.enter_context(module.opened(tmp_path_factory.mktemp(name)))
            return made[name]

        yield kind


@pytest.fixture(params=NAMES)
def harness(request: pytest.FixtureRequest, kinds: Callable[[str], Callable[[Path], Harness]],
            tmp_path: Path) -> Iterator[Harness]:
    made = kinds(request.param)(tmp_path)
    try:
        yield made
    finally:
        made.close()
    assert made.left() == []


def need(harness: Harness, *abilities: str) -> None:
    for ability in abilities:
        if ability in harness.lacks:
            pytest.skip(f"{harness.name} cannot: {ability}")


def one(harness: Harness, *steps: str, **training: object) -> str:
    """Submit one run of the probe."""
    how = Training(interrupt=QUICK, **training)  # type: ignore[arg-type]
    return harness.submit(Point("", argv=probe(*steps)), training=how)[0]


def running(harness: Harness, run: str, attempt: int = 1) -> None:
    """Wait until the program of an attempt has begun."""
    harness.wait(run, lambda seen: seen.state == "running" and seen.attempt == attempt
                 and len(attempts(harness, run)) == attempt)


def states(harness: Harness, runs: Sequence[str]) -> list[str]:
    return [seen.state if (seen := harness.observe(run)) else "unknown" for run in runs]


# How an attempt ends


def test_a_run_that_succeeds(harness: Harness) -> None:
    run = one(harness, "say:hello", "err:and bad", "say:bye")
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt, seen.exit_code) == ("succeeded", 1, 0)
    assert sorted(said(harness, run).splitlines()) == [b"and bad", b"bye", b"hello"]
    assert attempts(harness, run) == [(1, f"{run}.1", "")]


@pytest.mark.parametrize(("steps", "code"), [(("exit:7",), 7), (("exit:137",), 137), (("die",), 137)])
def test_a_run_that_fails(harness: Harness, steps: tuple[str, ...], code: int) -> None:
    run = one(harness, "say:before", *steps)
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt, seen.exit_code) == ("failed", 1, code)
    assert said(harness, run) == b"before\n"


def test_a_program_that_is_not_there(harness: Harness) -> None:
    run, = harness.submit(Point("", argv=("no-such-program", "x")), training=Training(retry=Retry(retries=3)))
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt) == ("failed", 1)
    assert seen.exit_code in (127, None)
    assert "no-such-program" in seen.reason or "not found" in seen.reason


# What follows it


CODES = (
    ("1,0", Retry(retries=1), ("succeeded", 2, 0)),
    ("1,3", Retry(retries=1), ("failed", 2, 3)),
    ("3", Retry(retries=3, fail_on=(3,)), ("failed", 1, 3)),
    ("3", Retry(retries=3, retry_on=(5,)), ("failed", 1, 3)),
    ("5,0", Retry(retries=1, retry_on=(5,)), ("succeeded", 2, 0)),
    ("75,0", Retry(), ("succeeded", 2, 0)),
    ("75,75,4", Retry(), ("failed", 3, 4)),
    ("9,0", Retry(requeue_on=(9,)), ("succeeded", 2, 0)),
    ("75", Retry(requeue_on=(9,)), ("failed", 1, 75)),
)


def test_what_follows_an_exit_code(harness: Harness) -> None:
    """All of them side by side: on a cluster the next attempt waits for seconds."""
    runs = [one(harness, f"exits:{codes}", retry=retry) for codes, retry, _ in CODES]
    for run, (codes, retry, expected) in zip(runs, CODES, strict=True):
        seen = harness.wait(run, over)
        assert (seen.state, seen.attempt, seen.exit_code) == expected, (codes, retry)
        assert attempts(harness, run) == [(n, f"{run}.{n}", "") for n in range(1, expected[1] + 1)], (codes, retry)


def test_attempts_share_a_log_and_go_on_from_the_newest_complete_checkpoint(harness: Harness) -> None:
    run = one(harness, "say:first", "later:say:again", "save:1", "later:save:2", "exits:75,75,0")
    unfinished = one(harness, "save:1", "later:exit:0", "half:2", "exit:75")  # a checkpoint that is none
    harness.wait(run, over)
    assert said(harness, run) == b"first\n" + b"first\nagain\n" * 2
    assert [resumed for _, _, resumed in attempts(harness, run)] == ["", "step-1", "step-2"]
    harness.wait(unfinished, over)
    assert [resumed for _, _, resumed in attempts(harness, unfinished)] == ["", "step-1"]


def test_a_log_that_is_followed_ends_with_the_run(harness: Harness) -> None:
    run = one(harness, "say:one", "exits:75,0")
    assert said(harness, run, follow=True) == b"one\n" * 2
    assert harness.observe(run).state == "succeeded"  # type: ignore[union-attr]


def test_preemption_uses_up_no_retry(harness: Harness) -> None:
    need(harness, "preempt")
    run = one(harness, "warn:1:3", "await:go")
    running(harness, run)
    harness.preempt(run)
    running(harness, run, 2)
    go(harness, run)
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt, seen.exit_code) == ("succeeded", 2, 0)
    assert attempts(harness, run) == [(1, f"{run}.1", ""), (2, f"{run}.2", "step-1")]


def test_one_that_saves_and_exits_with_0_when_it_is_preempted_has_not_finished(harness: Harness) -> None:
    need(harness, "preempt")
    run = one(harness, "warn:1:0", "await:go")
    running(harness, run)
    harness.preempt(run)
    running(harness, run, 2)
    go(harness, run)
    assert harness.wait(run, over).state == "succeeded"


def test_what_was_lost_with_its_node_runs_again(harness: Harness) -> None:
    need(harness, "lose")
    run = one(harness, "save:1", "await:go")
    running(harness, run)
    harness.lose(run)
    running(harness, run, 2)
    go(harness, run)
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt) == ("succeeded", 2)
    assert [resumed for _, _, resumed in attempts(harness, run)] == ["", "step-1"]


def test_the_end_of_its_time_is_a_failure(harness: Harness) -> None:
    need(harness, "limit")
    run = one(harness, "warn:1:0", "forever", need=Need(seconds=1.5), retry=Retry(retries=2))
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt) == ("failed", 1)
    assert checkpoints(harness, run) == ["step-1"]


def test_the_end_of_its_time_is_followed_by_another_attempt_where_that_is_asked_for(harness: Harness) -> None:
    need(harness, "limit")
    run = one(harness, "warn:1:0", "later:exit:0", "forever", need=Need(seconds=1.5), retry=Retry(at_limit=True))
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt) == ("succeeded", 2)
    assert attempts(harness, run)[1] == (2, f"{run}.2", "step-1")


# Stop and resume


def test_stop_of_one_that_waits(harness: Harness) -> None:
    need(harness, "held")
    with harness.held():
        run = one(harness, "say:never")
        harness.wait(run, lambda seen: seen.state == "pending" and seen.attempt == 0)
        harness.stop(run)
        assert harness.wait(run, over).state == "cancelled"
        harness.stop(run)
    later = one(harness)
    harness.wait(later, over)
    assert harness.observe(run).state == "cancelled" and attempts(harness, run) == []  # type: ignore[union-attr]


def test_stop_of_one_that_catches_nothing_does_not_wait_for_the_grace(harness: Harness) -> None:
    run = harness.submit(Point("", argv=probe("say:began", "forever")),
                         training=Training(interrupt=Interrupt(grace=3600.0, kill=3600.0)))[0]
    running(harness, run)
    harness.stop(run)
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt) == ("cancelled", 1)
    assert said(harness, run) == b"began\n"


def test_stop_lets_a_program_save(harness: Harness) -> None:
    run = one(harness, "warn:5:0", "forever")
    running(harness, run)
    harness.stop(run)
    assert harness.wait(run, over).state == "cancelled"
    assert checkpoints(harness, run) == ["step-5"]


def test_stop_of_one_that_is_ending_and_of_one_that_heeds_nothing(harness: Harness) -> None:
    run = harness.submit(Point("", argv=probe("deaf", "say:began", "forever")),
                         training=Training(interrupt=Interrupt(grace=1.0, kill=1.0)))[0]
    running(harness, run)
    harness.stop(run)
    harness.stop(run, run)
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt) == ("cancelled", 1)
    assert said(harness, run) == b"began\n"


def test_stop_of_one_that_is_starting_leaves_it_cancelled_or_done(harness: Harness) -> None:
    run = one(harness, "await:go")
    harness.stop(run)
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt <= 1) == ("cancelled", True)


@pytest.mark.parametrize(("steps", "state"), [((), "succeeded"), (("exit:3",), "failed")])
def test_stop_of_one_that_is_over_changes_nothing(harness: Harness, steps: tuple[str, ...], state: str) -> None:
    run = one(harness, *steps)
    before = harness.wait(run, over)
    harness.stop(run)
    harness.stop(run)
    after = harness.observe(run)
    assert after is not None
    assert (after.state, after.attempt, after.exit_code) == (before.state, before.attempt, before.exit_code)
    assert before.state == state


def test_stop_of_one_that_was_preempted_and_waits(harness: Harness) -> None:
    need(harness, "preempt", "held")
    run = one(harness, "warn:1:0", "forever")
    running(harness, run)
    with harness.held():
        harness.preempt(run)
        harness.wait(run, lambda seen: seen.state == "pending")
        harness.stop(run)
        harness.wait(run, over)
    assert harness.observe(run).state == "cancelled" and len(attempts(harness, run)) == 1  # type: ignore[union-attr]


def test_one_that_was_stopped_is_resumed_from_its_checkpoint(harness: Harness) -> None:
    run = one(harness, "warn:1:0", "later:exit:0", "say:began", "forever")
    running(harness, run)
    harness.stop(run)
    harness.wait(run, over)
    harness.resume(run)
    seen = harness.wait(run, lambda seen: over(seen) and seen.attempt == 2)
    assert (seen.state, seen.exit_code) == ("succeeded", 0)
    assert attempts(harness, run) == [(1, f"{run}.1", ""), (2, f"{run}.2", "step-1")]
    assert said(harness, run) == b"began\n"


def test_one_that_failed_is_resumed_with_all_its_retries(harness: Harness) -> None:
    run = one(harness, "exits:1,2,3,0", retry=Retry(retries=1))
    assert harness.wait(run, over).attempt == 2
    harness.resume(run)
    seen = harness.wait(run, lambda seen: over(seen) and seen.attempt > 2)
    assert (seen.state, seen.attempt) == ("succeeded", 4)


# What is asked


def test_of_a_stranger_nothing_is_known(harness: Harness) -> None:
    assert harness.observe("000000000000") is None
    harness.stop("000000000000")


def test_words_reach_the_program_as_they_are(harness: Harness) -> None:
    run = harness.submit(Point("", argv=(*probe("args"), *STRANGE)))[0]
    assert harness.wait(run, over).state == "succeeded"
    got = (harness.results(run) / "args").read_bytes()
    assert got == b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in STRANGE)


def test_variables_reach_the_program_as_they_are(harness: Harness) -> None:
    given = tuple((f"V{number}", word) for number, word in enumerate(STRANGE))
    run = harness.submit(Point("", argv=probe(*(f"env:{name}" for name, _ in given)), env=given))[0]
    assert harness.wait(run, over).state == "succeeded"
    for name, word in given:
        assert (harness.results(run) / f"env-{name}").read_bytes() == word.encode("utf-8", "surrogateescape"), name


def test_runs_of_one_submission_have_words_and_results_of_their_own(harness: Harness) -> None:
    runs = harness.submit(*(Point("", argv=probe(f"say:{n}", "env:N"), env=(("N", str(n)),)) for n in range(5)))
    for number, run in enumerate(runs):
        assert harness.wait(run, over).state == "succeeded"
        assert said(harness, run) == f"{number}\n".encode()
        assert (harness.results(run) / "env-N").read_text() == str(number)
    assert len({harness.results(run) for run in runs}) == 5


def test_no_more_of_a_sweep_at_once_than_was_said(harness: Harness) -> None:
    runs = harness.submit(*(Point("", argv=probe("await:go")) for _ in range(5)),
                          training=Training(parallel=2, interrupt=QUICK))
    left = list(runs)
    while left:
        harness.wait(left[0], lambda _: "running" in states(harness, left))
        now = states(harness, runs)
        assert now.count("running") <= 2
        run = runs[now.index("running")]
        go(harness, run)
        harness.wait(run, over)
        left.remove(run)
    assert states(harness, runs) == ["succeeded"] * 5


def test_one_of_a_sweep_is_stopped_alone(harness: Harness) -> None:
    first, second = harness.submit(*(Point("", argv=probe("await:go")) for _ in range(2)),
                                   training=Training(interrupt=QUICK))
    running(harness, first)
    running(harness, second)
    harness.stop(first)
    assert harness.wait(first, over).state == "cancelled"
    go(harness, second)
    assert harness.wait(second, over).state == "succeeded"


def test_some_of_a_sweep_that_waits_are_stopped_alone(harness: Harness) -> None:
    need(harness, "held", "some")
    with harness.held():
        runs = harness.submit(*(Point("", argv=probe(f"say:{n}")) for n in range(5)),
                              training=Training(interrupt=QUICK))
        harness.stop(*runs[1:4])
        for run in runs[1:4]:
            seen = harness.wait(run, over)
            assert (seen.state, seen.attempt) == ("cancelled", 0)
        assert states(harness, runs) == ["pending", "cancelled", "cancelled", "cancelled", "pending"]
    assert [harness.wait(run, over).state for run in (runs[0], runs[4])] == ["succeeded"] * 2
    assert [attempts(harness, run) for run in runs[1:4]] == [[]] * 3


def test_a_sweep_that_waits_is_stopped(harness: Harness) -> None:
    need(harness, "held")
    with harness.held():
        runs = harness.submit(*(Point("", argv=probe()) for _ in range(3)), training=Training(interrupt=QUICK))
        harness.stop(*runs)
        assert [harness.wait(run, over).state for run in runs] == ["cancelled"] * 3
    assert states(harness, runs) == ["cancelled"] * 3


def test_one_that_follows_another(harness: Harness) -> None:
    need(harness, "after")
    before = one(harness, "await:go")
    run = one(harness, after=(before,))
    running(harness, before)
    assert harness.observe(run).state == "pending"  # type: ignore[union-attr]
    go(harness, before)
    assert harness.wait(run, over).state == "succeeded"


def test_one_that_follows_a_failure_never_starts(harness: Harness) -> None:
    need(harness, "after")
    before = one(harness, "await:go", "exit:1")
    run = one(harness, after=(before,))
    running(harness, before)
    go(harness, before)
    seen = harness.wait(run, over)
    assert (seen.state, seen.attempt, attempts(harness, run)) == ("cancelled", 0, [])


def test_what_was_refused_has_left_nothing(harness: Harness) -> None:
    need(harness, "refused")
    with harness.broken("refused"), pytest.raises(EngineError) as error:
        one(harness)
    assert error.value.code == f"{harness.name}.refused"
    assert harness.left() == []
    assert harness.wait(one(harness), over).state == "succeeded"


def test_who_cannot_be_reached_is_an_error_and_no_state(harness: Harness) -> None:
    need(harness, "unreachable")
    run = one(harness, "await:go")
    running(harness, run)
    with harness.broken("unreachable"):
        for ask in (lambda: one(harness), lambda: harness.observe(run)):
            with pytest.raises(EngineError) as error:
                ask()
            assert error.value.code == f"{harness.name}.unreachable"
    go(harness, run)
    assert harness.wait(run, over).state == "succeeded"
