"""The worker: it carries out its user's part of what the policy decides, and writes down how each attempt ended.

All that it knows is in the ledger, the leases and the run records; it can be killed at any moment, and the next one
goes on from there. What it does to the machine is done by the hands that it is given.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection

from bareboat.errors import BareboatError
from bareboat.host.files import boot_id
from bareboat.lease.base import Lease, Leases
from bareboat.lease.values import Ask, Holding, Page, Wish
from bareboat.queue.base import Entry, Ledger
from bareboat.queue.policy import Bounds, Decision, Machine, View, decide
from bareboat.queue.used import Used
from bareboat.queue.waiting import waiting
from bareboat.record.states import final
from bareboat.training.rules import Step, follow
from bareboat.training.values import Ending, Training
from bareboat.values import Protocol, dataclass, replace

LOCAL = "local"
HANGS = "no output and no use of the processor"
NO_BOUNDS = Bounds()
AGAIN = 30.0  # seconds after which it looks again though nothing was told, and says that it lives


class Hands(Protocol):
    """What a worker does besides keeping books."""

    def machine(self, holdings: Collection[Holding]) -> Machine:
        """What there is to share now, while this is held."""

    def training(self, submission: str) -> Training:
        """How the runs of a submission are carried out. Raises BareboatError where its template cannot be read."""

    def own(self, run: str) -> bool:
        """Become the owner of a run's folder, made where it is missing; False while a process has it."""

    def disown(self, run: str) -> None:
        """Let go of it, if no other process has it too."""

    def begin(self, entry: Entry, lease: Lease | None) -> int:
        """Start the process of an attempt, which inherits run and lease; a pidfd of it. Raises BareboatError, OSError.
        """

    def watch(self, entry: Entry) -> int:
        """A pidfd of the process that another worker started, -1 where it cannot be had."""

    def ending(self, entry: Entry) -> Ending:
        """How an attempt went whose process is gone."""

    def interrupt(self, entry: Entry, cause: str) -> bool:
        """Ask a running attempt to end: "preempted" or "stopped"; False while it does not listen: it begins or ends."""

    def silent(self, entry: Entry) -> float:
        """Seconds since an attempt's program last wrote something or used the processor, as far as is known; asked
        every so often.
        """

    def settled(self, entry: Entry, step: Step) -> None:
        """What is to be done when an attempt was written down. Never raises."""


@dataclass
class Going:
    """An attempt that runs: its process, whether it was asked to end, and when it began, by a clock that nobody sets, 0
    where this worker did not see it.
    """

    entry: Entry
    pidfd: int = -1
    asked: str = ""
    began: float = 0.0


