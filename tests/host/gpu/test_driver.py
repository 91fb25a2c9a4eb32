"""What goes in where no CDI specification says it, on a machine made of links and compiled stubs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests import gpu_kit as kit

from bareboat.errors import EngineError
from bareboat.host.gpu.driver import INSIDE, check_node, driver_of, topology
from bareboat.host.gpu.values import Gpu, Mig, Unit
from bareboat.image import ldcache
from bareboat.workload import Device, Driver, Mount

ONE = Unit(Gpu(1, kit.UUIDS[1], "H100", nodes=("/dev/nvidia1",)))
LIB = f"{INSIDE}/lib"


def test_nodes_libraries_and_tools(tmp_path: Path) -> None:
    root = kit.machine(tmp_path)
    made = driver_of([ONE], root)
    assert made.devices == tuple(Device(root / node, f"/{node}") for node in (
        "dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia1"))
    assert sorted(m.target for m in made.mounts) == [
        f"{LIB}/libcuda.so.550.54.14", f"{LIB}/libnvidia-ml.so.550.54.14", "/usr/bin/nvidia-smi"]
    assert all(m.read_only for m in made.mounts)
    assert dict(made.links) == {
        f"{LIB}/libcuda.so": "libcuda.so.550.54.14", f"{LIB}/libcuda.so.1": "libcuda.so.550.54.14",
        f"{LIB}/libnvidia-ml.so.1": "libnvidia-ml.so.550.54.14"}
    assert {dict(made.libraries)[name] for name in ("libcuda.so", "libcuda.so.1", "libcuda.so.550.54.14")} == {
        f"{LIB}/libcuda.so.550.54.14"}


def test_a_mig_instance_gets_its_capability_nodes(tmp_path: Path) -> None:
    root = kit.machine(tmp_path)
    (root / "dev/nvidia-caps").mkdir()
    nodes = ("/dev/nvidia-caps/nvidia-cap21", "/dev/nvidia-caps/nvidia-cap22")
    for node in nodes:
        (root / node[1:]).symlink_to("/dev/null")
    gpu = Gpu(0, kit.UUIDS[0], "A100", nodes=("/dev/nvidia0",), mig=True)
    made = driver_of([Unit(gpu, Mig(0, kit.MIG_UUIDS[0], nodes=nodes))], root)
    assert [d.target for d in made.devices][2:] == ["/dev/nvidia0", *nodes]
    for unit in (Unit(gpu, Mig(0, kit.MIG_UUIDS[0], nodes=nodes[:1])), Unit(Gpu(0, kit.UUIDS[0], "H100"))):
        with pytest.raises(EngineError, match="which device nodes") as caught:
            driver_of([unit], root)
        assert caught.value.code == "gpu.node"


def test_amd_needs_nodes_alone(tmp_path: Path) -> None:
    (tmp_path / "dev/dri").mkdir(parents=True)
    for name in ("kfd", "dri/renderD128", "dri/renderD129"):
        (tmp_path / "dev" / name).symlink_to("/dev/null")
    unit = Unit(Gpu(0, "", "MI300X", "amd", nodes=("/dev/dri/renderD129",)))
    assert driver_of([unit], tmp_path) == Driver(tuple(
        Device(tmp_path / f"dev/{name}", f"/dev/{name}") for name in ("kfd", "dri/renderD129")))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = kit.machine(tmp_path)
    (root / "dev/nvidia-uvm").unlink()
    with pytest.raises(EngineError) as caught:
        driver_of([ONE], root)
    assert caught.value.code == "gpu.node" and caught.value.where.endswith("nvidia-uvm")
    assert "modprobe nvidia-uvm" in caught.value.hint
    (root / "dev/nvidia-uvm").write_text("")
    with pytest.raises(EngineError, match="no device node"):
        driver_of([ONE], root)
    for content in (b"damaged", ldcache.build([("libz.so.1", "/usr/lib/libz.so.1")], "amd64")):
        (root / "etc/ld.so.cache").write_bytes(content)
        (root / "dev/nvidia-uvm").unlink()
        (root / "dev/nvidia-uvm").symlink_to("/dev/null")
        with pytest.raises(EngineError) as caught:
            driver_of([ONE], root)
        assert caught.value.code == "gpu.driver" and "nvidia-ctk" in caught.value.hint


def test_a_node_that_this_user_may_not_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia0").symlink_to("/dev/full")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root everything may be used
    with pytest.raises(EngineError) as caught:
        check_node(tmp_path / "nvidia0")
    assert caught.value.code == "gpu.node" and "may not use" in caught.value.what and caught.value.hint


def test_how_gpus_are_connected(tmp_path: Path) -> None:
    for name in ("devices/pci0000:00", "devices/pci0000:80", "bus/pci", "class/kfd", "kernel/debug"):
        (tmp_path / name).mkdir(parents=True)
    assert topology(tmp_path) == tuple(Mount(tmp_path / name, f"/sys/{name}", True) for name in (
        "bus/pci", "class/kfd", "devices/pci0000:00", "devices/pci0000:80"))
