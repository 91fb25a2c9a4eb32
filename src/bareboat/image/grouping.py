"""Which wheels share a layer: a pure function of the wheels and of how many layers there may be. Decision 0113.

The store and the lock know single wheels only; layers are counted when a manifest is written, because Docker
refuses more than 125 of them and others more than 127.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bareboat.lock import Wheel
from bareboat.values import dataclass

LAYERS = 100  # in all
WHEELS = 80  # of them at most for wheels; up to here every wheel has a layer of its own
SPARE = 4  # besides base and wheels: removals, the base's bytecode, generated files, code
SOLO = 1 << 20  # bytes of a wheel's file from which it stays alone, once wheels share layers
BUCKETS = 8
_FAMILY = "nvidia-"  # one family: its packages are pinned together, by == of the framework above them
_FAMILY_BUCKET = BUCKETS  # the number of the layer that a family shares


@dataclass(frozen=True)
class WheelGroup:
    """The wheels of one layer, by name. bucket: number of the bucket, or -1 for a wheel that is alone."""

    wheels: tuple[Wheel, ...]
    bucket: int = -1


def budget(base_layers: int) -> int:
    """How many layers wheels may have on a base of so many."""
    return min(WHEELS, LAYERS - base_layers - SPARE)


def group_wheels(wheels: Sequence[Wheel], base_layers: int) -> tuple[WheelGroup, ...]:
    """Layers of wheels, bottom to top: single ones, largest first, then buckets, then a family's.

    Independent of the order of `wheels`. Within the budget each has its own. Over it a wheel of SOLO bytes or more is
    alone, which its own size decides, and the rest go by their project's name: a package that is added, removed or
    upgraded changes one layer, or two when it outgrows its bucket. Where that is still too many, first a family that
    is pinned together shares one, then the smallest single ones go to their buckets. The budget is crossed where a
    package takes one of these sums over it: that regroups once.
    """
    most = budget(base_layers)
    ordered = sorted(wheels, key=lambda w: (-w.size, w.name, w.filename, w.sha256))
    if len(ordered) <= most:
        return tuple(WheelGroup((w,)) for w in ordered)
    solos = [w for w in ordered if w.size >= SOLO]
    family: list[Wheel] = []
    if len(solos) > most - BUCKETS:
        family = [w for w in solos if w.name.startswith(_FAMILY)]
        if len(family) > 1:
            solos = [w for w in solos if w not in family]
        else:
            family = []
    solos = solos[:max(0, most - BUCKETS - bool(family))]
    shared: dict[int, list[Wheel]] = {_FAMILY_BUCKET: family} if family else {}
    for w in ordered:
        if w not in solos and w not in family:
            # A base that leaves less than a budget of buckets has them folded.
            shared.setdefault(bucket_of(w) % max(1, min(BUCKETS, most - bool(family))), []).append(w)
    return (*(WheelGroup((w,)) for w in solos),
            *(WheelGroup(tuple(sorted(shared[n], key=lambda w: (w.name, w.filename))), n) for n in sorted(shared)))


def bucket_of(wheel: Wheel) -> int:
    """The bucket of a project: of its normalised name alone, so that an upgrade stays where it is."""
    return int.from_bytes(hashlib.sha256(wheel.name.encode()).digest(), "big") % BUCKETS
