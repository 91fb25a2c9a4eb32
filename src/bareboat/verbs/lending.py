"""GPUs of this machine for what a command starts: chosen among those that nobody has, and who has the others."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Mapping, Sequence

from bareboat.errors import EngineError
from bareboat.host.gpu.choose import choose
from bareboat.host.gpu.choose import units as units_of
from bareboat.host.gpu.values import Inventory, Unit
from bareboat.lease.base import Leases
from bareboat.lease.values import SLOTS, Holding
from bareboat.project.gpus import GpuRequest
from bareboat.values import replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.lent import leases_of
from bareboat.verbs.machine import is_foreign, unit_name


def slots_of(wanted: GpuRequest) -> int:
    """How much of each unit a request is about, in SLOTS-ths."""
    return math.ceil(round(wanted.share * SLOTS, 6)) if wanted.share else SLOTS


def lend(wanted: GpuRequest, here: Inventory, holding: Holding, work: Work) -> tuple[Unit, ...]:
    """Choose units and hold them for a run, by its id in work.lent, until it is handed over or given back.

    Raises EngineError as choose does, and "gpu.taken" where others have them; LeaseError.
    """
    leases, slots = leases_of(work), slots_of(wanted)
    visible = None if wanted.names else os.environ.get("CUDA_VISIBLE_DEVICES")
    with leases.turn():
        others = leases.holdings()
        used = _used(others)
        full = {name for name, held in used.items() if held + slots > SLOTS}
        while True:
            last = {unit.name: _rank(unit_name(unit), full, used if wanted.share else {})
                    for unit in units_of(here.gpus)}
            chosen = choose(wanted, here, visible, last)
            lease = None
            if not full.intersection(map(unit_name, chosen)):
                lease = leases.take(replace(holding, units=tuple((unit_name(unit), slots) for unit in chosen)))
            else:  # what cannot be had is chosen last: there is nothing else
                raise _taken(wanted, [u for u in chosen if unit_name(u) in full], others, work)
            if lease is not None:
                work.lent.held[holding.run] = lease
                break
            full |= _unavailable(chosen, holding, slots, leases) or set(map(unit_name, chosen))
    for unit in chosen:
        owners = {other.uid for other in others if unit_name(unit) in dict(other.units)}
        if is_foreign(unit, owners):
            work.tell.say(f"{unit}: a process outside of bareboat is on it; `bareboat gpus` shows it")
    return chosen


def who(name: str, others: Collection[Holding], work: Work) -> str:
    """Who has a unit, in words: "alice's training unet until 14:05, …"."""
    found = [_holder(other) for other in others if name in dict(other.units)]
    if found:
        return ", ".join(found)
    lockers = [f"process {pid} of {user_of(pid)}" for pid in leases_of(work).lockers(name)]
    return ", ".join(lockers) + ", who does not say for what" if lockers else "somebody who does not say so"


def user_name(uid: int) -> str:
    """As this machine calls a user."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def user_of(pid: int) -> str:
    """Whose a process is."""
    try:
        return user_name(os.stat(f"/proc/{pid}").st_uid)
    except OSError:
        return "somebody"


def until(holding: Holding) -> str:
    """When it must end, as people say it; "" where it need not."""
    if not holding.ends:
        return ""
    at, now = time.localtime(min(holding.ends, 1e11)), time.localtime()
    day = "" if at[:3] == now[:3] else time.strftime("%a %d %b ", at)
    return f"until {day}{time.strftime('%H:%M', at)}"


def _holder(other: Holding) -> str:
    share = {slots for _, slots in other.units}
    part = f" ({max(share)}/{SLOTS} of it)" if share and max(share) < SLOTS else ""
    whose = "your" if other.uid == os.geteuid() else f"{user_name(other.uid)}'s"
    end = until(other)
    return f"{whose} {other.kind} {other.name or other.run}{part}" + (f" {end}" if end else "")


def _taken(wanted: GpuRequest, missing: Sequence[Unit], others: Collection[Holding], work: Work) -> EngineError:
    shown = "; ".join(f"GPU {unit.gpu.index}{f':{unit.mig.index}' if unit.mig else ''} has "
                      f"{who(unit_name(unit), others, work)}" for unit in missing[:8])
    asked = wanted.share or wanted.count or len(wanted.names) or "all"
    part = "" if wanted.share else "take a share of one with --gpus 0.5; "
    queued = asked if wanted.count or wanted.share else len(wanted.names) or 1
    return EngineError("gpu.taken", f"the GPUs asked for ({asked}) are not free: {shown}",
                       hint=f"{part}wait for them in the queue: bareboat train --gpus {queued} -- …; "
                            "bareboat gpus shows who has what")


def _used(others: Collection[Holding]) -> dict[str, int]:
    used: dict[str, int] = {}
    for holding in others:
        for unit, slots in holding.units:
            used[unit] = used.get(unit, 0) + slots
    return used


def _rank(name: str, full: Collection[str], used: Mapping[str, int]) -> int:
    """What to take last sorts last: what cannot be had; of shares, a unit of which nobody has a part yet."""
    return SLOTS + 1 if name in full else -used.get(name, 0)


def _unavailable(chosen: Sequence[Unit], holding: Holding, slots: int, leases: Leases) -> set[str]:
    """Which of these it was that could not be had, though nobody says that he has them."""
    found = set()
    for name in map(unit_name, chosen):
        lease = leases.take(replace(holding, units=((name, slots),)))
        if lease is None:
            found.add(name)
        else:
            lease.release()
    return found
