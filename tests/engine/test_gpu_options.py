"""GPUs in the words of docker and podman, to the letter."""

from __future__ import annotations

import pytest

from bareboat.engine.oci_command import Client, gpu_options


@pytest.mark.parametrize(("engine", "gpus", "words"), [
    ("docker", "", []),
    ("docker", "device=0", ["--gpus=device=0"]),
    ("docker", "device=0,MIG-1", ['--gpus="device=0,MIG-1"']),
    ("podman", "device=0,1", ["--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=1"]),
    ("podman", "", []),
])
def test_gpu_options(engine: str, gpus: str, words: list[str]) -> None:
    assert gpu_options(Client(engine, f"/usr/bin/{engine}"), gpus) == words
