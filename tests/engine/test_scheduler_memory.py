"""What the fake scheduler does beyond the suite of all schedulers: its clock, and what can be done to it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from bareboat.engine.scheduler import Submission
from bareboat.engine.scheduler_memory import MemoryScheduler, Trainee
from bareboat.errors import EngineError
from bareboat.training.rules import LOST_MOST
from bareboat.training.values import USR1, Interrupt, Need, Point, Retry, Training
from bareboat.workload import Rootfs, Workload


def work(at: Trainee) -> Generator[float, tuple[int, ...], int]:
    at.write(f"{at.env['BAREBOAT_ATTEMPT']} until {at.env['BAREBOAT_DEADLINE']}\n".encode())
    yield float(at.argv[1])
    return int(at.argv[2]) if len(at.argv) > 2 else 0


def heed(at: Trainee) -> Generator[float, tuple[int, ...], int]:
    at.caught.add(USR1)
    got: tuple[int, ...] = ()
    while not got:
        got = yield 1000.0
    yield 5.0
    return 42


@pytest.fixture
def fake() -> MemoryScheduler:
    return MemoryScheduler({"work": work, "heed": heed}, now=0.0)


def send(fake: MemoryScheduler, folder: Path, *points: tuple[str, ...], id: str = "s",
         training: Training = Training()) -> tuple[str, ...]:  # noqa: B008
    made = tuple(Point(f"{id}{n}", index=n, argv=argv, results=str(folder / f"{id}{n}"))
                 for n, argv in enumerate(points))
    return fake.submit(Submission(id, training, Workload(Rootfs(()), made[0].argv, (), "/"), made, folder))


def state(fake: MemoryScheduler, job: str) -> tuple[str, int]:
    seen = fake.poll([job])[job]
    return seen.state, seen.attempt


def test_nothing_happens_before_time_passes(fake: MemoryScheduler, tmp_path: Path) -> None:
    job, = send(fake, tmp_path, ("work", "10"))
    assert state(fake, job) == ("pending", 0)
    fake.advance(0)
    assert state(fake, job) == ("running", 1)
    fake.advance(9.9)
    assert state(fake, job) == ("running", 1)
    fake.advance(0.1)
    assert state(fake, job) == ("succeeded", 1)
    assert b"".join(fake.logs(job)) == b"1 until \n"


def test_one_after_the_other_by_priority_and_then_in_order(fake: MemoryScheduler, tmp_path: Path) -> None:
    first, second = send(fake, tmp_path, ("work", "10"), ("work", "10"))
    urgent, = send(fake, tmp_path, ("work", "10"), id="u", training=Training(priority=1))
    fake.advance(5)
    assert [state(fake, job)[0] for job in (urgent, first, second)] == ["running", "pending", "pending"]
    fake.advance(10)
    assert [state(fake, job)[0] for job in (urgent, first, second)] == ["succeeded", "running", "pending"]
    fake.advance(100)
    assert state(fake, second) == ("succeeded", 1)


def test_the_next_attempt_after_a_failure_waits_a_while(fake: MemoryScheduler, tmp_path: Path) -> None:
    job, = send(fake, tmp_path, ("work", "1", "3"), training=Training(retry=Retry(retries=2)))
    fake.advance(1.5)
    assert state(fake, job) == ("pending", 1)
    fake.advance(0.6)
    assert state(fake, job) == ("running", 2)
    fake.advance(10)
    assert state(fake, job) == ("failed", 3)


def test_a_warning_is_followed_by_the_end_of_patience(fake: MemoryScheduler, tmp_path: Path) -> None:
    job, = send(fake, tmp_path, ("heed",), training=Training(interrupt=Interrupt(grace=2.0, kill=1.0)))
    fake.advance(1)
    fake.stop([job])
    fake.advance(1.9)
    assert state(fake, job) == ("running", 1)
    fake.advance(0.1)
    assert (state(fake, job), fake.poll([job])[job].exit_code) == (("cancelled", 1), 143)


def test_time_limit_and_deadline(fake: MemoryScheduler, tmp_path: Path) -> None:
    job, = send(fake, tmp_path, ("work", "100"), training=Training(need=Need(seconds=30.0)))
    fake.advance(30)
    assert state(fake, job) == ("failed", 1) and fake.poll([job])[job].reason == "limit"
    assert b"".join(fake.logs(job)) == b"1 until 30\n"


def test_a_stop_during_a_preemption_is_a_stop(fake: MemoryScheduler, tmp_path: Path) -> None:
    job, = send(fake, tmp_path, ("heed",))
    fake.advance(1)
    fake.preempt(job)
    fake.stop([job])
    fake.advance(20)
    assert state(fake, job) == ("cancelled", 1)


def test_a_reboot_ends_attempts_and_no_run(fake: MemoryScheduler, tmp_path: Path) -> None:
    job, = send(fake, tmp_path, ("work", "10"))
    fake.advance(1)
    fake.reboot()
    assert state(fake, job) == ("pending", 1)
    fake.advance(20)
    assert state(fake, job) == ("succeeded", 2)


def test_one_that_is_lost_again_and_again_fails(fake: MemoryScheduler, tmp_path: Path) -> None:
    job, = send(fake, tmp_path, ("work", "1000"))
    for _ in range(LOST_MOST):
        fake.advance(61)
        fake.lose(job)
    assert state(fake, job) == ("failed", LOST_MOST)


def test_what_is_forgotten_is_unknown(fake: MemoryScheduler, tmp_path: Path) -> None:
    job, = send(fake, tmp_path, ("work", "1"))
    fake.advance(2)
    fake.forget(job)
    assert fake.poll([job, "other"]) == {}
    with pytest.raises(EngineError) as error:
        list(fake.logs(job))
    assert error.value.code == "memory.unknown"


def test_a_resumed_run_has_a_new_job_and_the_old_one_stays_what_it_was(fake: MemoryScheduler, tmp_path: Path) -> None:
    training = Training()
    point = Point("r", argv=("work", "1", "3"), results=str(tmp_path / "r"))
    submission = Submission("s", training, Workload(Rootfs(()), point.argv, (), "/"), (point,), tmp_path)
    job, = fake.submit(submission)
    with pytest.raises(EngineError) as error:
        fake.resume(submission, point)
    assert error.value.code == "memory.refused"
    fake.advance(2)
    again = fake.resume(submission, point)
    fake.advance(2)
    assert again != job
    assert (state(fake, job), state(fake, again)) == (("failed", 1), ("failed", 2))


def test_all_or_none(fake: MemoryScheduler, tmp_path: Path) -> None:
    send(fake, tmp_path, ("work", "1"))
    with pytest.raises(EngineError):
        send(fake, tmp_path, ("work", "1"), ("work", "1"))
    assert fake.poll(["s_1"]) == {}


def test_explain_shows_the_words(fake: MemoryScheduler, tmp_path: Path) -> None:
    point = Point("r", argv=("work", "a b"))
    text = fake.explain(Submission("s", Training(), Workload(Rootfs(()), point.argv, (), "/"), (point,), tmp_path))
    assert text == "r ['work', 'a b']\n"
