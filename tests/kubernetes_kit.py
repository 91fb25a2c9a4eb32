"""Submissions to a cluster, for tests."""

from __future__ import annotations

from pathlib import Path

from bareboat.engine.scheduler import Submission
from bareboat.training.values import Point, Training
from bareboat.workload import Limits, Mount, Rootfs, Workload

IMAGE = "registry.example.com/lab/unet@sha256:" + "a" * 64


def load(*argv: str, **changes: object) -> Workload:
    """A workload as `train` makes it."""
    said: dict[str, object] = {
        "env": (("HOME", "/home/user"), ("LANG", "C.UTF-8"), ("PATH", "/usr/local/bin:/usr/bin:/bin")),
        "mounts": (Mount(Path("/home/ann/unet/results"), "/results"),), "limits": Limits()}
    return Workload(Rootfs(()), argv or ("python", "/app/src/train.py"), cwd="/app", **{**said, **changes})  # type: ignore[arg-type]


def submission(*points: Point, training: Training | None = None, workload: Workload | None = None,
               name: str = "unet", id: str = "5ab000000000", image: str = IMAGE) -> Submission:
    """A submission of these points, of one when none are given."""
    return Submission(id, training or Training(scheduler="kubernetes"), workload or load(),
                      points or (Point("aa0000000001"),), Path("/nowhere"), name, image)


def sweep(count: int) -> tuple[Point, ...]:
    """Runs that differ in one word."""
    return tuple(Point(f"bb{index:010}", f"unet-{index}", index, ("python", "/app/src/train.py", "--lr", f"0.{index}"),
                       (("lr", f"0.{index}"),)) for index in range(count))
