"""Which GPUs a run gets, and what of their driver goes in: asked of the machine, checked, said. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bareboat.errors import EngineError, UsageError
from bareboat.host.gpu.choose import units as all_units
from bareboat.host.gpu.values import Inventory, Unit
from bareboat.lease.values import SLOTS, Holding
from bareboat.project.gpus import GpuRequest, parse_gpus
from bareboat.values import TYPE_CHECKING, Any, dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment
from bareboat.verbs.lending import lend, slots_of
from bareboat.verbs.lent import give_back
from bareboat.verbs.machine import unit_name
from bareboat.workload import Device, Driver, Workload

if TYPE_CHECKING:
    from bareboat.host.gpu.specs import Specs

OWN_WAY = ("docker", "podman")  # engines that put NVIDIA's driver in themselves
SHARE = "BAREBOAT_GPU_MEMORY_SHARE"


@dataclass(frozen=True)
class Grant:
    """What was granted. gpus: NVIDIA's, for engines with a way of their own; driver: for the others; devices: nodes
    that every engine is to be told of.
    """

    gpus: str
    driver: Driver
    devices: tuple[Device, ...]
    units: tuple[Unit, ...]
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, Any]:
        """What of a Workload it fills."""
        return {"gpus": self.gpus, "driver": self.driver, "devices": self.devices}


def grant(wanted: GpuRequest, environment: Environment, said: Mapping[str, str], work: Work,
          holding: Holding) -> Grant | None:
    """Choose GPUs, lease them, and say which; None where an optional request cannot be met, which is said too. said:
    the variables that the user or the project set; holding: for which run, and what others are told of it.

    Raises EngineError "gpu.*" where another cannot: a program that was to run on a GPU never runs on the CPU instead.
    LeaseError.
    """
    try:
        try:
            return _grant(wanted, environment, said, work, holding)
        except BaseException:
            give_back(holding.run, work)
            raise
    except EngineError as e:
        if not wanted.optional or not e.code.startswith("gpu."):
            raise
        work.tell.say(f"without a GPU: {f'{e.where}: ' if e.where else ''}{e.what}")
        return None


def _grant(wanted: GpuRequest, environment: Environment, said: Mapping[str, str], work: Work,
           holding: Holding) -> Grant:
    from bareboat.host.kernel import foreign

    if foreign(environment.platform):
        raise EngineError("gpu.platform", f"a program for {environment.platform} is emulated and cannot use a GPU",
                          hint="Take the image of this machine's own platform.")
    specs = specs_of(work)
    here = machine(specs, work)
    units = lend(wanted, here, holding, work)
    nvidia = [unit for unit in units if unit.gpu.vendor == "nvidia"]
    notes = []
    if nvidia:
        _numbering(said, nvidia)
        notes = _check(here, environment, said, work)
    given = _given(units, slots_of(wanted), specs, work)
    driver = replace(given.driver, env=tuple(e for e in given.driver.env if e[0] not in said), holder=holding.run)
    work.tell.say(", ".join(map(str, units)) + (f"; driver {here.driver}" if here.driver and nvidia else ""))
    for note in (*notes, *given.notes):
        work.tell.say(note)
    return replace(given, driver=driver)


def renewed(load: Workload, holding: Holding, work: Work) -> Workload:
    """The workload of a container that is started again, its GPUs leased anew, and with the driver as it is now: it may
    have been updated since.

    Raises EngineError "gpu.*" where its GPUs are not there any more, or somebody has them; LeaseError.
    """
    if not load.driver.granted:
        return load
    specs = specs_of(work)
    share = float(dict(load.driver.env).get(SHARE, 0.0))
    units = lend(replace(parse_gpus(load.driver.granted), share=share), machine(specs, work), holding, work)
    if work.engine.name in OWN_WAY:
        return load
    driver, _ = _driver(units, specs)
    return replace(load, driver=replace(driver, env=load.driver.env, granted=load.driver.granted, holder=holding.run))


def granted_to(load: Workload, held: Sequence[tuple[str, int]], work: Work) -> Workload:
    """A queued run's workload with the units that are leased for it, as Holding.units: which GPUs they are here, what
    of the driver goes in, and of a share the variables that say so. Leases nothing.

    Raises EngineError "gpu.gone" where one is not there any more, and what granting raises.
    """
    specs = specs_of(work)
    here = {unit_name(unit): unit for unit in all_units(machine(specs, work).gpus)}
    missing = [name for name, _ in held if name not in here]
    if missing:
        raise EngineError("gpu.gone", f"the GPU {missing[0]} is not there any more", hint="see: bareboat gpus")
    if not held:
        return load
    said = dict(load.env)
    given = _given([here[name] for name, _ in held], min(slots for _, slots in held), specs, work)
    driver = replace(given.driver, env=tuple(e for e in given.driver.env if e[0] not in said))
    return replace(load, gpus=given.gpus, driver=driver, devices=given.devices)


def granted_by_others(load: Workload, granted: str, work: Work) -> Workload:
    """As granted_to, of GPUs that a scheduler has leased by itself, as --gpus has them. Where it hides all others, what
    is seen is counted from 0 again, and all of it is meant.
    """
    from bareboat.host.gpu.choose import choose

    specs = specs_of(work)
    here, wanted = machine(specs, work), parse_gpus(granted)
    units = all_units(here.gpus)
    if len(units) != len(wanted.names):
        units = list(choose(wanted, here))
    said = dict(load.env)
    given = _given(units, SLOTS, specs, work)
    driver = replace(given.driver, env=tuple(e for e in given.driver.env if e[0] not in said))
    return replace(load, gpus=given.gpus, driver=driver, devices=given.devices)


def _given(units: Sequence[Unit], slots: int, specs: Specs, work: Work) -> Grant:
    """What the engine in force is told of these units and given for them."""
    nvidia = [unit for unit in units if unit.gpu.vendor == "nvidia"]
    gpus = f"device={','.join(unit.name for unit in nvidia)}" if nvidia else ""
    notes: list[str] = []
    if work.engine.name in OWN_WAY:
        gpus = _podmans(nvidia, specs) if work.engine.name == "podman" and nvidia else gpus
        driver, devices = Driver(), _amd(units)
    else:
        driver, notes = _driver(units, specs)
        devices = ()
    granted = f"device={','.join(unit.name for unit in units)}"
    driver = replace(driver, env=(*driver.env, *share_variables(slots)), granted=granted)
    return Grant(gpus, driver, devices, tuple(units), tuple(notes))


def share_variables(slots: int) -> tuple[tuple[str, str], ...]:
    """What tells frameworks to keep to a share of the memory; nothing makes them."""
    if slots >= SLOTS:
        return ()
    share = slots / SLOTS
    return ((SHARE, f"{share:.4f}"), ("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{share * 0.9:.2f}"),
            ("TF_FORCE_GPU_ALLOW_GROWTH", "true"))


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


def feasible(environment: Environment, said: Mapping[str, str], work: Work) -> list[str]:
    """Notes on a run that shall get GPUs of this machine later. Raises EngineError "gpu.*" where driver and CUDA can
    never go together.
    """
    return _check(machine(specs_of(work), work), environment, said, work)


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
