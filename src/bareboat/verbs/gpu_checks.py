"""doctor's lines on GPUs: driver, device nodes, CDI specifications, NVIDIA's toolkit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from bareboat.engine.base import Check
from bareboat.errors import EngineError
from bareboat.host.gpu.specs import KINDS, Specs
from bareboat.host.gpu.values import Inventory
from bareboat.verbs.collaborators import Work

TOOLKIT = ("nvidia-ctk", "nvidia-container-runtime", "nvidia-container-cli")


def checks(work: Work, root: Path = Path("/")) -> Iterator[Check]:
    """One line where there is no GPU, the rest where there is one. root: where /dev is."""
    from bareboat.host.gpu.inventory import inventory
    from bareboat.verbs.gpus import describe
    from bareboat.verbs.grant import specs_of

    here, specs = inventory(work.settings.gpu_nvml), specs_of(work)
    if here.gpus:
        yield Check("GPU driver", not here.broken, "; ".join((describe(here), *here.missing)),
                    "bareboat gpus lists those that can be used")
    else:
        yield Check("GPU driver", not here.broken, "; ".join(here.missing), "until then runs have no GPU")
    yield from _nodes(here, root)
    yield from _specs(specs, here)
    if any(gpu.vendor == "nvidia" for gpu in here.gpus):
        found = next((path for name in TOOLKIT if (path := shutil.which(name))), "")
        yield Check("GPU toolkit", bool(found), found or "NVIDIA's container toolkit is not installed",
                    "only docker and podman need it: apt install nvidia-container-toolkit, from NVIDIA's archive")


def _nodes(here: Inventory, root: Path) -> Iterator[Check]:
    from bareboat.host.gpu.driver import check_node, nodes_of

    if not here.gpus:
        return
    bad: dict[tuple[str, str], list[str]] = {}
    for node in nodes_of(here.gpus):
        try:
            check_node(root / node[1:])
        except EngineError as e:
            bad.setdefault((e.what, e.hint), []).append(e.where)
    if bad:
        detail = "; ".join(f"{', '.join(nodes)}: {what}" for (what, _), nodes in bad.items())
        yield Check("GPU nodes", False, detail, next(hint for _, hint in bad))
    else:
        yield Check("GPU nodes", True, f"{', '.join(nodes_of(here.gpus))} can be used")


def _specs(specs: Specs, here: Inventory) -> Iterator[Check]:
    """The specifications, each tried as a run would: what it names may be gone since a driver's update."""
    from bareboat.host.gpu.edits import merge

    for error, kinds in specs.broken:
        if kinds:
            yield Check("GPU CDI", False, f"{error.where}: {error.what}", error.hint)
    for spec in specs.specs:
        if spec.kind in KINDS.values():
            names = ", ".join(device.name for device in spec.devices)
            try:
                notes = merge((spec, device.name) for device in spec.devices if device.name != "all").notes
            except EngineError as e:
                yield Check("GPU CDI", False, f"{e.where}: {e.what}", e.hint)
            else:
                yield Check("GPU CDI", True, "; ".join((f"{spec.file}: {spec.kind}: {names}", *notes)))
    if here.gpus and not specs.broken and not any(spec.kind in KINDS.values() for spec in specs.specs):
        yield Check("GPU CDI", True, "no specification; the driver's files are found by the loader's cache")
