"""show of a run that is not over: what it has written so far."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bareboat.cli import main
from bareboat.record.gathered import Attempt
from bareboat.record.values import RecordedMount, RunRecord
from bareboat.store import Store


def test_what_a_running_one_wrote_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    store, folder = Store.open(tmp_path / "home"), tmp_path / "results"
    folder.mkdir()
    record = RunRecord("abcdef012345", state="running", argv=("true",),
                       mounts=(RecordedMount(str(folder), "/results", kind="results"),))
    store.runs.create(record.id)  # held, so that it is alive
    store.runs.write(record.id, record.document())
    assert main(["show", "abc"]) == 0
    assert f"results   in {folder}, nothing yet\n" in capsys.readouterr().out
    (folder / "checkpoints").mkdir()
    for name, old in (("log.csv", 30), ("checkpoints/\x1b[2Jlast.pt", 600)):
        (folder / name).write_bytes(bytes(2000))
        os.utime(folder / name, (time.time() - old, time.time() - old))
    assert main(["show", "abc"]) == 0
    out = capsys.readouterr().out
    assert "30 s ago  log.csv\n" in out.replace("31 s", "30 s").replace("29 s", "30 s")
    assert "2 kB  10 min ago  checkpoints/\\x1b[2Jlast.pt\n" in out and "\x1b[2J" not in out
    assert "metrics: bareboat show abcdef --metrics" in out
    store.runs.release(record.id)


def test_the_attempts_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    store = Store.open(tmp_path / "home")
    record = RunRecord("abcdef012345", state="succeeded", argv=("true",), attempt=3, attempts=(
        Attempt(1, "2026-11-26T12:23:18Z", "2026-11-26T12:23:24Z", 0, "preempted"), Attempt(2, exit_code=1)))
    store.runs.create(record.id)
    store.runs.write(record.id, record.document())
    store.runs.release(record.id)
    assert main(["show", "abc"]) == 0
    out = capsys.readouterr().out
    assert "before    attempt 1: preempted, exit 0, began 2026-11-26 12:23:18 UTC\n" in out
    assert f"{'':10}attempt 2: ended, exit 1\n" in out
