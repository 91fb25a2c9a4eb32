"""A root to run in, made of the machine's own /usr: a skeleton tree and one mount."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from bareboat.engine.base import Streams
from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.host.namespaces import diagnose
from bareboat.store.treewriter import TreeWriter
from bareboat.workload import Mount, Outcome, Rootfs, Workload

PATH = ("PATH", "/opt/bin:/usr/bin:/bin")


@cache
def obstacle() -> str:
    """Why no sandbox can be made here; "" when it can."""
    return "; ".join(check.detail for check in diagnose() if check.fatal and not check.ok)


def need_sandbox() -> None:
    """Skip where namespaces are refused, but never in CI."""
    if obstacle() and not os.environ.get("CI"):
        pytest.skip(obstacle())


def skeleton(tree: Path) -> Path:
    """A tree that is a root as soon as /usr is mounted in it."""
    tree.mkdir(parents=True, exist_ok=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (tree / name).symlink_to(f"usr/{name}")
    (tree / "usr").mkdir()
    (tree / "etc").mkdir()
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return tree


def fill_skeleton(writer: TreeWriter) -> None:
    """The same as a tree of a store."""
    for name in ("bin", "lib", "lib64", "sbin"):
        writer.symlink(name, f"usr/{name}")
    writer.directory("usr")
    writer.file("etc/passwd", 0o644, [b"root:x:0:0:root:/root:/bin/sh\n"])


def script(tree: Path, name: str, text: str) -> None:
    """A program /opt/bin/NAME."""
    file = tree / "opt/bin" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def workload(tree: Path, *argv: str, **more: object) -> Workload:
    """A workload over the skeleton, with /usr in it."""
    mounts = (Mount(Path("/usr"), "/usr", True), *more.pop("mounts", ()))  # type: ignore[misc]
    trees = (tree, *more.pop("trees", ()))  # type: ignore[misc]
    env = (PATH, ("HOME", "/home/user"), *more.pop("env", ()))  # type: ignore[misc]
    return Workload(Rootfs(trees), argv, env, more.pop("cwd", "/"), mounts, **more)  # type: ignore[arg-type]


@dataclass
class Heard:
    """An engine's run with everything it said."""

    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    started: int = 0
    outcome: Outcome = field(default_factory=lambda: Outcome(-1))

    @property
    def text(self) -> str:
        return self.out.decode()

    def streams(self, **more: object) -> Streams:
        def began() -> None:
            self.started += 1

        return Streams(self.out.extend, self.err.extend, started=began, **more)  # type: ignore[arg-type]


def run(load: Workload, engine: Bubblewrap | None = None, **more: object) -> Heard:
    """Run to the end on bubblewrap."""
    heard = Heard()
    heard.outcome = (engine or Bubblewrap(Path("/nonexistent"))).run(load, heard.streams(**more))
    return heard
