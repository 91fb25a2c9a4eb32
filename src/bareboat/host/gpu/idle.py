"""Whether a container does anything with its GPUs: the GPU's half of --idle-stop."""

from __future__ import annotations

from pathlib import Path

from bareboat.errors import BareboatError


def busy(granted: str, pids: frozenset[int], since: float, library: Path | None = None) -> bool:
    """Whether these processes used one of the GPUs granted ("device=0,1") since a time (seconds since the epoch).

    What is not known counts as use, since a program on a GPU that is stopped loses more than an idle one that is kept:
    a driver that cannot be asked, and a MIG instance or an AMD GPU with work that may be another's, while one of the
    processes has memory there.
    """
    from bareboat.host.gpu import nvml
    from bareboat.host.gpu.choose import choose
    from bareboat.host.gpu.inventory import inventory
    from bareboat.project.gpus import parse_gpus

    try:
        units = choose(parse_gpus(granted), inventory(library))
        whole = tuple(u.gpu.uuid for u in units if u.gpu.vendor == "nvidia" and u.mig is None)
        used = nvml.activity(whole, pids, int(since * 1e6), library) if whole else 0
    except (BareboatError, nvml.Unavailable):
        return True
    if used:
        return True
    for unit in units:
        of = unit.mig or unit.gpu
        if used is not None and unit.gpu.uuid in whole:
            continue
        has_memory = any(process.pid in pids for process in of.processes)
        if has_memory and (unit.mig is not None or unit.gpu.utilisation is None or unit.gpu.utilisation > 0):
            return True
    return False
