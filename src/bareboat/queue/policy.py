"""Which run is next, and who must make room for it. Pure: the same view gives the same decision to every user's worker.
"""

from __future__ import annotations

import math

from bareboat.lease.values import SLOTS, Ask, Holding, Page
from bareboat.values import dataclass

HALF_LIFE = 7 * 86400.0  # seconds after which use counts half


@dataclass(frozen=True)
class Machine:
    """What there is to share. units: names of the GPUs; foreign: those that processes outside of bareboat use."""

    units: tuple[str, ...] = ()
    cpus: float = 1.0
    memory: int = 0
    foreign: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Bounds:
    """What one user may have at once, 0 for no bound; weights: uid → share (1 where not named)."""

    gpus: float = 0.0
    cpus: float = 0.0
    memory: int = 0
    runs: int = 0
    weights: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class View:
    """All that a decision depends on. now: seconds since the epoch."""

    machine: Machine
    holdings: tuple[Holding, ...] = ()
    pages: tuple[Page, ...] = ()
    bounds: Bounds = Bounds()
    now: float = 0.0


@dataclass(frozen=True)
class Start:
    """A run that may start now. units: as Holding.units."""

    uid: int
    run: str
    units: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Wait:
    """Why a run waits, in words, how many are ahead of it, and when it is expected to start (0: not known)."""

    uid: int
    run: str
    why: str = ""
    ahead: int = 0
    starts: float = 0.0


@dataclass(frozen=True)
class Decision:
    """starts: in order, all of which fit at once; asks: (uid of the asker, ask), for holdings to make room; waits."""

    starts: tuple[Start, ...] = ()
    asks: tuple[tuple[int, Ask], ...] = ()
    waits: tuple[Wait, ...] = ()


def decide(view: View) -> Decision:
    """Priority, then first in, first out, as long as it fits."""
    held: dict[str, int] = {}
    for holding in view.holdings:
        for unit, slots in holding.units:
            held[unit] = held.get(unit, 0) + slots
    starts: list[Start] = []
    waits: list[Wait] = []
    wishes = sorted(((page.uid, wish) for page in view.pages for wish in page.wishes),
                    key=lambda pair: (-pair[1].priority, pair[1].submitted))
    for uid, wish in wishes:
        whole = wish.need.gpus >= 1
        slots, count = (SLOTS, int(wish.need.gpus)) if whole else (math.ceil(wish.need.gpus * SLOTS), 1)
        free = [unit for unit in view.machine.units
                if unit not in view.machine.foreign and held.get(unit, 0) + slots <= SLOTS]
        if slots and len(free) < count:
            waits.append(Wait(uid, wish.run, "waits for GPUs", len(waits)))
            continue
        units = tuple((unit, slots) for unit in free[:count]) if slots else ()
        for unit, share in units:
            held[unit] = held.get(unit, 0) + share
        starts.append(Start(uid, wish.run, units))
    return Decision(tuple(starts), (), tuple(waits))
