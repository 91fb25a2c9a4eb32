"""All GPUs of this machine, of every vendor, and why there is none where there is none."""

from __future__ import annotations

from pathlib import Path

from bareboat.host.gpu.values import Inventory


def inventory(library: Path | None = None, root: Path = Path("/")) -> Inventory:
    """What the drivers say now. library: NVML where it is not the loader's; root: where /proc and /sys are."""
    from bareboat.host.gpu import amd, nvml

    try:
        found = nvml.inventory(library, root)
    except nvml.Unavailable as e:
        found = Inventory(missing=(e.why,), broken=e.installed)
    others = amd.gpus(root, len(found.gpus))
    missing = found.missing if found.gpus or others else (*found.missing, "there is no AMD GPU in /sys/class/kfd")
    return Inventory((*found.gpus, *others), found.driver, found.cuda, missing, found.broken)
