"""Which GPUs a run gets, and what of their driver goes in: asked of the machine, checked, said. Starts nothing."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.errors import EngineError
from bareboat.host.gpu.choose import choose
from bareboat.host.gpu.values import Inventory, Unit
from bareboat.project.gpus import GpuRequest
from bareboat.values import TYPE_CHECKING, dataclass
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment
from bareboat.workload import Driver

if TYPE_CHECKING:
    from bareboat.host.gpu.specs import Specs


@dataclass(frozen=True)
class Grant:
    """What was granted. gpus: canonical, "device=0,MIG-…"; driver: for engines without a way of their own."""

    gpus: str
    driver: Driver
    units: tuple[Unit, ...]


def grant(wanted: GpuRequest, environment: Environment, work: Work) -> Grant | None:
    """Choose GPUs and say which; None where an optional request cannot be met, which is said too.

    Raises EngineError "gpu.*" where another cannot: a program that was to run on a GPU never runs on the CPU instead.
    """
    try:
        return _grant(wanted, environment, work)
    except EngineError as e:
        if not wanted.optional or not e.code.startswith("gpu."):
            raise
        work.tell.say(f"without a GPU: {f'{e.where}: ' if e.where else ''}{e.what}")
        return None


def _grant(wanted: GpuRequest, environment: Environment, work: Work) -> Grant:
    from bareboat.host.gpu import fromcdi
    from bareboat.host.kernel import foreign

    if foreign(environment.platform):
        raise EngineError("gpu.platform", f"a program for {environment.platform} is emulated and cannot use a GPU",
                          hint="Take the image of this machine's own platform.")
    specs = _specs(work)
    here = _inventory(specs, work)
    units = choose(wanted, here, os.environ.get("CUDA_VISIBLE_DEVICES"))
    merged = fromcdi.granted(units, specs)
    work.tell.say(", ".join(map(str, units)) + (f"; driver {here.driver}" if here.driver else ""))
    for note in merged.notes:
        work.tell.say(note)
    return Grant(f"device={','.join(unit.name for unit in units)}", merged.driver, units)


def _specs(work: Work) -> Specs:
    from bareboat.host.gpu.specs import read_specs

    return read_specs(Path(folder) for folder in work.settings.gpu_cdi.split(":") if folder)


def _inventory(specs: Specs, work: Work) -> Inventory:
    from bareboat.host.gpu.fromcdi import inventory_of

    return inventory_of(specs)
