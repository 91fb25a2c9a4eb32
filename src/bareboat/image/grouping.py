"""Which wheels share a layer: a pure function of the wheels and of how many layers there may be.

The store and the lock know single wheels only; layers are counted when a manifest is written, because Docker
refuses more than 125 of them and others more than 127.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bareboat.lock import Wheel
from bareboat.values import dataclass

LAYERS = 120  # in all; up to here every wheel has a layer of its own
SOLO = 1 << 20  # bytes of a wheel's file from which it stays alone
BUCKETS = 8
SOLOS = 80 - BUCKETS  # at most, once wheels share layers


@dataclass(frozen=True)
class WheelGroup:
    """The wheels of one layer, by name. bucket: number of the bucket, or -1 for a wheel that is alone."""

    wheels: tuple[Wheel, ...]
    bucket: int = -1


def group_wheels(wheels: Sequence[Wheel], others: int) -> tuple[WheelGroup, ...]:
    """Layers of wheels, bottom to top: single ones, largest first, then buckets. others: layers besides wheels.

    Independent of the order of `wheels`. Where they share layers at all, a wheel of SOLO bytes or more is alone,
    which its own size decides, and the rest go by their project's name: a package that is added, removed or
    upgraded changes one layer, or two when it outgrows its bucket. The smallest of too many single ones are put
    into their buckets too; and a package that takes the sum over LAYERS regroups all, once.
    """
    ordered = sorted(wheels, key=lambda w: (-w.size, w.name, w.filename, w.sha256))
    if len(ordered) + others <= LAYERS:
        return tuple(WheelGroup((w,)) for w in ordered)
    solos = [w for w in ordered if w.size >= SOLO][:SOLOS]
    shared: dict[int, list[Wheel]] = {}
    for w in ordered:
        if w not in solos:
            shared.setdefault(bucket_of(w), []).append(w)
    return (*(WheelGroup((w,)) for w in solos),
            *(WheelGroup(tuple(sorted(shared[n], key=lambda w: (w.name, w.filename))), n) for n in sorted(shared)))


def bucket_of(wheel: Wheel) -> int:
    """The bucket of a project: of its normalised name alone, so that an upgrade stays where it is."""
    return int.from_bytes(hashlib.sha256(wheel.name.encode()).digest(), "big") % BUCKETS
