"""Which run is next, and who must make room for it. Pure: the same view gives the same decision to every user's worker.

1. Whose turn: the user who, for the weight, has lately used least. Among the runs of one user the order is that user's
   own (priority, then the time of submission); nobody's priorities count against anybody else.
2. A run that fits starts. The first one that does not is given a reservation: the earliest moment at which it will fit,
   by the ends that others have announced. Runs behind it start only if they do not delay that (EASY backfill: Lifka,
   "The ANL/IBM SP Scheduling System", 1995). Where no such moment is known, those behind it go on for PATIENCE seconds,
   and then what gets free is kept for it.
3. A user below a fair share whose first run waits may ask those above theirs for room (preempting.py).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping

from bareboat.lease.values import SLOTS, Holding, Page, Wish
from bareboat.queue.policy_values import Bounds as Bounds
from bareboat.queue.policy_values import Decision as Decision
from bareboat.queue.policy_values import Machine as Machine
from bareboat.queue.policy_values import Start as Start
from bareboat.queue.policy_values import View as View
from bareboat.queue.policy_values import Wait as Wait
from bareboat.queue.preempting import asks_of
from bareboat.queue.room import Room, cpus_held, cpus_of, slots_of, weight_of, weight_wanted
from bareboat.training.values import Need
from bareboat.values import dataclass

HALF_LIFE = 7 * 86400.0  # seconds after which use counts half
PATIENCE = 600.0
STALE = 120.0  # seconds after which a page was not written by a worker that still works
CHARGE = 3600.0  # seconds that a start counts for at once when nothing is known of its length
FOREVER = math.inf


@dataclass
class _User:
    """What a user has, for whose turn it is. charged: recent use, with what has been given in this decision."""

    uid: int
    wishes: list[Wish]
    weight: float
    charged: float
    held: float = 0.0
    gpus: float = 0.0
    cpus: float = 0.0
    memory: float = 0.0
    runs: int = 0


def decide(view: View) -> Decision:
    """Everything that follows from a view. Costs some 15 ms for 20 users, 64 wishes each and 16 GPUs."""
    users = _users(view)
    whole = Room.of(Machine(view.machine.units, view.machine.cpus, view.machine.memory))
    used = {user.uid: user.charged / user.weight for user in users.values()}
    room = Room.of(view.machine, view.holdings)
    ends = [(_end(h, view.now), h.uid, h.run, h) for h in view.holdings]
    starts: list[Start] = []
    waits: list[Wait] = []
    blocked: list[tuple[int, Wish]] = []
    given: list[Holding] = []
    reserved: _Reserved | None = None
    for uid, wish, user in _turns(users):
        ahead = len(blocked)
        why = _bounded(user, wish.need, view.bounds) or (
            _never(wish, view.machine) if whole.fit(wish.need) is None else "")
        if why:
            waits.append(Wait(uid, wish.run, why, ahead))
            continue
        units = room.fit(wish.need)
        end = view.now + wish.need.seconds if wish.need.seconds > 0 else FOREVER
        if units is not None and reserved is not None:
            units = reserved.beside(room, wish, end)
        if units is not None:
            cpus = cpus_of(wish.need)
            room.take(units, cpus, wish.need.memory)
            if reserved is not None:
                reserved.taken(units, wish, end)
            holding = Holding(uid, wish.run, units=units, cpus=cpus, memory=wish.need.memory, started=view.now,
                              ends=0.0 if end == FOREVER else end)
            given.append(holding)
            ends.append((end, uid, wish.run, holding))
            _give(user, holding, wish)
            starts.append(Start(uid, wish.run, units))
            continue
        blocked.append((uid, wish))
        if reserved is None:
            reserved = _reserve(room, wish, ends, view)
            starts_at = 0.0 if reserved.at == FOREVER else reserved.at
            waits.append(Wait(uid, wish.run, _why(wish, view, room), ahead, starts_at))
        else:
            waits.append(Wait(uid, wish.run, f"{ahead} ahead", ahead))
    waits = _estimated(waits, blocked, room, ends, view)
    shares = {user.uid: user.weight for user in users.values() if user.wishes or user.held}
    return Decision(tuple(starts), asks_of(view, blocked, given, shares, used), tuple(waits))


# whose turn it is


def _users(view: View) -> dict[int, _User]:
    weights = {uid: max(weight, 1e-6) for uid, weight in view.bounds.weights}
    users: dict[int, _User] = {}
    for page in sorted(view.pages, key=lambda page: page.uid):
        wishes = _in_order(page) if page.written > view.now - STALE else []
        users[page.uid] = _User(page.uid, wishes, weights.get(page.uid, 1.0),
                                max(page.use, 0.0) if math.isfinite(page.use) else 0.0)
    for holding in view.holdings:
        user = users.setdefault(holding.uid, _User(holding.uid, [], weights.get(holding.uid, 1.0), 0.0))
        _hold(user, holding)
    return users


def _in_order(page: Page) -> list[Wish]:
    """As its user's worker told them: that is its order."""
    return list({wish.run: wish for wish in page.wishes}.values())


