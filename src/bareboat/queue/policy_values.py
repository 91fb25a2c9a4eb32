"""What a decision of the policy depends on, and what it says."""

from __future__ import annotations

from bareboat.lease.values import Ask, Holding, Page
from bareboat.values import dataclass

Units = tuple[tuple[str, int], ...]  # as Holding.units


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
    units: Units = ()


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
