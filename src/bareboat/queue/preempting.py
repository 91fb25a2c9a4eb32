"""Who is asked to make room: pure, and as seldom as possible. An interrupted run loses what it did since its last
checkpoint, so that nobody is asked for what would be free in a moment, or for a share that the asker has already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bareboat.lease.values import SLOTS, Ask, Holding, Wish
from bareboat.queue.policy_values import View
from bareboat.queue.room import Room, cpus_held, cpus_of, weight_of, weight_wanted

SETTLED = 300.0  # seconds that a run has for itself before it may be asked, so that nobody is asked in turns


def asks_of(view: View, blocked: Sequence[tuple[int, Wish]], given: Sequence[Holding],
            shares: Mapping[int, float], used: Mapping[int, float]) -> tuple[tuple[int, Ask], ...]:
    """Asks for the first blocked wish of each user who is below a fair share. blocked: in order; given: what this
    decision starts; shares: the weights of the users who want or have something; used: recent use of each
    for its weight: nobody is asked whose turn it would be next, who would take the room again.
    """
    holdings = [*view.holdings, *given]
    capacity = weight_of(tuple((unit, SLOTS) for unit in view.machine.units if unit not in view.machine.foreign),
                         view.machine.cpus)
    total = sum(shares.values()) or 1.0
    fair = {uid: capacity * weight / total for uid, weight in shares.items()}
    held: dict[int, float] = {}
    for holding in holdings:
        held[holding.uid] = held.get(holding.uid, 0.0) + _weight(holding)
    room = Room.of(view.machine, [h for h in holdings if not h.ending])
    found: list[tuple[int, Ask]] = []
    seen: set[int] = set()
    asked: set[tuple[int, str]] = set()
    for uid, wish in blocked:
        if uid in seen:
            continue
        seen.add(uid)
        wanted = weight_wanted(wish.need)
        share = fair.get(uid, 0.0)
        others = held.get(uid, 0.0) + wanted <= max(share, min(wanted, 1.0)) + 1e-9  # else it would be above its share
        units = room.fit(wish.need)
        if units is None:
            may = [h for h in holdings if (h.uid, h.run) not in asked and _may(h, uid, wish, view.now)
                   and (h.uid == uid or (others and used.get(uid, 0.0) <= used.get(h.uid, 0.0)))]
            victims = _victims(wish, room, may, held, fair, uid)
            for victim in victims:
                room.give(victim.units, cpus_held(victim), victim.memory)
                held[victim.uid] -= _weight(victim)
                asked.add((victim.uid, victim.run))
                found.append((uid, Ask(victim.uid, victim.run, wish.run)))
            units = room.fit(wish.need)
            if units is None:
                continue
        room.take(units, cpus_of(wish.need), wish.need.memory)  # what is about to be free is not asked for twice
    return tuple(found)


def _victims(wish: Wish, room: Room, holdings: Sequence[Holding], held: Mapping[int, float],
             fair: Mapping[int, float], uid: int) -> list[Holding]:
    """The fewest that make the wish fit, or none at all."""
    left = dict(held)
    taken: list[Holding] = []
    trial = room.copy()
    for holding in sorted(holdings, key=_order):
        after = left[holding.uid] - _weight(holding)
        share, alone = fair.get(holding.uid, 0.0), after < 1e-9
        if holding.uid != uid and holding.preemptible is not True and (
                left[holding.uid] <= share + 1e-9 if alone else after < share - 1e-9):
            continue  # its user would fall below a share, but for one run that is more than that all by itself
        trial.give(holding.units, cpus_held(holding), holding.memory)
        left[holding.uid] = after
        taken.append(holding)
        if trial.fit(wish.need) is not None:
            return _needed(taken, wish, room)
    return []


def _needed(taken: list[Holding], wish: Wish, room: Room) -> list[Holding]:
    """Without those that the others make superfluous."""
    needed = list(taken)
    for holding in taken:
        trial = room.copy()
        for other in needed:
            if other is not holding:
                trial.give(other.units, cpus_held(other), other.memory)
        if trial.fit(wish.need) is not None:
            needed.remove(holding)
    return needed


def _may(holding: Holding, uid: int, wish: Wish, now: float) -> bool:
    """Whether a holding may be asked at all. One's own only for a run of higher priority, when that was said."""
    if holding.ending or holding.kind != "training" or holding.preemptible is False:
        return False
    if holding.uid == uid:
        return holding.preemptible is True and wish.priority > holding.priority
    return holding.preemptible is True or now - holding.started >= SETTLED


def _order(holding: Holding) -> tuple[bool, int, float, int, str]:
    """Those that said they may be interrupted first, then by priority, then the youngest: it loses least."""
    return holding.preemptible is not True, holding.priority, -holding.started, holding.uid, holding.run


def _weight(holding: Holding) -> float:
    return weight_of(holding.units, cpus_held(holding))
