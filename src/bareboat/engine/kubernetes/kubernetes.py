"""The scheduler Kubernetes: each run an index of a Job, or a Job of its own, on a cluster of a kubeconfig."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bareboat.engine.kubernetes import manifest
from bareboat.engine.kubernetes.options import Options, parse_options
from bareboat.engine.kubernetes.shown import to_yaml
from bareboat.engine.scheduler import Submission
from bareboat.errors import EngineError
from bareboat.training.values import Observation, Point
from bareboat.values import replace


class Kubernetes:
    """A Scheduler (engine/scheduler.py). architecture: of the images that are sent, as Kubernetes says it."""

    name = "kubernetes"

    def __init__(self, architecture: str = "") -> None:
        self._architecture = architecture

    def explain(self, submission: Submission) -> str:
        """The objects as YAML, in the order they are sent, secrets withheld. Asks no cluster; the same words twice give
        the same text, so that runs that will get ids at random have none in it.
        """
        if submission.id == "dry-run":
            submission = replace(submission, points=tuple(
                replace(point, run=f"run-{point.index}") for point in submission.points))
        found = []
        for bundle in manifest.bundles(submission, self._options(submission)):
            found += [bundle.job, *map(manifest.withheld, bundle.others)]
        return to_yaml(found)

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """As Scheduler."""
        raise _later()

    def poll(self, jobs: Sequence[str]) -> dict[str, Observation]:
        """As Scheduler."""
        raise _later()

    def stop(self, jobs: Sequence[str]) -> None:
        """As Scheduler."""
        raise _later()

    def resume(self, submission: Submission, point: Point) -> str:
        """As Scheduler."""
        raise _later()

    def logs(self, job: str, follow: bool = False) -> Iterator[bytes]:
        """As Scheduler."""
        raise _later()

    def _options(self, submission: Submission) -> Options:
        found = parse_options(submission.training.options)
        foreign = submission.workload.platform.partition("/")[2].partition("/")[0]
        return replace(found, architecture=found.architecture or foreign or self._architecture)


def _later() -> EngineError:
    return EngineError("kubernetes.unreachable", "no cluster can be spoken to yet", hint="bareboat train --dry-run")
