"""Containers with supervisors of their own over the skeleton root: no image, no network, real processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests import sandbox_kit as kit

from bareboat.engine.base import Streams
from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.record.values import RunRecord, run_id, timestamp
from bareboat.settings import Settings
from bareboat.store import Store
from bareboat.supervisor.rules import Rules
from bareboat.verbs import containers, enter, launch
from bareboat.verbs.collaborators import Quiet, Work
from bareboat.verbs.containers import Container, Seen
from bareboat.workload import Mount


class Fleet:
    """A store with containers in it."""

    def __init__(self, base: Path) -> None:
        kit.need_sandbox()
        self.store = Store.open(base / "home")
        self.tree = kit.skeleton(base / "tree")
        self.results = base / "results"
        self.results.mkdir()
        self.work = Work(self.store, Bubblewrap(base / "home"), Settings(home=base / "home"), Quiet())

    def create(self, *argv: str, name: str = "", rules: Rules = Rules(), remove: bool = False,  # noqa: B008
               interactive: bool = False, **more: object) -> tuple[Container, launch.Kept]:
        mounts = (Mount(self.results, "/results"), *more.pop("mounts", ()))  # type: ignore[misc]
        load = kit.workload(self.tree, *argv, mounts=mounts, **more)
        record = RunRecord(run_id(os.urandom(6)), created=timestamp(time.time()), argv=argv, engine="bubblewrap",
                           uid=load.uid, gid=load.gid)
        container = Container(record.id, name, record.created, argv, "skeleton", engine="bubblewrap", rules=rules,
                              remove=remove, tty=load.tty, interactive=interactive)
        return launch.keep(container, launch.Kept(load, record), self.work)

    def run(self, *argv: str, **more: object) -> Container:
        """Detached."""
        return launch.launch(*self.create(*argv, **more), self.work)  # type: ignore[arg-type]

    def seen(self, name: str) -> Seen:
        return containers.find(self.store, name)

    def exec(self, name: str, *argv: str, **more: object) -> kit.Heard:
        heard = kit.Heard()
        heard.outcome = enter.execute_in(name, enter.ExecRequest(argv, **more), self.work,  # type: ignore[arg-type]
                                         Streams(heard.out.extend, heard.err.extend))
        return heard

    def log(self, name: str) -> bytes:
        from bareboat.store import runlog
        from bareboat.verbs.lookup import run_of

        return b"".join(p.data for p in runlog.pieces(self.store.runs.path(run_of(self.store, name))))

    def supervisor(self, name: str) -> int:
        return int(self.seen(name).told["pid"])

    def close(self) -> None:
        for seen in containers.listed(self.store):
            enter.remove(seen.container.id, self.store, force=True)


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a condition. Fails when it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


def quick(**more: object) -> Rules:
    return replace(Rules(stop_seconds=5.0), **more)  # type: ignore[arg-type]