class Worker:
    """uid: whose it is. now: seconds since the epoch. say: into its log. bounds: of each user."""

    def __init__(self, ledger: Ledger, leases: Leases, hands: Hands, *, uid: int, now: Callable[[], float],
                 say: Callable[[str], None] = lambda _: None, bounds: Bounds = NO_BOUNDS) -> None:
        self.ledger, self.leases, self.hands = ledger, leases, hands
        self.uid, self.now, self.say, self.bounds = uid, now, say, bounds
        self.clock: Callable[[], float] = time.monotonic
        self.going: dict[str, Going] = {}
        self.held: Callable[[], bool] = lambda: False  # whether somebody said that nothing shall start
        self.watched: Callable[[int], None] = lambda _: None  # told of each pidfd that is to be looked at
        self.decision = Decision()
        self._page: Page | None = None
        self._published = 0.0
        self._listened = -AGAIN

    # one turn

    def turn(self) -> float | None:
        """Do all that can be done now; seconds until something is due by itself, None when nothing is left to do."""
        self._look = 0.0
        self.collect()
        self.obey()
        self.listen()
        wishes = self.wishes()
        due = self.start(wishes)
        if self._look:
            due = min(due or self._look, self._look)
        if not self.going and not wishes and due is None:
            return None
        return AGAIN if due is None else max(min(due, AGAIN), 0.01)

    def collect(self) -> None:
        """Write down the end of every attempt whose process is gone; take over those of a worker that died."""
        for entry in self.ledger.entries(("running",)):
            if entry.scheduler != LOCAL:
                continue
            going = self.going.get(entry.run)
            if going is not None and not _ended(going.pidfd):
                going.entry = entry
                continue
            if not self.hands.own(entry.run):  # it lives
                if going is not None:
                    self._look = 0.1  # it is gone, and something that it started is about to be
                if going is None:
                    going = self.going[entry.run] = Going(entry, self.hands.watch(entry))
                    self.watched(going.pidfd)
                going.entry = entry
                continue
            try:
                self.commit(entry)
            finally:
                self._forget(entry.run)
                self.hands.disown(entry.run)

    def commit(self, entry: Entry) -> None:
        """Write down how an attempt ended that nothing has any more, and what follows. Once: by its number."""
        ending = self.hands.ending(entry)
        if entry.wanted == "cancelled" and not (ending.cause == "exit" and ending.code == 0):
            ending = replace(ending, cause="stopped", reason=ending.reason if ending.cause == "stopped" else "stopped")
        training = self._training(entry)
        step = follow(ending, training.retry, entry.failures, entry.losses)
        now = self.now()
        done = self.ledger.move(
            entry.run, ("running", entry.attempt), state=step.state, reason=step.reason, failures=step.failures,
            losses=step.losses, not_before=now + step.wait if step.wait else 0.0,
            ended=now if final(step.state) else 0.0, exit_code=ending.code,
            wanted="" if step.state == "pending" else entry.wanted)
        if done:
            used = self._used().plus(training.need, self._seconds(entry), now)
            self.ledger.note("use", f"{used.amount} {used.at}")
            self.say(f"{entry.run} attempt {entry.attempt}: {ending.cause} {ending.code} {ending.reason}: {step.state}")
            self.hands.settled(replace(entry, state=step.state, reason=step.reason, exit_code=ending.code), step)

    def obey(self) -> None:
        """Ask attempts to end: those that somebody wants cancelled, and those that others need the room of."""
        wanted = {ask.run: "preempted" for ask in self._agreed()}
        wanted.update({run: "stopped" for run, going in self.going.items() if going.entry.wanted == "cancelled"})
        for run, cause in wanted.items():
            going = self.going[run]
            if going.asked != cause:
                if self.hands.interrupt(going.entry, cause):
                    going.asked = cause
                    self.say(f"{run} is asked to end: {cause}")
                else:
                    self._look = 0.1

    def _agreed(self) -> list[Ask]:
        """What others ask of this user's attempts and the policy asks for here too: a page may say what it likes."""
        pages = self.leases.pages()
        asked = [(page.uid, ask) for page in pages for ask in page.asks
                 if ask.uid == self.uid and ask.run in self.going and not self.going[ask.run].asked]
        if not asked:
            return []
        holdings = self.leases.holdings()
        found = decide(View(self.hands.machine(holdings), holdings, pages, self.bounds, self.now())).asks
        return [ask for asker, ask in asked if (asker, ask) in found]

    def listen(self) -> None:
        """Point out attempts that seem to hang, in the reason why they are in their state; they are left alone."""
        now = self.clock()
        if now - self._listened < AGAIN:
            return
        self._listened = now
        for run, going in self.going.items():
            hang = self._training(going.entry).watch.hang
            silent = self.hands.silent(going.entry) if hang else 0.0
            reason = f"{HANGS} for {silent / 60:.0f} min" if hang and silent >= hang else ""
            was = going.entry.reason
            if (reason or was.startswith(HANGS)) and reason != was and self.ledger.move(
                    run, ("running", going.entry.attempt), reason=reason):
                if not was:
                    self.say(f"{run} {reason}")
                going.entry = replace(going.entry, reason=reason)

    # what waits

    def wishes(self) -> list[Wish]:
        """Runs that could start now, in the order that this user would start them, up to what others are told of; a run
        that can never start any more is over.
        """
        if self.held():
            self._soonest, self._more = 0.0, 0  # whoever lets it go on wakes it
            return []
        now = self.now()
        found = waiting(self.ledger, [going.entry for going in self.going.values()], self.hands.training, now)
        for entry, state, reason in found.dropped:
            if self.ledger.move(entry.run, (entry.state, entry.attempt), state=state, reason=reason, ended=now):
                self.hands.settled(replace(entry, state=state, reason=reason), Step(state, reason))
        later = self.ledger.later(now)
        self._soonest = later - now if later else 0.0
        self._more = found.more
        return list(found.wishes)

    def _training(self, entry: Entry) -> Training:
        try:
            return self.hands.training(entry.submission)
        except BareboatError:
            return Training()

    # starting

    def start(self, wishes: list[Wish]) -> float | None:
        """Start what the policy lets start now; seconds until it is worth another look, None for when something is
        told.
        """
        waiting_runs = {wish.run for wish in wishes}  # taking asks back and telling them again would wake everybody
        self._publish(tuple(wishes), tuple(a for a in self._page.asks if a.wish in waiting_runs) if self._page else ())
        soon = self._soonest or None
        if not wishes:
            self.decision = Decision()
            return soon
        with self.leases.turn():
            holdings = self.leases.holdings()
            view = View(self.hands.machine(holdings), holdings, self.leases.pages(), self.bounds, self.now())
            self.decision = decide(view)
            taken: list[tuple[Wish, Lease | None]] = []
            by_run = {wish.run: wish for wish in wishes}
            for start in self.decision.starts:
                wish = by_run.get(start.run)
                if start.uid != self.uid or wish is None:
                    continue
                need = wish.need
                holding = Holding(self.uid, wish.run, wish.name, units=start.units, cpus=need.cpus, memory=need.memory,
                                  started=view.now, ends=view.now + need.seconds if need.seconds else 0.0,
                                  priority=wish.priority, preemptible=wish.preemptible)
                lease = self.leases.take(holding)
                if lease is None:
                    soon = min(soon or 1.0, 1.0)  # somebody who does not cooperate, or is just letting go
                    continue
                taken.append((wish, lease))
        asks = tuple(ask for uid, ask in self.decision.asks if uid == self.uid)
        for wish, lease in taken:
            self.launch(wish.run, lease)
        if taken or asks != (self._page.asks if self._page else ()):
            started = {wish.run for wish, _ in taken}
            self._publish(tuple(w for w in wishes if w.run not in started), asks)
            self.obey()
            if self._more and taken:
                soon = 0.01  # there are more of them than others are told of
        return soon

    def launch(self, run: str, lease: Lease | None) -> None:
        """Start one attempt. The run is owned before the ledger says that it runs, and by the attempt's own process
        when this one lets go: there is no moment in which it could be taken for lost.
        """
        try:
            entry = self.ledger.find(run)
            if entry.state != "pending" or not self.hands.own(run):
                return
            began = replace(entry, state="running", attempt=entry.attempt + 1, started=self.now(), reason="",
                            boot=boot_id(), ended=0.0, exit_code=None)
            try:
                if not self.ledger.move(run, ("pending", entry.attempt), state="running", attempt=began.attempt,
                                        started=began.started, reason="", boot=began.boot, exit_code=None):
                    return  # cancelled at this moment
                try:
                    pidfd = self.hands.begin(began, lease)
                except (BareboatError, OSError) as error:
                    self.say(f"{run} attempt {began.attempt} could not be started: {error}")
                    ending = Ending("lost", None, f"it could not be started: {error}")
                    step = follow(ending, self._training(entry).retry, entry.failures, entry.losses)
                    if self.ledger.move(run, ("running", began.attempt), state=step.state, reason=step.reason,
                                        losses=step.losses, not_before=self.now() + step.wait,
                                        ended=self.now() if final(step.state) else 0.0):
                        self.hands.settled(replace(began, state=step.state, reason=step.reason), step)
                    return
                self.say(f"{run} attempt {began.attempt} started")
                self.going[run] = Going(began, pidfd, began=self.clock())
                self.watched(pidfd)
            finally:
                self.hands.disown(run)
        finally:
            if lease is not None:
                lease.release()  # the attempt's process has it now

    def _publish(self, wishes: tuple[Wish, ...], asks: tuple[Ask, ...] = ()) -> None:
        now = self.now()
        page = Page(self.uid, now, self.use(), wishes, self._more, asks)
        same = self._page is not None and (self._page.wishes, self._page.asks, self._page.more) == (
            wishes, asks, self._more)
        if same and abs(now - self._published) < AGAIN:
            return
        self.leases.publish(page)
        self._page, self._published = page, now

    def use(self) -> float:
        """Recent use, as Page.use has it: what is over, and what runs so far."""
        now = self.now()
        used = self._used().until(now)
        for going in self.going.values():
            used = used.plus(self._training(going.entry).need, self._seconds(going.entry), now)
        return used.amount

    def _used(self) -> Used:
        amount, _, at = self.ledger.noted("use").partition(" ")
        try:
            return Used(float(amount), float(at))
        except ValueError:
            return Used()

    def _seconds(self, entry: Entry) -> float:
        """How long an attempt has run: by a clock that nobody sets, where this worker saw it begin."""
        going = self.going.get(entry.run)
        if going is not None and going.began:
            return self.clock() - going.began
        return self.now() - entry.started

    def _forget(self, run: str) -> None:
        going = self.going.pop(run, None)
        if going is not None and going.pidfd >= 0:
            self.watched(-going.pidfd - 1)
            os.close(going.pidfd)

    _look = 0.0
    _soonest = 0.0
    _more = 0


def _ended(pidfd: int) -> bool:
    """Whether a process has ended; one that cannot be told of may have."""
    if pidfd < 0:
        return True
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
