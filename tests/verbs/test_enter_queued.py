"""exec of a queued run that is no container here: entered through its scheduler, or refused with what to do."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bareboat.engine.base import Streams
from bareboat.errors import UsageError
from bareboat.queue.base import Entry
from bareboat.verbs import enter_queued
from bareboat.verbs.enter import ExecRequest
from bareboat.workload import Exec, Outcome

STREAMS = Streams(lambda data: None, lambda data: None)
RUN = "ab0000000000"


def meant(monkeypatch: pytest.MonkeyPatch, **said: Any) -> None:
    entry = Entry(**{"run": RUN, "submission": "5ab0", "name": "unet", "created": time.time(), **said})
    monkeypatch.setattr(enter_queued, "entry_of", lambda store, text: entry)


@pytest.mark.parametrize(("said", "code", "words"), [
    ({"scheduler": "local", "state": "pending", "reason": "waits for GPUs"}, "exec.not-running", "waits for GPUs"),
    ({"scheduler": "local", "state": "failed"}, "exec.not-running", "bareboat resume unet"),
    ({"scheduler": "local", "state": "running"}, "exec.not-running", "just starting or ending"),
    ({"scheduler": "slurm", "state": "pending"}, "exec.not-running", "is pending"),
    ({"scheduler": "slurm", "state": "running", "job": f"17_3@5ab0/{RUN}"}, "exec.slurm",
     "srun --jobid 17_3 --overlap --pty bareboat exec -it unet"),
    ({"scheduler": "kubernetes", "state": "succeeded", "job": "team/unet-1"}, "exec.not-running", "is succeeded"),
    ({"scheduler": "kubernetes", "state": "pending", "job": ""}, "exec.not-running", "is pending"),
])
def test_what_cannot_be_entered_says_why_and_what_to_do(said: dict[str, Any], code: str, words: str,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    meant(monkeypatch, **said)
    with pytest.raises(UsageError) as raised:
        enter_queued.elsewhere(None, "unet")  # type: ignore[arg-type]
    assert raised.value.code == code and words in f"{raised.value.what} {raised.value.hint}"


def test_a_run_on_a_cluster_is_entered_with_what_was_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    meant(monkeypatch, scheduler="kubernetes", state="pending", job="team/unet-1")
    entry = enter_queued.elsewhere(None, "unet")  # type: ignore[arg-type]
    assert entry is not None  # the cluster knows whether it runs by now
    asked: list[tuple[str, Exec]] = []

    def exec(job: str, call: Exec, streams: Streams) -> Outcome:
        asked.append((job, call))
        return Outcome(9)

    queue: Any = SimpleNamespace(scheduler=lambda name: SimpleNamespace(exec=exec))
    request = ExecRequest(("ps",), (("A", "1"),), "/app", True)
    assert enter_queued.execute_elsewhere(entry, request, queue, STREAMS).code == 9
    (job, call), = asked
    assert job == "team/unet-1" and call.argv == ("ps",) and call.cwd == "/app" and call.tty
    assert dict(call.env)["A"] == "1" and "TERM" in dict(call.env)
    with pytest.raises(UsageError) as raised:
        enter_queued.execute_elsewhere(entry, ExecRequest(()), queue, STREAMS)
    assert raised.value.code == "usage.no-program"
