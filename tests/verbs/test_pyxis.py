from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import kubernetes_kit as kit

from bareboat.engine.scheduler import Submission
from bareboat.engine.slurm.pyxis import Pyxis
from bareboat.errors import BareboatError, EngineError
from bareboat.host.process import Completed, ProcessError
from bareboat.training.values import Training
from bareboat.values import dataclass, replace
from bareboat.verbs import pyxis
from bareboat.verbs.pyxis import ByPyxis, missing, with_pyxis

ASKED = Training(scheduler="slurm", options=(("pyxis", "ghcr.io/lab/runs"),))


class Told:
    name = "slurm"

    def __init__(self) -> None:
        self.got: list[Submission] = []

    def submit(self, submission: Submission) -> tuple[str, ...]:
        self.got.append(submission)
        return ("7@abc/run0",)


@dataclass(frozen=True)
class Engineless:
    engine: object = None


def sent(folder: Path, training: Training = ASKED, **more: object) -> Submission:
    return replace(kit.submission(workload=kit.load(uid=0, **more)), folder=folder, training=training)


@pytest.fixture
def pushes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where images were pushed to."""
    made: list[str] = []

    def push(submission: Submission, repository: str, work: object) -> str:
        made.append(repository)
        return "ghcr.io#lab/runs:env-1"

    monkeypatch.setattr(pyxis, "_pushed", push)
    monkeypatch.setattr(pyxis, "missing", lambda: "")
    return made


def test_the_image_is_pushed_once_and_the_node_told(tmp_path: Path, pushes: list[str]) -> None:
    told: Any = Told()
    for _ in range(2):  # sent again, where the first answer was lost
        assert ByPyxis(told, Any).submit(sent(tmp_path)) == ("7@abc/run0",)
    assert pushes == ["ghcr.io/lab/runs"] and len(told.got) == 2
    work: Any = Engineless()
    made = with_pyxis(ASKED, tmp_path, tmp_path / "run", work)
    assert isinstance(made.engine, Pyxis) and made.engine.image == "ghcr.io#lab/runs:env-1"


def test_who_does_not_ask_for_it_has_nothing_of_it(tmp_path: Path, pushes: list[str]) -> None:
    told: Any = Told()
    plain = Training(scheduler="slurm")
    ByPyxis(told, Any).submit(sent(tmp_path, plain))
    work: Any = Engineless()
    assert pushes == [] and with_pyxis(plain, tmp_path, tmp_path, work) is work


@pytest.mark.parametrize("how", ["no Pyxis", "cannot", "registry"])
def test_what_hinders_it_sends_nothing(tmp_path: Path, pushes: list[str], monkeypatch: pytest.MonkeyPatch,
                                       how: str) -> None:
    told: Any = Told()
    submission, code = sent(tmp_path), "slurm.pyxis"
    if how == "no Pyxis":
        monkeypatch.setattr(pyxis, "missing", lambda: "srun knows no --container-image here")
    elif how == "cannot":
        submission = sent(tmp_path, network="none")
    else:
        def away(*_: object) -> str:
            raise BareboatError("registry.unreachable", "no route")

        monkeypatch.setattr(pyxis, "_pushed", away)
        code = "slurm.image"
    with pytest.raises(EngineError) as caught:
        ByPyxis(told, Any).submit(submission)
    assert caught.value.code == code and told.got == [] and not (tmp_path / "image").exists()


def test_a_submission_without_its_image_is_refused_on_the_node(tmp_path: Path) -> None:
    work: Any = Engineless()
    with pytest.raises(EngineError) as caught:
        with_pyxis(ASKED, tmp_path, tmp_path, work)
    assert caught.value.code == "slurm.pyxis"


@pytest.mark.parametrize(("said", "wrong"), [
    (b"      --container=Path to OCI container bundle\n", True), (b"      --container-image=[USER@]...\n", False),
    (None, True)])
def test_whether_there_is_one(monkeypatch: pytest.MonkeyPatch, said: bytes | None, wrong: bool) -> None:
    def run(command: object) -> Completed:
        if said is None:
            raise ProcessError("process.start", "cannot be started", where="srun")
        return Completed(0, said, b"")

    monkeypatch.setattr(pyxis, "run", run)
    assert bool(missing()) == wrong
