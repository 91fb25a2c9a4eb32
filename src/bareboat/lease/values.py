"""What the users of a machine tell each other about their runs. All of it was written by somebody: read it as that."""

from __future__ import annotations

from bareboat.training.values import Need
from bareboat.values import dataclass


@dataclass(frozen=True)
class Wish:
    """A run that waits. submitted: seconds since the epoch; preemptible: None where the policy decides."""

    run: str
    name: str = ""
    need: Need = Need()
    priority: int = 0
    submitted: float = 0.0
    preemptible: bool | None = None


@dataclass(frozen=True)
class Holding:
    """A run or session that has a part of the machine. uid: the owner of the file that says so, never what it says.
    kind: "training", "session" or "serving"; units: names of GPUs, each with the share of it that is held, in
    SLOTS-ths; ends: when it must end, seconds since the epoch, 0 for not known; ending: it was asked to make room.
    """

    uid: int
    run: str
    name: str = ""
    kind: str = "training"
    units: tuple[tuple[str, int], ...] = ()
    cpus: float = 0.0
    memory: int = 0
    started: float = 0.0
    ends: float = 0.0
    priority: int = 0
    preemptible: bool | None = None
    ending: bool = False


@dataclass(frozen=True)
class Ask:
    """A wish of the asker's that another user's holding should make room for."""

    uid: int  # whose holding
    run: str  # which
    wish: str  # for which run of the asker's


@dataclass(frozen=True)
class Page:
    """What a user's worker tells: wishes in the order it would start them (bounded), recent use in GPU-seconds (decayed
    by policy.HALF_LIFE; CPU-seconds / 64 where no GPU is involved), and asks. uid: the owner of the file.
    """

    uid: int
    written: float = 0.0
    use: float = 0.0
    wishes: tuple[Wish, ...] = ()
    more: int = 0  # wishes beyond the bound
    asks: tuple[Ask, ...] = ()


SLOTS = 12  # a GPU is shared in twelfths: halves, thirds, quarters and sixths are exact
WISHES_MOST = 64  # of one page
