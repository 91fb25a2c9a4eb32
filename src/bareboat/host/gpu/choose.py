"""Which GPUs a request gets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bareboat.errors import EngineError
from bareboat.host.gpu.values import Gpu, Inventory, Unit
from bareboat.project.gpus import GpuRequest

NONE: Mapping[str, int] = {}


def units(gpus: Iterable[Gpu]) -> list[Unit]:
    """What can be granted of these: GPUs, and of a GPU in MIG mode its instances instead."""
    return [unit for gpu in gpus for unit in ([Unit(gpu, mig) for mig in gpu.migs] if gpu.mig else [Unit(gpu)])]


def choose(wanted: GpuRequest, here: Inventory, visible: str | None = None,
           last: Mapping[str, int] = NONE) -> tuple[Unit, ...]:
    """The units of a request, in the order of their indexes: by name as said, by number those with least to do.

    visible: the caller's own CUDA_VISIBLE_DEVICES, which bounds "all" and a number as it bounds a program outside.
    last: of names of units, where they are in the order before anything else is looked at; 0 where it is not said.
    Raises EngineError "gpu.none", "gpu.too-few", "gpu.unknown", "gpu.mig".
    """
    have = units(here.gpus)
    if not here.gpus:
        raise EngineError("gpu.none", "there is no GPU here: " + ("; ".join(here.missing) or "none was found"),
                          hint="`bareboat gpus` says what was looked for. Leave out --gpus to run on the CPU, or write "
                               'gpu = "optional" in bareboat.toml.')
    if wanted.names:
        found = [unit for name in wanted.names for unit in _named(name, here, have)]
        return tuple(dict.fromkeys(found))
    if visible is not None:
        have = _visible(visible, have)
    count = len(have) if wanted.all else 1 if wanted.share else wanted.count
    if count > len(have) or not have:
        bound = f" that CUDA_VISIBLE_DEVICES={visible} leaves" if visible is not None else ""
        raise EngineError("gpu.too-few", f"{count or 'all'} GPUs are asked for, and {len(have)} are here{bound}",
                          hint="`bareboat gpus` lists them.")
    # stable: of equals the lowest index
    taken = sorted(have, key=lambda unit: (last.get(unit.name, 0), unit.busy))[:count]
    return tuple(unit for unit in have if unit in taken)


def _named(name: str, here: Inventory, have: list[Unit]) -> list[Unit]:
    index, colon, instance = name.partition(":")
    if index.isdigit():
        found = [u for u in have if u.gpu.index == int(index)
                 and (not colon or (u.mig is not None and u.mig.index == int(instance)))]
    else:
        found = [u for u in have if name in (u.uuid, u.gpu.uuid) or (u.uuid.startswith(name) and len(name) >= 8)]
        exact = [u for u in found if name in (u.uuid, u.gpu.uuid)]
        found = exact or found
        if len(found) > 1 and not exact:
            raise EngineError("gpu.unknown", f"{name} begins the UUIDs of {len(found)} GPUs", hint="Write more of it.")
    if found:
        return found
    if any(g.mig and (str(g.index) == index or g.uuid == name) for g in here.gpus) and not colon:
        raise EngineError("gpu.mig", f"GPU {name} is in MIG mode and has no instance",
                          hint="Its administrator makes them: nvidia-smi mig -cgi …")
    known = ", ".join(f"{u.gpu.index}:{u.mig.index}" if u.mig else u.name for u in have)
    raise EngineError("gpu.unknown", f"there is no GPU {name} here", hint=f"There are: {known or 'none'}.")


def _visible(text: str, have: list[Unit]) -> list[Unit]:
    """As CUDA reads the variable: what stands behind a name that there is not is not seen either."""
    found: list[Unit] = []
    for name in text.split(","):
        name = name.strip()
        match = [u for u in have if u not in found and (
            str(u.gpu.index) == name if name.isdigit() else bool(name) and u.uuid.startswith(name))]
        if not match:
            break
        found += match if name.isdigit() else match[:1]
    return [unit for unit in have if unit in found]
