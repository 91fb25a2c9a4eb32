"""What a run used, in a few lines with small curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bareboat.cli.metrics import curve
from bareboat.cli.plain import took
from bareboat.cli.term import size
from bareboat.record.gathered import Used


def lines(used: Used) -> Iterator[tuple[str, str]]:
    """A heading and a text each, as show has them; none of a record, of somebody else's, that has no numbers there."""
    if not all(map(math.isfinite, (used.cpus, used.cpu_seconds, used.gpu or 0.0, *used.curve.seconds[-1:]))):
        return
    c = used.curve
    of = f" of {used.cpus:.3g}" if used.cpus else ""
    mean = used.cpu_seconds / c.seconds[-1] if c.seconds and c.seconds[-1] > 0 else 0.0
    busy = f"{mean:.2f}{of} in use, " if mean else ""
    yield "used", f"CPUs     {busy}about {took(used.cpu_seconds)} in all{_drawn(c.cpu)}"
    memory = f", {size(used.memory_mean)} in the mean" if used.memory_mean else ""
    yield "", f"memory   {size(used.memory_peak)} at most{memory}{_drawn(c.memory)}"
    if used.gpu is not None:
        held = f", {size(used.gpu_memory)} at most" if used.gpu_memory is not None else ""
        yield "", f"GPUs     {used.gpu:.0f} % in use{held}{_drawn(c.gpu)}"
    if used.read or used.written:
        both = [read + written for read, written in zip(c.read, c.written, strict=False)]
        yield "", f"storage  {size(used.read)} read, {size(used.written)} written{_drawn(both)}"


def _drawn(values: Sequence[float]) -> str:
    return f"  {curve(values)}" if len(values) > 3 else ""
