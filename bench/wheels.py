"""Wheels: seconds and peak memory of a layer's blob and of its tree, for one large wheel or a folder of them.

    python bench/wheels.py WHEEL…          the wheels given, each alone, then all in parallel
    python bench/wheels.py --synthetic MB  a wheel made here: half of it one file that does not compress

Each measurement is a fresh process, so that the peak is its own. Prints one line of JSON for each.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from bareboat.builder.wheels import FileSource, make_wheel_tree, make_wheel_trees
from bareboat.image.layer import splice
from bareboat.image.plan import interpreter
from bareboat.image.wheel import normal, read_layout
from bareboat.lock import Wheel
from bareboat.store import Store

PYTHON = interpreter("3.13", "3.13.5")


def locked(path: Path) -> Wheel:
    name, version = path.name.split("-")[:2]
    with path.open("rb") as file:
        state = hashlib.sha256()
        while data := file.read(1 << 20):
            state.update(data)
    return Wheel(normal(name), version, path.name, "", state.hexdigest(), path.stat().st_size)


def synthetic(folder: Path, megabytes: int) -> Path:
    """A wheel of about that size, packed: one file of half of it, and 2,000 of text."""
    path = folder / "large-1.0-py3-none-any.whl"
    rows = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:

        def add(name: str, data: bytes) -> None:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(data)}\n")
            archive.writestr(name, data)

        for n in range(4):
            add(f"large/lib{n}.so", os.urandom(megabytes * (1 << 20) // 5))
        for n in range(2000):
            add(f"large/m{n}.py", os.urandom(megabytes * 25).hex().encode())
        add("large-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: large\nVersion: 1.0\n")
        add("large-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n")
        archive.writestr("large-1.0.dist-info/RECORD", "".join(rows) + "large-1.0.dist-info/RECORD,,\n")
    return path


def measured(what: str, wheel: str, work: Callable[[], int]) -> None:
    """Do the work in a child and print what it cost."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        start = time.perf_counter()
        size = work()
        seconds = time.perf_counter() - start
        peaks = [resource.getrusage(w).ru_maxrss // 1024 for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(
            json.dumps(
                {
                    "what": what,
                    "wheel": wheel,
                    "seconds": round(seconds, 2),
                    "unpacked_mb": size >> 20,
                    "mb_per_s": round((size >> 20) / seconds),
                    "peak_mb": max(peaks),
                }
            )
        )
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)


def blob_of(path: Path, wheel: Wheel) -> int:
    with FileSource(path) as source:
        layout = read_layout(source, wheel, PYTHON)
        for _ in splice(source, layout):
            pass
        return layout.size


def size_of(path: Path, wheel: Wheel) -> int:
    with FileSource(path) as source:
        return read_layout(source, wheel, PYTHON).size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", nargs="*", type=Path)
    parser.add_argument("--synthetic", type=int, metavar="MB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [*options.wheels]
        if options.synthetic:
            paths.append(synthetic(Path(folder), options.synthetic))
        wheels = [locked(p) for p in paths]
        store = Store.open(Path(folder) / "store")
        for path, wheel in zip(paths, wheels, strict=True):
            store.put_file(path, sha256=wheel.sha256)
        store.close()

        def tree(index: int) -> int:
            own = Store.open(store.home)
            make_wheel_tree(own, wheels[index], PYTHON)
            return size_of(paths[index], wheels[index])

        def everything() -> int:
            own = Store.open(Path(folder) / "second")
            for wheel in wheels:
                os.link(store.home / "blobs/sha256" / wheel.sha256, own.home / "blobs/sha256" / wheel.sha256)
            make_wheel_trees(own, wheels, PYTHON)
            return sum(size_of(p, w) for p, w in zip(paths, wheels, strict=True))

        for n, path in enumerate(paths):
            measured("blob", path.name, lambda n=n: blob_of(paths[n], wheels[n]))  # type: ignore[misc]
            measured("tree", path.name, lambda n=n: tree(n))  # type: ignore[misc]
        if len(paths) > 1:
            measured("trees in parallel", f"{len(paths)} wheels", everything)


if __name__ == "__main__":
    main()
