"""The work that is done inside and on bare metal: prints its seconds as JSON. Runs alone, under the image's Python."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy


def timed(do: Callable[[], object], times: int) -> float:
    """Median seconds of a call, after one that is not counted."""
    do()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        do()
        taken.append(time.perf_counter() - began)
    return median(taken)


def loop() -> int:
    """Python alone."""
    n = 0
    for i in range(1_000_000):
        n += i & 7
    return n


def read(path: str, into: memoryview) -> None:
    """A file, read in whole."""
    fd = os.open(path, os.O_RDONLY)
    try:
        while os.readv(fd, [into]):
            pass
    finally:
        os.close(fd)


def main(path: str) -> None:
    """Compute (matrix product, Python), memory bandwidth, reading a file."""
    a = numpy.random.default_rng(1).random((1000, 1000))
    source = numpy.ones(32 << 20)
    target = numpy.zeros_like(source)
    buffer = memoryview(bytearray(1 << 20))
    print(json.dumps({
        "matrix product": timed(lambda: a @ a, 9),
        "Python loop": timed(loop, 7),
        "memory bandwidth": timed(lambda: numpy.copyto(target, source), 7),
        "1 GB file read": timed(lambda: read(path, buffer), 5),
    }))


if __name__ == "__main__":
    main(sys.argv[1])
