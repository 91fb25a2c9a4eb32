"""The worker over fakes: what it writes down, and that nothing it meets makes two attempts of one run live at once."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from bareboat.errors import EngineError
from bareboat.lease.base import Lease
from bareboat.lease.memory import MemoryLease, MemoryLeases, Table
from bareboat.lease.values import Ask, Page, Wish
from bareboat.queue.base import Added, Entry
from bareboat.queue.memory import MemoryLedger
from bareboat.queue.moves import again, cancel
from bareboat.queue.policy import Decision, Machine, View
from bareboat.queue.worker import HANGS, Worker
from bareboat.record.states import final
from bareboat.training.rules import LOST_MOST, Step
from bareboat.training.values import Ending, Need, Point, Retry, Training, Watch
from bareboat.values import replace


class FakeHands:
    """Processes that are numbers. living: run → attempt; written: how attempts ended, by run and number."""

    def __init__(self, training: Training) -> None:
        self.how = training
        self.living: dict[str, int] = {}
        self.written: dict[tuple[str, int], Ending] = {}
        self.owned: set[str] = set()
        self.log: list[tuple[str, int]] = []
        self.asked: list[tuple[str, str]] = []
        self.boot = "b1"
        self.deaf = False
        self.quiet = 0.0
        self.broken: Exception | None = None
        self.settled_: list[tuple[str, str]] = []
        self.leases: dict[str, MemoryLease] = {}

    def machine(self, holdings: object) -> Machine:
        return Machine(("g0", "g1"), 8.0, 1 << 30)

    def training(self, submission: str) -> Training:
        return self.how

    def own(self, run: str) -> bool:
        if run in self.living:
            return False
        self.owned.add(run)
        return True

    def disown(self, run: str) -> None:
        self.owned.discard(run)

    def begin(self, entry: Entry, lease: Lease | None) -> int:
        assert entry.run in self.owned and entry.run not in self.living, "two attempts of one run"
        if self.broken:
            raise self.broken
        self.living[entry.run] = entry.attempt
        self.log.append((entry.run, entry.attempt))
        if isinstance(lease, MemoryLease):  # inherited: what the worker lets go of is not the last of it
            self.leases[entry.run] = MemoryLease(lease._table, lease.holding, lease._key)
            lease._key = object()
        return -1

    def watch(self, entry: Entry) -> int:
        return -1

    def ending(self, entry: Entry) -> Ending:
        assert entry.run not in self.living
        found = self.written.get((entry.run, entry.attempt))
        if found:
            return found
        return Ending("reboot") if entry.boot != self.boot else Ending("lost")

    def interrupt(self, entry: Entry, cause: str) -> bool:
        if self.deaf:
            return False
        self.asked.append((entry.run, cause))
        return True

    def silent(self, entry: Entry) -> float:
        return self.quiet

    def settled(self, entry: Entry, step: Step) -> None:
        self.settled_.append((entry.run, step.state))

    # what happens to a process

    def end(self, run: str, ending: Ending | None) -> None:
        """It ends; None: it is killed, and nothing was written."""
        attempt = self.living.pop(run)
        self.leases.pop(run).release()
        if ending:
            self.written[run, attempt] = ending


class Place:
    def __init__(self, training: Training = Training()) -> None:  # noqa: B008
        self.ledger, self.hands, self.time = MemoryLedger(), FakeHands(training), 1000.0
        self.table = Table()
        self.leases = MemoryLeases(os.geteuid(), self.table)
        self.worker = self.fresh()

    def fresh(self) -> Worker:
        return Worker(self.ledger, self.leases, self.hands, uid=os.geteuid(), now=lambda: self.time)

    def add(self, count: int = 1, id: str = "aa", **more: object) -> list[str]:
        points = tuple(Point(f"{id}{i:04}", "", i, ("true",)) for i in range(count))
        self.ledger.add(Added(id, b"", points, created=self.time, **more))  # type: ignore[arg-type]
        return [point.run for point in points]

    def entry(self, run: str) -> Entry:
        return self.ledger.find(run)


def test_others_are_obeyed_where_the_policy_says_so_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    run, = place.add()
    place.worker.turn()
    ask = Ask(os.geteuid(), run, "theirs")
    MemoryLeases(7, place.table).publish(Page(7, place.time, wishes=(Wish("theirs"),), asks=(ask,)))
    place.worker.turn()
    assert place.hands.asked == []  # a page may say what it likes
    views: list[View] = []

    def agrees(view: View) -> Decision:
        views.append(view)
        return Decision(asks=((7, ask),))

    monkeypatch.setattr("bareboat.queue.worker.decide", agrees)
    place.worker.turn()
    place.worker.turn()
    assert place.hands.asked == [(run, "preempted")]
    assert [h.run for h in views[0].holdings] == [run] and [p.uid for p in views[0].pages if p.asks] == [7]


def test_what_is_asked_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    run, = place.add()
    ask = Ask(7, "theirs", run)
    monkeypatch.setattr("bareboat.queue.worker.decide", lambda _: Decision(asks=((os.geteuid(), ask),)))
    told: list[Page] = []
    publish = place.leases.publish

    def publishes(page: Page) -> None:
        told.append(page)
        publish(page)

    monkeypatch.setattr(place.leases, "publish", publishes)
    for _ in range(5):
        place.worker.turn()
    assert [page.asks for page in told] == [(), (ask,)]  # each page wakes every worker, this one too
    monkeypatch.setattr("bareboat.queue.worker.decide", lambda _: Decision())
    place.worker.turn()
    assert told[-1].asks == ()


def test_it_starts_what_waits_and_ends_when_there_is_nothing_left() -> None:
    place = Place()
    assert place.worker.turn() is None
    run, = place.add()
    assert place.worker.turn() is not None
    entry = place.entry(run)
    assert (entry.state, entry.attempt, entry.started) == ("running", 1, 1000.0)
    place.hands.end(run, Ending("exit", 0))
    place.time = 1010.0
    assert place.worker.turn() is None
    entry = place.entry(run)
    assert (entry.state, entry.exit_code, entry.ended) == ("succeeded", 0, 1010.0)
    assert place.hands.settled_ == [(run, "succeeded")]


def test_retries_wait_and_a_worker_looks_when_they_are_due() -> None:
    place = Place(Training(retry=Retry(retries=2)))
    run, = place.add()
    place.worker.turn()
    place.hands.end(run, Ending("exit", 1))
    due = place.worker.turn()
    assert place.entry(run).state == "pending" and due is not None and 0 < due <= 1.0
    place.time += 1.1
    place.worker.turn()
    assert (place.entry(run).state, place.entry(run).attempt) == ("running", 2)


def test_no_more_at_once_than_the_submission_says() -> None:
    place = Place(Training(parallel=2))
    runs = place.add(5)
    place.worker.turn()
    assert len(place.hands.living) == 2
    place.hands.end(runs[0], Ending("exit", 0))
    place.worker.turn()
    assert len(place.hands.living) == 2 and runs[0] not in place.hands.living


def test_all_of_a_sweep_starts_though_only_some_are_told_to_others() -> None:
    place = Place()
    place.add(300)
    for _ in range(50):
        place.worker.turn()
        for run in list(place.hands.living):
            place.hands.end(run, Ending("exit", 0))
    assert place.ledger.counts() == {"succeeded": 300}


def test_an_attempt_that_cannot_be_started_is_tried_again_and_not_for_ever() -> None:
    place = Place()
    run, = place.add()
    place.hands.broken = OSError(24, "Too many open files")
    for _ in range(LOST_MOST + 5):
        place.worker.turn()
        place.time += 61.0
    entry = place.entry(run)
    assert entry.state == "failed" and "could not be started" in entry.reason and entry.attempt == LOST_MOST
    assert place.leases.holdings() == ()


def test_who_asks_is_obeyed_when_the_attempt_listens() -> None:
    place = Place()
    run, = place.add()
    place.worker.turn()
    cancel(place.ledger, run, place.time)
    place.hands.deaf = True
    due = place.worker.turn()
    assert place.hands.asked == [] and due is not None and due <= 0.1
    place.hands.deaf = False
    place.worker.turn()
    place.worker.turn()
    assert place.hands.asked == [(run, "stopped")]
    place.hands.end(run, Ending("stopped", 143))
    place.worker.turn()
    assert place.entry(run).state == "cancelled"


def test_a_cancelled_run_is_not_started_again_whatever_ended_it() -> None:
    place = Place(Training(retry=Retry(retries=5)))
    for ending in (Ending("preempted", 75), Ending("lost"), Ending("exit", 1), None):
        run, = place.add(id=os.urandom(3).hex())
        place.worker.turn()
        cancel(place.ledger, run, place.time)
        place.hands.end(run, ending)
        place.worker.turn()
        assert place.entry(run).state == "cancelled", ending


def test_what_was_done_when_its_end_was_wanted_has_succeeded() -> None:
    place = Place()
    run, = place.add()
    place.worker.turn()
    cancel(place.ledger, run, place.time)
    place.hands.end(run, Ending("exit", 0))
    place.worker.turn()
    assert place.entry(run).state == "succeeded"


def test_nothing_starts_while_it_is_held() -> None:
    place = Place()
    run, = place.add()
    place.worker.held = lambda: True
    assert place.worker.turn() is None  # who lets it go on wakes it, or starts another
    assert place.entry(run).state == "pending"


def test_a_template_that_cannot_be_read_ends_its_runs_and_no_others() -> None:
    place = Place()
    bad, = place.add(id="bb")
    good, = place.add(id="gg")
    plain = place.hands.training

    def training(submission: str) -> Training:
        if submission == "bb":
            raise EngineError("queue.template", "what was submitted cannot be read")
        return plain(submission)

    place.hands.training = training  # type: ignore[method-assign]
    place.worker.turn()
    assert place.entry(bad).state == "failed" and "queue.template" in place.entry(bad).reason
    assert place.entry(good).state == "running"


def test_use_is_told_and_outlives_the_worker() -> None:
    place = Place(Training(need=Need(gpus=2)))
    clock = [50.0]
    place.worker.clock = lambda: clock[0]
    run, = place.add()
    place.worker.turn()
    clock[0] += 30.0
    place.time += 86400.0  # the clock was set: it does not count
    assert place.worker.use() == pytest.approx(60.0)
    place.hands.end(run, Ending("exit", 0))
    place.worker.turn()
    assert place.leases.pages()[0].use == pytest.approx(60.0, rel=0.01)
    assert place.fresh().use() == pytest.approx(60.0, rel=0.01)


def test_one_that_hangs_is_pointed_out_and_left_alone() -> None:
    place = Place(Training(watch=Watch(hang=600.0)))
    clock = [50.0]
    place.worker.clock = lambda: clock[0]
    run, = place.add()
    place.worker.turn()
    for quiet, reason in ((599.0, ""), (660.0, f"{HANGS} for 11 min"), (720.0, f"{HANGS} for 12 min"), (0.0, "")):
        place.hands.quiet = quiet
        clock[0] += 31.0
        place.worker.turn()
        assert (place.entry(run).state, place.entry(run).reason) == ("running", reason)
    assert place.hands.asked == []


def test_a_holding_says_what_it_has_and_until_when() -> None:
    place = Place(Training(need=Need(gpus=1, cpus=2, seconds=60)))
    run, = place.add(priority=3)
    place.worker.turn()
    held, = place.leases.holdings()
    assert (held.run, held.cpus, held.ends, held.priority, len(held.units)) == (run, 2, 1060.0, 3, 1)


class Life(RuleBasedStateMachine):
    """Whatever happens in whatever order: one attempt at a time, none lost, each end written down once."""

    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.place = Place(Training(retry=Retry(retries=1)))
        self.number = 0

    @rule(target=runs, count=st.integers(1, 3))
    def submit(self, count: int) -> object:
        self.number += 1
        return multiple(*self.place.add(count, id=f"{self.number:04}"))

    @rule()
    def turn(self) -> None:
        self.place.worker.turn()

    @rule()
    def the_worker_is_killed(self) -> None:
        """Attempts go on; their leases are theirs."""
        self.place.hands.owned.clear()
        self.place.worker = self.place.fresh()

    @rule(run=runs, ending=st.sampled_from((None, Ending("exit", 0), Ending("exit", 1), Ending("exit", 75),
                                            Ending("preempted", 75), Ending("stopped", 143), Ending("limit"))))
    def an_attempt_ends(self, run: str, ending: Ending | None) -> None:
        if run in self.place.hands.living:
            self.place.hands.end(run, ending)

    @rule()
    def the_machine_is_started_again(self) -> None:
        hands = self.place.hands
        for run in list(hands.living):
            hands.end(run, None)
        hands.boot += "x"
        hands.owned.clear()
        self.place.leases = MemoryLeases(os.geteuid(), Table())
        self.place.worker = self.place.fresh()

    @rule(run=runs)
    def stop(self, run: str) -> None:
        cancel(self.place.ledger, run, self.place.time)

    @rule(run=runs)
    def resume(self, run: str) -> None:
        entry = self.place.entry(run)
        if final(entry.state):
            again(self.place.ledger, [entry])

    @rule(seconds=st.sampled_from((0.3, 5.0, 100.0, 86400.0, -86400.0)))
    def time_passes(self, seconds: float) -> None:
        self.place.time += seconds

    @invariant()
    def one_attempt_at_a_time_and_numbers_only_grow(self) -> None:
        hands = self.place.hands
        assert len(set(hands.log)) == len(hands.log)
        for run, attempt in hands.living.items():
            entry = self.place.entry(run)
            assert (entry.state, entry.attempt) == ("running", attempt)

    def teardown(self) -> None:
        """Left alone, everything comes to an end."""
        for _ in range(400):
            self.place.worker.turn()
            for run in list(self.place.hands.living):
                self.place.hands.end(run, Ending("exit", 0))
            self.place.time += 61.0
            if all(final(entry.state) for entry in self.place.ledger.entries()):
                break
        assert {entry.state for entry in self.place.ledger.entries()} <= {"succeeded", "failed", "cancelled"}


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase


def test_a_worker_that_starts_before_it_writes_is_caught() -> None:
    """The control: without the write before the start, one that dies between the two starts a run twice."""
    place = Place()
    place.add()

    class Careless(Worker):
        def launch(self, run: str, lease: object) -> None:  # type: ignore[override]
            entry = self.ledger.find(run)
            self.hands.own(run)
            self.hands.begin(replace(entry, attempt=entry.attempt + 1), None)  # and dies here, its lease with it

    worker = Careless(place.ledger, place.leases, place.hands, uid=os.geteuid(), now=lambda: place.time)
    worker.turn()
    place.hands.living.clear()  # as far as a lock that was not handed over tells
    place.worker.turn()
    with pytest.raises(AssertionError):
        assert len(set(place.hands.log)) == len(place.hands.log)




class Died(BaseException):
    """kill -9."""


class Mortal:
    """Something of the worker's that dies at one of its calls, before the call or after it."""

    def __init__(self, behind: object, fuse: list[float]) -> None:
        self._behind, self._fuse = behind, fuse

    def __getattr__(self, name: str) -> object:
        found = getattr(self._behind, name)
        if not callable(found) or name in ("turn", "changed"):
            return found

        def call(*args: object, **more: object) -> object:
            self._fuse[0] -= 0.5
            if self._fuse[0] == 0:
                raise Died
            value = found(*args, **more)
            self._fuse[0] -= 0.5
            if self._fuse[0] == 0:
                raise Died
            return value

        return call


