"""A queue over the skeleton root: real workers, attempts and programs; no image, no network."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests import sandbox_kit as kit
from tests.life_kit import until

from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.host.background import start_child
from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import Place
from bareboat.queue import door
from bareboat.queue.base import Added, Entry
from bareboat.queue.sqlite import SqliteLedger
from bareboat.record.secrets import withhold
from bareboat.record.states import final
from bareboat.record.values import RunRecord, timestamp
from bareboat.settings import Settings
from bareboat.store import Store
from bareboat.training.values import Point, Training
from bareboat.values import replace
from bareboat.verbs.collaborators import Quiet, Work
from bareboat.verbs.launch import Kept
from bareboat.verbs.submission import Queue, Template, apart, enter, keep, packed, placed
from bareboat.workload import Mount


class Yard:
    """A store with a queue in it; what is submitted is a script for the shell. mounts: folders besides, at /NAME, or
    where they say.
    """

    def __init__(self, base: Path, results: Path | None = None, mounts: tuple[Path | Mount, ...] = ()) -> None:
        kit.need_sandbox()
        self.home, self.results = base / "home", results or base / "results"
        self.mounts = tuple(m if isinstance(m, Mount) else Mount(m, f"/{m.name}") for m in mounts)
        self.store = Store.open(self.home)
        self.results.mkdir(exist_ok=True)
        self.tree = kit.skeleton(base / "tree")
        self.ledger = SqliteLedger(self.store.queue)
        self.leases = base / "leases"
        settings = Settings(home=self.home, leases_path=self.leases)
        self.work = Work(self.store, Bubblewrap(self.home), settings, Quiet())
        leases = FlockLeases(Place(self.leases, True))
        self.queue = Queue(self.ledger, leases, self.wake, lambda name: None, self.store.queue)  # type: ignore
        self.workers: list[int] = []

    def submit(self, *scripts: str, name: str = "", training: Training = Training(),  # noqa: B008
               env: tuple[tuple[str, str], ...] = ()) -> list[str]:
        """The ids of runs, one a script. env: variables besides."""
        argvs = [("/bin/sh", "-c", script) for script in scripts]
        load = kit.workload(self.tree, *argvs[0], mounts=(Mount(self.results, "/results"), *self.mounts))
        load = replace(load, env=(*load.env, *env))
        kept, withheld = withhold(load.env)
        record = RunRecord("0" * 12, env=kept, withheld=withheld, created=timestamp(time.time()), argv=argvs[0],
                           engine="bubblewrap", uid=load.uid, gid=load.gid)
        points = placed(tuple(Point("", f"{name}{i if i else ''}" if name else "", i, argv)
                              for i, argv in enumerate(argvs)), self.results)
        template, points, values = apart(Template(Kept(load, record, self.results), training), points)
        added = Added(os.urandom(6).hex(), packed(template), points, created=time.time(), name=name)
        keep(self.store, added, template)
        enter(added, values, self.queue)
        return [point.run for point in points]

    def wake(self) -> None:
        """As wiring.wake, and remember the process."""
        if not (door.is_held(self.store.queue) and door.ring(self.store.queue)):
            self.worker()

    def worker(self) -> int:
        """Start one; its pid."""
        env = {**os.environ, "BAREBOAT_HOME": os.fspath(self.home),
               "BAREBOAT_LEASES_PATH": os.fspath(self.leases)}
        self.workers.append(start_child((sys.executable, "-m", "bareboat.entry.worker"), env))
        return self.workers[-1]

    def kill_worker(self) -> None:
        """kill -9, and wait until it is gone."""
        for pid in self.workers:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        self.workers.clear()

    def entry(self, run: str) -> Entry:
        return self.ledger.find(run)

    def until(self, run: str, true: Callable[[Entry], object]) -> Entry:
        """Wait until its entry is so."""
        until(lambda: true(self.entry(run)), 30.0)
        return self.entry(run)

    def over(self, run: str) -> Entry:
        return self.until(run, lambda entry: final(entry.state))

    def attempt_of(self, run: str) -> int:
        """The pid of the process of its attempt."""
        from bareboat.supervisor.client import ask

        return int(ask(self.store.runs.path(run), 5.0, do="state").value["pid"])

    def said(self, run: str) -> str:
        """What the program wrote."""
        path = self.store.runs.path(run) / "log"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        from bareboat.verbs import queued

        for entry in self.ledger.entries(("pending", "running")):
            queued.stop(entry.run, self.queue)
        self.kill_worker()
        self.ledger.close()
