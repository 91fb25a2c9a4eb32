"""What an attempt used, for its record."""

from __future__ import annotations

from bareboat.host.files import processors
from bareboat.record.gathered import Curve, Used
from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.supervisor.meter import Meter
    from bareboat.workload import Limits


def used_of(meter: Meter, limits: Limits) -> Used | None:
    """None where no look told anything."""
    looks = meter.looks
    if not looks:
        return None
    before = (0.0, *(look.seconds for look in looks))
    lengths = [max(look.seconds - start, 1e-9) for start, look in zip(before, looks, strict=False)]
    gpus = [(look.gpu, length) for look, length in zip(looks, lengths, strict=True) if look.gpu is not None]
    always = all(look.gpu is not None for look in looks)
    return Used(
        cpus=limits.cpus or float(processors()),
        cpu_seconds=round(sum(look.cpu_seconds for look in looks), 3),
        memory_peak=max(look.memory for look in looks),
        memory_mean=int(_mean([(look.memory, length) for look, length in zip(looks, lengths, strict=True)])),
        read=sum(look.read for look in looks),
        written=sum(look.written for look in looks),
        gpu=round(_mean(gpus), 1) if gpus else None,
        gpu_memory=max((look.gpu_memory for look in looks if look.gpu_memory is not None), default=None),
        curve=Curve(
            tuple(round(look.seconds, 1) for look in looks),
            tuple(round(look.cpu_seconds / length, 3) for look, length in zip(looks, lengths, strict=True)),
            tuple(look.memory for look in looks), tuple(look.read for look in looks),
            tuple(look.written for look in looks),
            tuple(round(look.gpu or 0.0, 1) for look in looks) if always else (),
            tuple(look.gpu_memory or 0 for look in looks) if always else (),
        ))


def _mean(weighted: list[tuple[float, float]]) -> float:
    whole = sum(length for _, length in weighted)
    return sum(value * length for value, length in weighted) / whole if whole else 0.0
