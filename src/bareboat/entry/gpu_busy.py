"""python -m bareboat.entry.gpu_busy GRANTED NVML SINCE PID…: whether these processes used the GPUs, as an exit code.

Started by a supervisor at each look (supervisor/gpuwatch.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

from bareboat.supervisor.gpuwatch import IDLE


def main(words: list[str]) -> int:
    """0 busy, or not known; IDLE where it is known that they were not."""
    from bareboat.host.gpu.idle import busy

    granted, library, since, *pids = words
    used = busy(granted, frozenset(map(int, pids)), float(since), Path(library) if library else None)
    return 0 if used else IDLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