def _hold(user: _User, holding: Holding) -> None:
    cpus = cpus_held(holding)
    user.held += weight_of(holding.units, cpus)
    user.gpus += weight_of(holding.units, 0.0)
    user.cpus += cpus
    user.memory += holding.memory
    user.runs += 1


def _give(user: _User, holding: Holding, wish: Wish) -> None:
    before = user.held
    _hold(user, holding)
    seconds = min(wish.need.seconds, CHARGE) if wish.need.seconds > 0 else CHARGE
    user.charged += (user.held - before) * seconds


def _turns(users: Mapping[int, _User]) -> Iterator[tuple[int, Wish, _User]]:
    """Wishes in the order in which they are looked at: always the first of who has least, as that changes meanwhile."""
    line = [(_rank(user), iter(user.wishes)) for user in users.values() if user.wishes]
    heapq.heapify(line)
    while line:
        (*_, uid), wishes = line[0]
        wish = next(wishes, None)
        if wish is None:
            heapq.heappop(line)
            continue
        yield uid, wish, users[uid]
        heapq.heapreplace(line, (_rank(users[uid]), wishes))


def _rank(user: _User) -> tuple[float, float, int]:
    return user.charged / user.weight, user.held / user.weight, user.uid


# reservations


@dataclass
class _Reserved:
    """at: when the first blocked run fits, FOREVER where that is not known; then: what is free at that moment once it
    has started; keep: it has waited for so long that what is free now is kept for it.
    """

    at: float
    then: Room
    keep: bool

    def beside(self, room: Room, wish: Wish, end: float) -> tuple[tuple[str, int], ...] | None:
        """Units for a run behind it that do not delay it; None where there are none."""
        if not self.keep or end <= self.at < FOREVER:
            return room.fit(wish.need)
        both = Room({unit: min(free, self.then.free.get(unit, 0)) for unit, free in room.free.items()},
                    min(room.cpus, self.then.cpus), min(room.memory, self.then.memory))
        return both.fit(wish.need)

    def taken(self, units: tuple[tuple[str, int], ...], wish: Wish, end: float) -> None:
        """A run behind it has been started that may still run at that moment."""
        if end > self.at or self.at == FOREVER:
            self.then.take(units, cpus_of(wish.need), wish.need.memory)


_Ends = list[tuple[float, int, str, Holding]]


def _by_end(event: tuple[float, int, str, Holding]) -> tuple[float, int, str]:
    return event[:3]


def _reserve(room: Room, wish: Wish, ends: _Ends, view: View) -> _Reserved:
    then, at = _when(room, wish, ends, view.now)
    if at < FOREVER:
        units = then.fit(wish.need)
        assert units is not None
        then.take(units, cpus_of(wish.need), wish.need.memory)
        return _Reserved(at, then, True)
    then = room.copy()  # what is free now is kept, as far as it is of use for it
    count, slots = slots_of(wish.need)
    for unit in [u for u, free in sorted(then.free.items(), key=lambda item: -item[1]) if free >= slots][:count]:
        then.free[unit] -= slots
    then.cpus = max(then.cpus - cpus_of(wish.need), 0.0)
    then.memory = max(then.memory - wish.need.memory, 0.0)
    return _Reserved(FOREVER, then, view.now - min(wish.submitted, view.now) > PATIENCE)


