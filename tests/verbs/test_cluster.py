"""What a run takes with it to a cluster, and what is refused on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import kubernetes_kit as kit

from bareboat.engine.scheduler import Submission
from bareboat.errors import BareboatError, EngineError
from bareboat.record.values import RecordedMount, RunRecord
from bareboat.values import replace
from bareboat.verbs import cluster
from bareboat.workload import Mount


class Told:
    """A scheduler that keeps what it is given."""

    name = "kubernetes"

    def __init__(self) -> None:
        self.got: list[Submission] = []

    def submit(self, submission: Submission) -> tuple[str, ...]:
        self.got.append(submission)
        return ("team/x",)


def sent(folder: Path, *mounts: RecordedMount) -> Submission:
    load = kit.load(mounts=(Mount(Path("/p/src"), "/app/src", True), Mount(Path("/p/results"), "/results")))
    record = RunRecord("aa01", mounts=mounts or (RecordedMount("/p/src", "/app/src", True, "code", "src"),))
    return replace(kit.submission(workload=load, image=""), folder=folder, record=record)


def test_code_is_in_the_image_and_mounted_no_more(tmp_path: Path) -> None:
    found = cluster.travelling(sent(tmp_path))
    assert [mount.target for mount in found.workload.mounts] == ["/results"]


def test_a_startup_script_from_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as raised:
        cluster.travelling(sent(tmp_path, RecordedMount("/x.sh", "/run/bareboat/startup", True, "startup", "0" * 64)))
    assert raised.value.code == "cluster.startup"


def test_a_registry_that_is_away_is_no_cluster_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission whose fate is unknown is sent again; one that was never sent has failed."""

    def away(*_: object) -> Submission:
        raise BareboatError("registry.unreachable", "no route")

    monkeypatch.setattr(cluster, "pushed", away)
    told = Told()
    work: Any = None
    scheduler: Any = told
    with pytest.raises(EngineError) as raised:
        cluster.Carrying(scheduler, work).submit(sent(tmp_path))
    assert (raised.value.code, told.got) == ("kubernetes.image", [])


def test_an_image_is_pushed_once_for_all_jobs_of_a_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushes: list[str] = []

    def push(submission: Submission, _: object) -> Submission:
        pushes.append(submission.id)
        return replace(cluster.travelling(submission), image="host/x@sha256:1")

    monkeypatch.setattr(cluster, "pushed", push)
    told = Told()
    work: Any = None
    scheduler: Any = told
    for _ in range(2):
        cluster.Carrying(scheduler, work).submit(sent(tmp_path))
    assert len(pushes) == 1
    assert {(s.image, len(s.workload.mounts)) for s in told.got} == {("host/x@sha256:1", 1)}
