"""What of a machine is free, and where a need fits into it. Pure; copied cheaply, so that futures can be tried."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bareboat.lease.values import SLOTS, Holding
from bareboat.queue.policy_values import Machine, Units
from bareboat.training.values import Need

MOST = 1e9  # of anything that others say: a number beyond it was not meant


def slots_of(need: Need) -> tuple[int, int]:
    """(GPUs, SLOTS-ths of each) of a need; (0, 0) for none."""
    gpus = _sane(need.gpus)
    if gpus <= 0:
        return 0, 0
    if gpus < 1:
        return 1, max(1, min(SLOTS, round(gpus * SLOTS)))
    return math.ceil(gpus), SLOTS


def cpus_of(need: Need) -> float:
    """CPUs that a need counts for: what was said, else one where it has no GPU. A run on GPUs that says nothing of CPUs
    waits for none.
    """
    said = _sane(need.cpus)
    return said if said > 0 else 0.0 if need.gpus > 0 else 1.0


def weight_of(units: Units, cpus: float) -> float:
    """How much of a machine this is, in GPUs; CPUs count where there is no GPU in it, 64 for one."""
    gpus = sum(slots for _, slots in units) / SLOTS
    return gpus if gpus else cpus / 64


def weight_wanted(need: Need) -> float:
    """As weight_of, of a need."""
    count, slots = slots_of(need)
    return count * slots / SLOTS if count else cpus_of(need) / 64


def cpus_held(holding: Holding) -> float:
    """As cpus_of, of what is held."""
    return cpus_of(Need(float(len(holding.units)), holding.cpus))


def _sane(number: float) -> float:
    return number if 0 <= number <= MOST else 0.0


class Room:
    """free: unit → twelfths that are free, in the machine's order."""

    def __init__(self, free: dict[str, int], cpus: float, memory: float) -> None:
        self.free, self.cpus, self.memory = free, cpus, memory

    @staticmethod
    def of(machine: Machine, holdings: Iterable[Holding] = ()) -> Room:
        """What these holdings leave; what processes outside of bareboat use is not there."""
        room = Room({unit: 0 if unit in machine.foreign else SLOTS for unit in machine.units}, machine.cpus,
                    machine.memory or math.inf)
        for holding in holdings:
            room.take(holding.units, cpus_held(holding), holding.memory)
        return room

    def copy(self) -> Room:
        """Another one, as it is now."""
        return Room(dict(self.free), self.cpus, self.memory)

    def take(self, units: Units, cpus: float, memory: float) -> None:
        """It is used from now on."""
        for unit, slots in units:
            if unit in self.free:
                self.free[unit] -= slots
        self.cpus -= cpus
        self.memory -= memory

    def give(self, units: Units, cpus: float, memory: float) -> None:
        """It is free from now on."""
        self.take(tuple((unit, -slots) for unit, slots in units), -cpus, -memory)

    def fit(self, need: Need) -> Units | None:
        """Units for a need, None where it does not fit. A share goes where least is left over, so that whole GPUs stay
        whole; whole ones are taken in the machine's order.
        """
        if self.cpus + 1e-9 < cpus_of(need) or self.memory < max(need.memory, 0):
            return None
        count, slots = slots_of(need)
        if not count:
            return ()
        found = [unit for unit, free in self.free.items() if free >= slots]
        if len(found) < count:
            return None
        if slots < SLOTS:
            found.sort(key=lambda unit: self.free[unit])  # stable: of equals the first
        return tuple((unit, slots) for unit in found[:count])
