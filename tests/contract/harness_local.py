"""The local queue under the suite: real workers, attempts and programs over the skeleton root."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import sandbox_kit as kit
from tests.life_kit import until
from tests.queue_kit import Yard
from tests.unattended_kit import SchedulerHarness

from bareboat.queue import door
from bareboat.queue.local import LocalQueue
from bareboat.verbs.submission import bare_template
from bareboat.workload import Mount, Workload


class Local(SchedulerHarness):
    lacks = frozenset(("refused", "unreachable"))  # nothing stands between us and the ledger that could do so

    def __init__(self, folder: Path) -> None:
        self.yard = Yard(folder)
        super().__init__(LocalQueue(self.yard.ledger, self.yard.store, self.yard.wake, bare_template), folder)

    def workload(self, argv: tuple[str, ...]) -> Workload:
        return kit.workload(self.yard.tree, *argv, mounts=(Mount(self.yard.results, "/results"),))

    def pause(self) -> None:
        import time

        time.sleep(0.01)

    def preempt(self, run: str) -> None:
        from bareboat.supervisor.client import ask

        ask(self.yard.store.runs.path(run), 5.0, do="interrupt", cause="preempted")

    def lose(self, run: str) -> None:
        os.kill(self.yard.attempt_of(run), signal.SIGKILL)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self.yard.ledger.entries()  # makes the directory
        door.set_held(self.yard.store.queue, True)
        door.ring(self.yard.store.queue)
        try:
            yield
        finally:
            door.set_held(self.yard.store.queue, False)
            self.yard.wake()

    def left(self) -> list[str]:
        until(lambda: not [run for run in self.jobs if self.yard.store.runs.is_alive(run)], 10.0)
        return [f"a lease of {holding.run}" for holding in self.yard.queue.leases.holdings()]

    def close(self) -> None:
        super().close()
        self.yard.close()


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Callable[[Path], Local]]:
    kit.need_sandbox()
    yield Local
