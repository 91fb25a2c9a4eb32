"""Which GPUs a run gets, and what of their driver goes in: asked of the machine, checked, said. Starts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bareboat.errors import BareboatError, EngineError, UsageError
from bareboat.host.gpu.choose import choose
from bareboat.host.gpu.values import Inventory, Unit
from bareboat.project.gpus import GpuRequest, parse_gpus
from bareboat.values import TYPE_CHECKING, Any, dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment
from bareboat.workload import Device, Driver, Workload

if TYPE_CHECKING:
    from bareboat.host.gpu.specs import Specs

OWN_WAY = ("docker", "podman")  # engines that put NVIDIA's driver in themselves


@dataclass(frozen=True)
class Grant:
    """What was granted. gpus: NVIDIA's, for engines with a way of their own; driver: for the others; devices: nodes
    that every engine is to be told of.
    """

    gpus: str
    driver: Driver
    devices: tuple[Device, ...]
    units: tuple[Unit, ...]

    @property
    def parts(self) -> dict[str, Any]:
        """What of a Workload it fills."""
        return {"gpus": self.gpus, "driver": self.driver, "devices": self.devices}


def grant(wanted: GpuRequest, environment: Environment, said: Mapping[str, str], work: Work) -> Grant | None:
    """Choose GPUs and say which; None where an optional request cannot be met, which is said too. said: the variables
    that the user or the project set.

    Raises EngineError "gpu.*" where another cannot: a program that was to run on a GPU never runs on the CPU instead.
    """
    try:
        return _grant(wanted, environment, said, work)
    except EngineError as e:
        if not wanted.optional or not e.code.startswith("gpu."):
            raise
        work.tell.say(f"without a GPU: {f'{e.where}: ' if e.where else ''}{e.what}")
        return None


def _grant(wanted: GpuRequest, environment: Environment, said: Mapping[str, str], work: Work) -> Grant:
    from bareboat.host.kernel import foreign

    if foreign(environment.platform):
        raise EngineError("gpu.platform", f"a program for {environment.platform} is emulated and cannot use a GPU",
                          hint="Take the image of this machine's own platform.")
    specs = specs_of(work)
    here = machine(specs, work)
    units = _choose(wanted, here, work)
    nvidia = [unit for unit in units if unit.gpu.vendor == "nvidia"]
    notes = []
    if nvidia:
        _numbering(said, nvidia)
        notes = _check(here, environment, said, work)
    gpus = f"device={','.join(unit.name for unit in nvidia)}" if nvidia else ""
    if work.engine.name in OWN_WAY:
        gpus = _podmans(nvidia, specs) if work.engine.name == "podman" and nvidia else gpus
        driver, devices = Driver(), _amd(units)
    else:
        driver, more = _driver(units, specs)
        notes += more
        driver, devices = replace(driver, env=tuple(e for e in driver.env if e[0] not in said)), ()
    work.tell.say(", ".join(map(str, units)) + (f"; driver {here.driver}" if here.driver and nvidia else ""))
    for note in notes:
        work.tell.say(note)
    granted = f"device={','.join(unit.name for unit in units)}"
    return Grant(gpus, replace(driver, granted=granted), devices, units)


def renewed(load: Workload, work: Work) -> Workload:
    """The workload of a container that is started again, with the driver as it is now: it may have been updated since.

    Raises EngineError "gpu.*" where its GPUs are not there any more.
    """
    if not load.driver.granted or work.engine.name in OWN_WAY:
        return load
    specs = specs_of(work)
    units = choose(parse_gpus(load.driver.granted), machine(specs, work))
    driver, _ = _driver(units, specs)
    return replace(load, driver=replace(driver, env=load.driver.env, granted=load.driver.granted))


def specs_of(work: Work) -> Specs:
    """The CDI specifications of this machine."""
    from bareboat.host.gpu.specs import read_specs

    return read_specs(Path(folder) for folder in work.settings.gpu_cdi.split(":") if folder)


def machine(specs: Specs, work: Work) -> Inventory:
    """The GPUs here: by their drivers, else by what the specifications name."""
    from bareboat.host.gpu.fromcdi import inventory_of
    from bareboat.host.gpu.inventory import inventory

    here = inventory(work.settings.gpu_nvml)
    return here if here.gpus else replace(inventory_of(specs), missing=here.missing, broken=here.broken)


def _choose(wanted: GpuRequest, here: Inventory, work: Work) -> tuple[Unit, ...]:
    """The units; a number of them with regard to what containers have, and commands that start at this moment take."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not wanted.count:
        return choose(wanted, here, visible)
    with work.store.claims() as claims:
        units = choose(wanted, here, visible, _held(work) | {name.removeprefix("gpu-") for name in claims.others})
        claims.take([f"gpu-{unit.name}" for unit in units])
    return units


