"""Kubernetes under the suite: a mock API server over HTTP, and pods that are processes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.kubernetes_cluster import Cluster
from tests.kubernetes_server import Answer
from tests.unattended_kit import SchedulerHarness

from bareboat.engine.kubernetes import api, manifest
from bareboat.engine.kubernetes.kubernetes import Kubernetes
from bareboat.engine.kubernetes.names import parse_named
from bareboat.engine.scheduler import Submission
from bareboat.training.values import Point, Training
from bareboat.workload import Rootfs, Workload


class OnCluster(SchedulerHarness):
    lacks = frozenset(("after", "priority", "some"))
    image = "registry.example.com/suite@sha256:" + "0" * 64

    def __init__(self, folder: Path) -> None:
        self.cluster, self.made = Cluster(folder), set[str]()
        env = {"KUBECONFIG": str(self.cluster.kubeconfig(folder))}
        super().__init__(Kubernetes(folder / "kept", env), folder)

    def workload(self, argv: tuple[str, ...]) -> Workload:
        return Workload(Rootfs(()), argv, (("PATH", os.environ["PATH"]),), "/")

    def submission(self, points: tuple[Point, ...], training: Training) -> Submission:
        """The claim's directories are the suite's folders."""
        made = super().submission(points, training)
        for point in made.points:
            place = self.cluster.claim("bareboat-results") / manifest.results_path(made, point)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(point.results)
        return made

    def pause(self) -> None:
        time.sleep(0.03)

    def preempt(self, run: str) -> None:
        self.cluster.disrupt(self._pod(run), "PreemptionByScheduler")

    def lose(self, run: str) -> None:
        self.cluster.disrupt(self._pod(run), "DeletionByPodGC", at_once=True)

    def _pod(self, run: str) -> str:
        named = parse_named(self.jobs[run])
        return next(pod["metadata"]["name"] for pod in self.cluster.pods_of(named.job)
                    if pod["status"]["phase"] == "Running")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self.cluster.unschedulable = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu"
        yield
        self.cluster.unschedulable = ""

    @contextlib.contextmanager
    def broken(self, how: str) -> Iterator[None]:
        if how == "refused":
            self.cluster.fail("POST", "/configmaps", Answer(403, "Forbidden", "exceeded quota: all, requested: …"))
            yield
            return
        patience, api.PATIENCE = api.PATIENCE, 0.5
        self.cluster.fail("*", "", None, times=1_000_000)
        yield
        self.cluster.state.faults.clear()
        api.PATIENCE = patience

    def submit(self, *points: Point, training: Training | None = None) -> tuple[str, ...]:
        runs = super().submit(*points, **({"training": training} if training else {}))
        self.made |= {self.jobs[run] for run in runs}
        return runs

    def resume(self, run: str) -> None:
        super().resume(run)
        self.made.add(self.jobs[run])

    def left(self) -> list[str]:
        """What belongs to no Job that was sent."""
        known = {f"/{parse_named(job).job}" for job in self.made}
        return [name for name in self.cluster.names() if not any(job in name for job in known)]

    def close(self) -> None:
        super().close()
        self.cluster.close()


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Callable[[Path], OnCluster]]:
    yield OnCluster
