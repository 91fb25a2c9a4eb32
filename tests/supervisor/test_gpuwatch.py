"""A watch of GPUs: asked of a process of its own, which may never answer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests import gpu_kit as kit

from bareboat.entry import gpu_busy
from bareboat.supervisor import gpuwatch
from bareboat.supervisor.gpuwatch import IDLE, GpuWatch


def answered(watch: GpuWatch) -> bool:
    """The answer of the process that the watch started, once it has ended."""
    os.waitid(os.P_PID, watch._child, os.WEXITED | os.WNOWAIT)
    return watch()


def end(watch: GpuWatch) -> None:
    if watch._child:
        os.waitpid(watch._child, 0)


def test_busy_and_idle_by_the_processes_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = kit.nvml(kit.TWO + f"sample {kit.UUIDS[0]}|5|7\n", tmp_path, monkeypatch)
    pids = [5]
    watch = GpuWatch("device=0", str(library), lambda: pids)
    assert watch()  # nothing is known yet
    pids = [6]
    assert answered(watch)  # of 5, who was busy
    assert not answered(watch)  # of 6
    end(watch)


def test_without_gpus_nothing_is_started() -> None:
    watch = GpuWatch("", "", lambda: pytest.fail("asked"))
    assert not watch() and not watch._child


def test_one_that_never_answers_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    stuck = tmp_path / "stuck"
    stuck.write_text(f"#!/bin/sh\nread x < {fifo}\nexit {IDLE}\n")
    stuck.chmod(0o755)
    monkeypatch.setattr(gpuwatch.sys, "executable", str(stuck))
    watch = GpuWatch("device=0", "", list)
    assert watch()
    child = watch._child
    assert watch() and watch() and watch._child == child  # no second one beside it
    fifo.write_text("\n")
    assert not answered(watch)
    fifo.write_text("\n")
    end(watch)


def test_a_program_that_cannot_be_started_is_no_idleness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpuwatch.sys, "executable", "/none/python")
    watch = GpuWatch("device=0", "", list)
    assert watch() and watch()


def test_the_process_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = str(kit.nvml(kit.TWO + f"sample {kit.UUIDS[0]}|5|7\n", tmp_path, monkeypatch))
    assert gpu_busy.main(["device=0", library, "0.0", "5", "9"]) == 0
    assert gpu_busy.main(["device=0", library, "0.0", "9"]) == gpu_busy.main(["device=1", library, "1.5"]) == IDLE
    assert gpu_busy.main(["device=0", "/none/libnvidia-ml.so.1", "0.0", "9"]) == 0
