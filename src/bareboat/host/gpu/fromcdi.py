"""GPUs by CDI: what is granted for them, and where nobody else can say, which there are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bareboat.errors import EngineError
from bareboat.host.gpu.cdi import CdiDevice, Spec
from bareboat.host.gpu.edits import Merged, merge
from bareboat.host.gpu.specs import KINDS, Specs
from bareboat.host.gpu.values import Gpu, Inventory, Unit
from bareboat.values import replace

ALL = "all"  # the device of every GPU


def inventory_of(specs: Specs) -> Inventory:
    """The GPUs that specifications name by number, where neither NVML nor the kernel told of any."""
    gpus: list[Gpu] = []
    for vendor, kind in KINDS.items():
        found = {d.name: d for spec in reversed(specs.of(kind)) for d in spec.devices}
        for name in sorted((n for n in found if n.isdigit()), key=int):
            nodes = tuple(node.host for node in found[name].edits.nodes)
            gpus.append(Gpu(len(gpus), "", f"{kind}={name}", vendor, nodes=nodes))
    return Inventory(tuple(gpus))


def granted(units: Sequence[Unit], specs: Specs) -> Merged:
    """What these GPUs need by their vendors' specifications. Raises EngineError "gpu.cdi-device", "gpu.cdi"."""
    chosen = dict.fromkeys((spec, device.name) for spec, device in (described(unit, specs) for unit in units))
    merged = merge(chosen)
    whole = [f"{spec.file} names all GPUs together: every one of them can be seen" for spec, name in chosen
             if name == ALL]
    return replace(merged, notes=(*merged.notes, *whole))


def described(unit: Unit, specs: Specs) -> tuple[Spec, CdiDevice]:
    """The device of a unit: by UUID, by its nodes, by index; of a specification that knows all together alone, as WSL's
    and Tegra's, that. Raises EngineError "gpu.cdi-device", "gpu.cdi".
    """
    kind = KINDS[unit.gpu.vendor]
    found = (specs.device(kind, (unit.uuid,)) or _by_nodes(unit, specs.of(kind))
             or specs.device(kind, _numbers(unit)))
    if found is None and all(device.name == ALL for spec in specs.of(kind) for device in spec.devices):
        found = specs.device(kind, (ALL,))
    if found is None:
        files = ", ".join(spec.file for spec in specs.of(kind))
        raise EngineError("gpu.cdi-device", f"{unit} is not in the CDI specification", where=files,
                          hint="It may be older than this GPU or instance; make it anew, for NVIDIA: "
                               "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml")
    return found


def _by_nodes(unit: Unit, specs: Sequence[Spec]) -> tuple[Spec, CdiDevice] | None:
    """The device with exactly the nodes of this GPU among the numbered ones: an index may have moved since."""
    wanted = {*unit.gpu.nodes, *(unit.mig.nodes if unit.mig else ())}
    for spec in specs:
        for device in spec.devices:
            have = {node.host for node in device.edits.nodes}
            if wanted and device.name != ALL and wanted <= have and not _others(have, unit):
                return spec, device
    return None


def _others(nodes: set[str], unit: Unit) -> bool:
    """Whether there is a node of another GPU or instance among these."""
    own = {*unit.gpu.nodes, *(unit.mig.nodes if unit.mig else ())}
    foreign = re.compile(r"/dev/nvidia[0-9]+|/dev/nvidia-caps/.*|/dev/dri/renderD[0-9]+")
    return any(foreign.fullmatch(node) and node not in own for node in nodes)


def _numbers(unit: Unit) -> tuple[str, ...]:
    if unit.mig:
        return (f"{unit.gpu.index}:{unit.mig.index}",)
    kind, equals, number = unit.gpu.name.partition("=")
    if equals and kind == KINDS[unit.gpu.vendor]:
        return (number,)
    return (str(unit.gpu.index),) if unit.gpu.vendor == "nvidia" else ()