def _held(work: Work) -> set[str]:
    """Names of the units that this user's running containers were granted."""
    from bareboat.verbs import containers
    from bareboat.verbs.runs import load

    found: set[str] = set()
    for run, _ in containers.known(work.store):
        if work.store.runs.is_alive(run):
            try:
                found.update(load(work.store, run).gpus.removeprefix("device=").split(","))
            except BareboatError:
                continue  # it ends at this moment
    return found


def _driver(units: Sequence[Unit], specs: Specs) -> tuple[Driver, list[str]]:
    """What the units need: of vendors with a specification by it, of the others by the machine's own files."""
    from bareboat.host.gpu.driver import driver_of, topology
    from bareboat.host.gpu.fromcdi import granted
    from bareboat.host.gpu.modprobe import make_nodes
    from bareboat.host.gpu.specs import KINDS

    if any(unit.gpu.vendor == "nvidia" for unit in units):
        make_nodes()
    described = [u for u in units if specs.of(KINDS[u.gpu.vendor])]
    others = [u for u in units if u not in described]
    merged = granted(described, specs)
    parts = [merged.driver, *([driver_of(others)] if others else ()), Driver(mounts=topology())]

    def all_of(name: str) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(each for part in parts for each in getattr(part, name)))

    driver = Driver(all_of("devices"), all_of("mounts"), all_of("links"), all_of("libraries"), all_of("env"))
    return driver, list(merged.notes)


def _podmans(nvidia: Sequence[Unit], specs: Specs) -> str:
    """NVIDIA's GPUs by the names that podman will look for in the same specifications."""
    from bareboat.host.gpu.fromcdi import described

    if not specs.of("nvidia.com/gpu"):
        raise EngineError("gpu.podman", "podman takes NVIDIA's GPUs by a CDI specification, and there is none",
                          hint="sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml")
    return f"device={','.join(described(unit, specs)[1].name for unit in nvidia)}"


def _amd(units: Sequence[Unit]) -> tuple[Device, ...]:
    """The nodes of AMD's GPUs: all that they need on any engine."""
    from bareboat.host.gpu.driver import driver_of

    found = [unit for unit in units if unit.gpu.vendor == "amd"]
    return driver_of(found).devices if found else ()


def _check(here: Inventory, environment: Environment, said: Mapping[str, str], work: Work) -> list[str]:
    """Notes on driver and CUDA; what cannot run is an error before anything starts."""
    from bareboat.host.gpu import cuda
    from bareboat.verbs.images import plan_of

    if here.cuda is None or not here.driver:
        return []
    env = {**dict(environment.env), **said}
    cuda.require(env.get("NVIDIA_REQUIRE_CUDA", ""), env, here.driver, here.cuda)
    plan = plan_of(environment.plan_blob, work)
    need = cuda.needs((wheel.name, wheel.version) for wheel in plan.wheels)
    note = cuda.check(need, here.driver, here.cuda) if need else ""
    return [note] if note else []


def _numbering(said: Mapping[str, str], nvidia: Sequence[Unit]) -> None:
    """Refuse a CUDA_VISIBLE_DEVICES by this machine's numbers: CUDA would see no GPU and say nothing.

    Raises UsageError "gpu.numbering".
    """
    text = said.get("CUDA_VISIBLE_DEVICES", "")
    known = [unit.uuid for unit in nvidia]
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name.isdigit() and int(name) < len(known):
            continue
        if name != "-1" and not any(uuid.startswith(name) for uuid in known if uuid and not name.isdigit()):
            raise UsageError("gpu.numbering", f"{name!r} is none of the {len(known)} GPUs granted: inside they are "
                             "numbered from 0", where="CUDA_VISIBLE_DEVICES",
                             hint="Leave the variable out: what --gpus grants is all that can be seen.")
