"""queue: whose runs there are on this machine, what they wait for, and what they hold."""

from __future__ import annotations

import os
import time

from bareboat.errors import BareboatError
from bareboat.lease.values import SLOTS, Holding, Page
from bareboat.queue import door
from bareboat.queue.base import Entry
from bareboat.queue.policy import Decision, Machine, View, Wait, decide
from bareboat.queue.waiting import Waiting, waiting
from bareboat.record.states import final
from bareboat.training.values import Need, Training
from bareboat.values import dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.polling import refresh
from bareboat.verbs.submission import Queue, Templates

HELD = "held back"  # by `queue hold`
SHOWN = 1000  # runs that are over, the newest


@dataclass(frozen=True)
class Row:
    """A run as it is listed. uid: whose; need: what it takes, where that is known; units: GPUs that it has; ahead,
    starts: as the policy has it, 0 where it is not known; why: what it waits for, or how it ended; since: when it was
    sent, started or ended; ends: when it must end.
    """

    uid: int
    run: str
    name: str = ""
    state: str = "pending"
    why: str = ""
    attempt: int = 0
    need: Need = Need()
    units: tuple[tuple[str, int], ...] = ()
    ahead: int = 0
    starts: float = 0.0
    since: float = 0.0
    ends: float = 0.0
    scheduler: str = "local"
    priority: int = 0
    kind: str = "training"
    exit_code: int | None = None
    submission: str = ""
    job: str = ""
    where: str = ""


@dataclass(frozen=True)
class Listing:
    """rows: what runs, what waits in its order, and what is over; problems: what could not be believed or asked."""

    rows: tuple[Row, ...]
    machine: Machine = Machine()
    problems: tuple[str, ...] = ()
    held: bool = False


def outlook(entry: Entry, work: Work, queue: Queue) -> Wait:
    """What a run of ours that was just sent waits for."""
    if entry.scheduler != "local":
        return Wait(os.geteuid(), entry.run)
    decision, held, _ = _decided(work, queue)
    return _wait_of(entry, decision, held)


def listing(work: Work, queue: Queue, *, every: bool = False) -> Listing:
    """All that is known. every: what is over too, the newest SHOWN."""
    problems = list(refresh(queue))
    if queue.ledger.due(time.time(), most=1):
        queue.wake()  # its worker may have been killed
    decision, held, view = _decided(work, queue)
    uid = os.geteuid()
    holdings = {holding.run: holding for holding in view.holdings if holding.uid == uid}
    templates = Templates(queue.ledger)
    rows: list[Row] = []
    for entry in queue.ledger.entries(("running",)):
        rows.append(_own(entry, templates, holdings.pop(entry.run, None), None))
    rows += [_others(holding) for holding in view.holdings if holding.uid != uid or holding.run in holdings]
    stopped = door.starts_nothing(queue.folder)
    order = {(wait.uid, wait.run): number for number, wait in enumerate(decision.waits)}
    pending = [_own(entry, templates, None, Wait(uid, entry.run, HELD) if stopped and entry.scheduler == "local" else
                    _wait_of(entry, decision, held)) for entry in queue.ledger.entries(("pending",))]
    for page in view.pages:
        if page.uid != uid:
            pending += _wishes(page, decision)
    rows = [replace(row, why="; ".join(filter(None, (row.why, _vanished(row, view.machine))))) for row in rows]
    last = len(order)
    pending.sort(key=lambda row: order.get((row.uid, row.run), last))
    rows += pending
    if every:
        rows += [_own(entry, templates, None, None) for entry in queue.ledger.ended(SHOWN)]
    return Listing(tuple(rows), view.machine, (*problems, *queue.leases.problems()), stopped)


def hold(queue: Queue, *, held: bool) -> None:
    """Whether anything more of this user's starts here; what runs goes on. Idempotent."""
    from bareboat.queue.sqlite_file import prepare_folder

    prepare_folder(queue.folder)
    door.set_held(queue.folder, held)
    queue.wake()


def _decided(work: Work, queue: Queue) -> tuple[Decision, dict[str, str], View]:
    """What the policy makes of this moment, with this user's runs as the ledger has them, whether a worker has told of
    them or not; and why some of them cannot start yet.
    """
    from bareboat.verbs.machine import machine_of

    now, uid = time.time(), os.geteuid()
    templates = Templates(queue.ledger)
    going = [entry for entry in queue.ledger.entries(("running",)) if entry.scheduler == "local"]
    mine: Waiting = waiting(queue.ledger, going, templates.training, now)
    holdings, pages = queue.leases.holdings(), queue.leases.pages()
    own = next((page for page in pages if page.uid == uid), Page(uid))
    page = Page(uid, now, own.use, mine.wishes, mine.more, own.asks)
    view = View(machine_of(work, holdings), holdings, (*(p for p in pages if p.uid != uid), page), queue.bounds, now)
    return decide(view), dict(mine.held), view


def _wait_of(entry: Entry, decision: Decision, held: dict[str, str]) -> Wait:
    uid = os.geteuid()
    if entry.scheduler != "local":
        return Wait(uid, entry.run, entry.reason)
    for wait in decision.waits:
        if (wait.uid, wait.run) == (uid, entry.run):
            return wait
    if any((start.uid, start.run) == (uid, entry.run) for start in decision.starts):
        return Wait(uid, entry.run, "starts now")
    if entry.run in held:
        return Wait(uid, entry.run, held[entry.run])
    left = entry.not_before - time.time()
    if left > 0:
        return Wait(uid, entry.run, entry.reason, starts=entry.not_before)
    return Wait(uid, entry.run, entry.reason or "others of yours are before it")


def _own(entry: Entry, templates: Templates, holding: Holding | None, wait: Wait | None) -> Row:
    try:
        training = templates.training(entry.submission)
    except BareboatError as error:
        training, wait = Training(), Wait(0, entry.run, f"{error.code}: {error.what}")
    since = entry.ended if final(entry.state) else entry.started if entry.state == "running" else entry.created
    ends = holding.ends if holding else 0.0
    return Row(os.geteuid(), entry.run, entry.name, entry.state, wait.why if wait else entry.reason, entry.attempt,
               training.need, holding.units if holding else (), wait.ahead if wait else 0, wait.starts if wait else 0.0,
               since, ends, entry.scheduler, entry.priority, exit_code=entry.exit_code, submission=entry.submission,
               job=entry.job, where=entry.where)


def _vanished(row: Row, machine: Machine) -> str:
    gone = [name for name, _ in row.units if name not in machine.units]
    if len(gone) < 2:
        return "a GPU that it has is not there any more" if gone else ""
    return f"{len(gone)} GPUs that it has are not there any more"


def _others(holding: Holding) -> Row:
    need = Need(sum(slots for _, slots in holding.units) / SLOTS, holding.cpus, holding.memory)
    return Row(holding.uid, holding.run, holding.name, "running", "asked to make room" if holding.ending else "",
               need=need, units=holding.units, since=holding.started, ends=holding.ends, priority=holding.priority,
               kind=holding.kind)


def _wishes(page: Page, decision: Decision) -> list[Row]:
    waits = {wait.run: wait for wait in decision.waits if wait.uid == page.uid}
    found = []
    for wish in page.wishes:
        wait = waits.get(wish.run, Wait(page.uid, wish.run))
        found.append(Row(page.uid, wish.run, wish.name, "pending", wait.why, need=wish.need, ahead=wait.ahead,
                         starts=wait.starts, since=wish.submitted, priority=wish.priority))
    return found

