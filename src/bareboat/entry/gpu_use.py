"""python -m bareboat.entry.gpu_use GRANTED NVML: how busy GPUs are, a line "PERCENT BYTES" every few seconds.

Started by a supervisor (supervisor/meter.py), and ended by it or by its pipe: whoever writes to nobody dies.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

EVERY = 10.0  # seconds: NVML's own figures are means of up to a second


def main(words: list[str]) -> int:
    """Does not end by itself."""
    granted, library = words
    while True:
        try:
            os.write(1, line(granted, Path(library) if library else None).encode() + b"\n")
        except BlockingIOError:
            pass  # nobody has read for hours, as of a run of many days
        time.sleep(EVERY)


def line(granted: str, library: Path | None) -> str:
    """The mean of their utilisation and the sum of their memory in use; "?" where that is not known."""
    from bareboat.errors import BareboatError
    from bareboat.host.gpu.choose import choose
    from bareboat.host.gpu.inventory import inventory
    from bareboat.project.gpus import parse_gpus

    try:
        units = choose(parse_gpus(granted), inventory(library))
    except BareboatError:
        return "?"
    percents = [unit.gpu.utilisation for unit in units if unit.gpu.utilisation is not None and unit.mig is None]
    if not percents:
        return "?"
    return f"{sum(percents) / len(percents):.1f} {sum((unit.mig or unit.gpu).used or 0 for unit in units)}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.exit(0)
