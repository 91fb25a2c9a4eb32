"""What of this machine is shared among its users, by names that are the same for all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from bareboat.errors import BareboatError
from bareboat.host.gpu.choose import units
from bareboat.host.gpu.values import GpuProcess, Inventory, Unit
from bareboat.lease.values import Holding
from bareboat.queue.policy import Machine
from bareboat.verbs.collaborators import Work


def machine_of(work: Work, holdings: Collection[Holding] = ()) -> Machine:
    """The units of GPUs, processors and memory here. holdings: what is held now: processes of those who hold a unit are
    not foreign on it. The caller's CUDA_VISIBLE_DEVICES bounds nothing: it is not the machine's.
    """
    from bareboat.verbs.grant import machine, specs_of

    try:
        here = machine(specs_of(work), work)
    except BareboatError:  # a CDI file is wrong; who asks for a GPU is told
        here = Inventory()
    found = units(here.gpus)
    owners: dict[str, set[int]] = {}
    for holding in holdings:
        for name, _ in holding.units:
            owners.setdefault(name, set()).add(holding.uid)
    foreign = frozenset(unit_name(unit) for unit in found if is_foreign(unit, owners.get(unit_name(unit), ())))
    return Machine(tuple(unit_name(unit) for unit in found), float(os.cpu_count() or 1), _memory(), foreign)


def unit_name(unit: Unit) -> str:
    """A unit's name among all users: its UUID, which no variable and no restart of the machine changes; where it has
    none the vendor and the index. Good as the name of a file.
    """
    return re.sub(r"[^A-Za-z0-9._:-]", "_", unit.uuid or f"{unit.gpu.vendor}-{unit.name}")


def is_foreign(unit: Unit, holders: Collection[int] = ()) -> bool:
    """Whether a process that nobody's holding accounts for computes on it. holders: the uids of those who hold it. What
    only draws (a desktop) takes a GPU from nobody.
    """
    return any(_is_foreign(process, holders) for process in (unit.mig or unit.gpu).processes if not process.graphics)


def _is_foreign(process: GpuProcess, holders: Collection[int]) -> bool:
    if not holders:
        return True
    try:
        return os.stat(f"/proc/{process.pid}").st_uid not in holders
    except OSError:
        return False  # it has ended, or is not shown to us: the holder's, as far as can be known


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
