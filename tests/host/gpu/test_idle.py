"""Whether a container uses its GPUs, as --idle-stop asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import gpu_kit as kit

from bareboat.host.gpu.idle import busy


def asked(says: str, granted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    return busy(granted, frozenset({5, 6}), 0.0, kit.nvml(says, tmp_path, monkeypatch))


@pytest.mark.parametrize(("says", "granted", "used"), [
    (kit.TWO, "device=0,1", False),  # busy, but for nobody that is known
    (kit.TWO + f"sample {kit.UUIDS[0]}|5|1\n", "device=0", True),
    (kit.TWO + f"sample {kit.UUIDS[0]}|5|1\n", "device=1", False),
    (kit.TWO + f"sample {kit.UUIDS[0]}|9|99\n", "device=0", False),  # somebody else's
    (kit.TWO + f"proc {kit.UUIDS[0]}|5|{kit.GIB}\n", "device=0", False),  # has memory and does nothing
    (kit.MIG, f"device={kit.MIG_UUIDS[1]}", False),
    (kit.MIG + f"proc {kit.MIG_UUIDS[1]}|5|1\n", f"device={kit.MIG_UUIDS[1]}", True),  # not told of an instance
    (kit.MIG, "device=7", True),  # cannot be found any more
    ("init 999", "device=0", True),
])
def test_busy(says: str, granted: str, used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(says, granted, tmp_path, monkeypatch) is used


def test_a_driver_that_does_not_tell_processes(tmp_path: Path) -> None:
    old = kit.library(tmp_path / "old.so", "libnvidia-ml.so.1", """
        int nvmlInit_v2(void) { return 0; }
        int nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = 0; return 0; }""")
    assert not busy("device=0", frozenset({5}), 0.0, old)  # nobody of the container's has memory on it