def lives(die_at: float, ends: list[Ending | None]) -> tuple[Place, str, bool]:
    """A run carried through its attempts by a worker that dies at one call, and then by others; whether it died."""
    place = Place(Training(need=Need(gpus=1), retry=Retry(retries=2)))
    run, = place.add()
    fuse = [die_at]
    place.worker = Worker(Mortal(place.ledger, fuse), Mortal(place.leases, fuse),  # type: ignore[arg-type]
                          Mortal(place.hands, fuse), uid=os.geteuid(), now=lambda: place.time)  # type: ignore[arg-type]
    died = False
    for _ in range(60):
        try:
            place.worker.turn()
        except Died:
            died = True
            place.hands.owned.clear()  # the kernel frees what it had; what the attempt's process has stays
            kept = {lease._key for lease in place.hands.leases.values()}
            held = place.leases._table.held
            for key in [key for key in held if key not in kept]:
                del held[key]
            place.worker = place.fresh()
            continue
        if run in place.hands.living and ends:
            place.hands.end(run, ends.pop(0))
        if final(place.entry(run).state):
            break
        place.time += 5.0
    return place, run, died


@pytest.mark.parametrize("ends", [
    [Ending("exit", 0)],
    [Ending("exit", 3), Ending("exit", 0)],
    [None, Ending("preempted", 75), Ending("exit", 0)],
    [Ending("exit", 1)] * 3,
], ids=["succeeds", "retried", "lost and preempted", "fails"])
def test_a_worker_killed_at_every_call_loses_nothing_and_starts_nothing_twice(ends: list[Ending | None]) -> None:
    whole, run, _ = lives(0.25, list(ends))  # never: it is not a multiple
    wanted = whole.entry(run)
    tried = 0
    while True:
        tried += 1
        place, run, died = lives(tried * 0.5, list(ends))
        entry = place.entry(run)
        assert entry.state == wanted.state, (tried, entry)
        assert len(set(place.hands.log)) == len(place.hands.log), tried
        assert place.leases.holdings() == (), tried
        # one that died between the row and the start is a loss that no program knew of; each end is counted once
        assert entry.failures == wanted.failures and entry.attempt <= wanted.attempt + 1, (tried, entry)
        assert len([a for a in place.hands.log if a[0] == run]) == len(ends), tried
        if not died:
            break
    assert tried > 20