def _when(room: Room, wish: Wish, ends: _Ends, now: float) -> tuple[Room, float]:
    """The first moment at which a run fits, and the room there is then."""
    then = room.copy()
    if then.fit(wish.need) is not None:
        return then, now
    for end, _, _, holding in sorted(ends, key=_by_end):
        if end == FOREVER:
            break
        then.give(holding.units, cpus_held(holding), holding.memory)
        if then.fit(wish.need) is not None:
            return then, end
    return then, FOREVER


def _end(holding: Holding, now: float) -> float:
    """When a holding ends; one that should have ended already is about to."""
    if holding.ending:
        return now + 1.0
    return max(holding.ends, now + 1.0) if 0 < holding.ends < 1e11 else FOREVER


# what is told of those that wait


def _bounded(user: _User, need: Need, bounds: Bounds) -> str:
    gpus = weight_wanted(need) if need.gpus > 0 else 0.0
    if bounds.runs and user.runs + 1 > bounds.runs:
        return f"your administrator allows {bounds.runs} runs at once"
    if bounds.gpus and user.gpus + gpus > bounds.gpus + 1e-9:
        return f"your administrator allows {bounds.gpus:g} GPUs at once"
    if bounds.cpus and user.cpus + cpus_of(need) > bounds.cpus + 1e-9:
        return f"your administrator allows {bounds.cpus:g} CPUs at once"
    if bounds.memory and user.memory + need.memory > bounds.memory:
        return f"your administrator allows {bounds.memory / 1e9:.0f} GB of memory at once"
    return ""


def _never(wish: Wish, machine: Machine) -> str:
    """Why it does not even fit on the empty machine; it delays nobody."""
    count, _ = slots_of(wish.need)
    if count > len(machine.units):
        return f"it needs {count} GPUs, and there are {len(machine.units)}"
    return "it needs more CPUs or memory than there are"


def _why(wish: Wish, view: View, room: Room) -> str:
    count, slots = slots_of(wish.need)
    if not count or Room.of(view.machine, view.holdings).fit(Need(wish.need.gpus, 1e-6)) is not None:
        cpus = cpus_of(wish.need)
        if cpus > room.cpus + 1e-9:
            return f"waits for {cpus:g} CPU{'s' if cpus != 1 else ''}"
        return f"waits for {wish.need.memory / 1e9:.3g} GB of memory"
    many = f"{count} GPUs" if count > 1 else "a GPU" if slots == SLOTS else "a share of a GPU"
    holders = [h for h in view.holdings if h.units]
    if holders and len(holders) <= 2:
        return f"waits for {many}: " + ", ".join(f"{h.name or h.run[:8]} has {len(h.units)}" for h in holders)
    if not holders and view.machine.foreign:
        return f"waits for {many}: programs outside of bareboat use them"
    return f"waits for {many}"


def _estimated(waits: list[Wait], blocked: list[tuple[int, Wish]], room: Room, ends: _Ends, view: View) -> list[Wait]:
    """The waits with the moments at which they are expected to start: one after the other, each into the first gap from
    the moment of the one before it; nothing is known behind one of which nothing is.
    """
    known: dict[str, float] = {}
    future, events, at = room.copy(), sorted(ends, key=_by_end), view.now
    for uid, wish in blocked[:64]:
        while future.fit(wish.need) is None and events and events[0][0] < FOREVER:
            end, _, _, holding = events.pop(0)
            at = max(at, end)
            future.give(holding.units, cpus_held(holding), holding.memory)
        units = future.fit(wish.need)
        if units is None:
            break
        known[wish.run] = at
        future.take(units, cpus_of(wish.need), wish.need.memory)
        end = at + wish.need.seconds if wish.need.seconds > 0 else FOREVER
        own = Holding(uid, wish.run, units=units, cpus=cpus_of(wish.need), memory=wish.need.memory)
        events.append((end, uid, wish.run, own))
        events.sort(key=_by_end)
    return [Wait(w.uid, w.run, w.why, w.ahead, known.get(w.run, w.starts)) for w in waits]
