"""NVIDIA's helper: called with nothing of the caller's, only where a node is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.host.gpu.modprobe import SECONDS, command, make_nodes
from bareboat.host.process import Command


def test_the_command() -> None:
    assert command(Path("/usr/bin/nvidia-modprobe")) == Command(
        ("/usr/bin/nvidia-modprobe", "-u", "-c=0"), env={}, timeout=SECONDS)


def test_only_where_a_node_is_missing_and_a_driver_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_CANARY", "x")
    helper = tmp_path / "bin/nvidia-modprobe"
    (tmp_path / "bin").mkdir()
    (tmp_path / "dev").mkdir()
    helper.write_text(f"#!/bin/sh\ncd {tmp_path}\necho \"$@ $LD_PRELOAD_CANARY\" >> called\n: > dev/nvidia-uvm\n")
    helper.chmod(0o755)

    def make() -> bool:
        return make_nodes(tmp_path, ("/none", str(tmp_path / "bin")))

    assert not make() and not (tmp_path / "called").exists()
    (tmp_path / "dev/nvidiactl").write_text("")
    assert make() and (tmp_path / "called").read_text() == "-u -c=0 \n"
    assert make() and (tmp_path / "called").read_text() == "-u -c=0 \n"
    (tmp_path / "dev/nvidia-uvm").unlink()
    helper.write_text("#!/none\n")
    assert not make()
    assert not make_nodes(tmp_path, ("/none",))
