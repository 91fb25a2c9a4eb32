"""Who feeds images to docker and podman: the store and the sources of a command, put together when they are asked."""

from __future__ import annotations

from bareboat.values import TYPE_CHECKING
from bareboat.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from bareboat.builder.feeding import Feeding
    from bareboat.engine.docker import Loader
    from bareboat.verbs.collaborators import Work


class Fed:
    """engine.docker.Images of a command's store."""

    def __init__(self, work: Callable[[], Work]) -> None:
        self._work = work

    def ids(self, workload: Workload) -> tuple[str, ...]:
        """What the image may be called where it was fed before."""
        return self._feeding().ids(workload)

    def bring(self, workload: Workload, engine: Loader) -> str:
        """Make the image and give it to the engine."""
        return self._feeding().bring(workload, engine)

    def _feeding(self) -> Feeding:
        from bareboat.builder.feeding import Feeding
        from bareboat.verbs.images import plan_of
        from bareboat.verbs.lock import sources

        work = self._work()
        return Feeding(work.store, lambda blob: plan_of(blob, work), lambda: sources(work), work.tell.say,
                       work.tell.progress)


class Unfed:
    """For an engine that is only asked about itself."""

    def ids(self, workload: Workload) -> tuple[str, ...]:
        """None."""
        return ()

    def bring(self, workload: Workload, engine: Loader) -> str:
        """Never."""
        raise AssertionError("an engine without a store was asked to run")
