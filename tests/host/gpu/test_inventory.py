"""Which GPUs there are, by a management library that is none and by made-up /proc and /sys; none was real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests import gpu_kit as kit

from bareboat.errors import EngineError
from bareboat.host.gpu import amd, nvml
from bareboat.host.gpu.choose import choose, units
from bareboat.host.gpu.inventory import inventory
from bareboat.host.gpu.values import Gpu, GpuProcess, Inventory, Mig
from bareboat.project.gpus import GpuRequest, parse_gpus

GIB = kit.GIB


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_what_nvml_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = kit.nvml(kit.TWO + f"proc {kit.UUIDS[0]}|77|{GIB}\nproc {kit.UUIDS[0]}|12|{2**64 - 1}\n", tmp_path,
                       monkeypatch)
    assert inventory(library, tmp_path) == Inventory((
        Gpu(0, kit.UUIDS[0], "NVIDIA H100 80GB HBM3", "nvidia", 80 * GIB, GIB, 30, "00000000:01:00.0",
            ("/dev/nvidia0",), processes=(GpuProcess(12), GpuProcess(77, GIB))),
        Gpu(1, kit.UUIDS[1], "NVIDIA H100 80GB HBM3", "nvidia", 80 * GIB, 0, 0, "00000000:02:00.0", ("/dev/nvidia1",)),
    ), "550.54.14", (12, 4))


def test_mig_instances_with_their_capability_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, minor in (("gi3", 21), ("gi3/ci0", 22), ("gi4", 30), ("gi4/ci0", 31)):
        write(tmp_path, f"proc/driver/nvidia/capabilities/gpu0/mig/{name}/access",
              f"DeviceFileMinor: {minor}\nDeviceFileMode: 292\nDeviceFileModify: 1\n")
    here = inventory(kit.nvml(kit.MIG, tmp_path, monkeypatch), tmp_path)
    first, second = here.gpus
    assert first.mig and not second.mig and first.processes == ()
    assert first.migs == (
        Mig(0, kit.MIG_UUIDS[0], "3g.20gb", 20 * GIB, GIB,
            ("/dev/nvidia-caps/nvidia-cap21", "/dev/nvidia-caps/nvidia-cap22"), (GpuProcess(4321, GIB),)),
        Mig(1, kit.MIG_UUIDS[1], "3g.20gb", 20 * GIB, 0,
            ("/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31")))
    assert [u.name for u in units(here.gpus)] == [*kit.MIG_UUIDS, "1"]
    assert [str(u) for u in units(here.gpus)] == [
        "GPU 0:0 NVIDIA A100-SXM4-40GB MIG 3g.20gb (21 GB)", "GPU 0:1 NVIDIA A100-SXM4-40GB MIG 3g.20gb (21 GB)",
        "GPU 1 NVIDIA A100-SXM4-40GB (43 GB)"]


@pytest.mark.parametrize(("says", "words"), [
    ("init 9", "not loaded"), ("init 4", "may not use"), ("init 18", "restart the machine"), ("init 999", "error 999")])
def test_a_driver_that_cannot_be_used(
        says: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(nvml.Unavailable, match=words) as caught:
        nvml.inventory(kit.nvml(says, tmp_path, monkeypatch))
    assert caught.value.installed


def test_one_gpu_that_may_not_be_used_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = nvml.inventory(kit.nvml(kit.TWO + "refuse 0|4\n", tmp_path, monkeypatch))
    assert [g.index for g in here.gpus] == [1]
    assert here.missing == ("NVIDIA GPU 0: this user may not use it",)


def test_no_library_and_one_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "LIBRARY", "libbareboat-no-such.so.1")
    here = inventory(None, tmp_path)
    assert here.gpus == () and "no NVIDIA driver" in here.missing[0] and "no AMD GPU" in here.missing[1]
    (tmp_path / "text.so").write_text("no ELF")
    with pytest.raises(nvml.Unavailable, match="cannot be loaded") as caught:
        nvml.inventory(tmp_path / "text.so")
    assert caught.value.installed


def test_a_library_that_has_none_of_the_newer_calls(tmp_path: Path) -> None:
    old = kit.library(tmp_path / "old.so", "libnvidia-ml.so.1", """
        int nvmlInit_v2(void) { return 0; }
        int nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = 0; return 0; }""")
    assert nvml.inventory(old) == Inventory((Gpu(0, "", ""),))


def test_who_was_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = kit.nvml(kit.TWO + f"sample {kit.UUIDS[0]}|5|80\nsample {kit.UUIDS[0]}|6|20\n", tmp_path, monkeypatch)

    def busy(*pids: int, of: tuple[str, ...] = kit.UUIDS[:2]) -> int | None:
        return nvml.activity(of, frozenset(pids), 0, library)

    assert (busy(5, 9), busy(6), busy(9), busy(5, of=kit.UUIDS[1:2]), busy(5, of=("GPU-x",))) == (80, 20, 0, 0, None)


NVIDIAS = """
import json
import pynvml as n
n.nvmlInit()
gpus = []
def about(h):
    m = n.nvmlDeviceGetMemoryInfo(h)
    return {"uuid": n.nvmlDeviceGetUUID(h), "name": n.nvmlDeviceGetName(h), "memory": m.total, "used": m.used,
            "processes": [[p.pid, p.usedGpuMemory] for p in n.nvmlDeviceGetComputeRunningProcesses(h)]}
for i in range(n.nvmlDeviceGetCount()):
    h = n.nvmlDeviceGetHandleByIndex(i)
    found = {**about(h), "minor": n.nvmlDeviceGetMinorNumber(h), "pci": n.nvmlDeviceGetPciInfo(h).busId, "migs": []}
    try:
        mig = n.nvmlDeviceGetMigMode(h)[0]
    except n.NVMLError_NotSupported:
        mig, found["busy"] = 0, n.nvmlDeviceGetUtilizationRates(h).gpu
    for j in range(n.nvmlDeviceGetMaxMigDeviceCount(h) if mig else 0):
        try:
            found["migs"].append(about(n.nvmlDeviceGetMigDeviceHandleByIndex(h, j)))
        except n.NVMLError_NotFound:
            pass
    gpus.append(found)
print(json.dumps([n.nvmlSystemGetDriverVersion(), n.nvmlSystemGetCudaDriverVersion_v2(), gpus]))
print(json.dumps([[s.pid, s.smUtil] for s in n.nvmlDeviceGetProcessUtilization(n.nvmlDeviceGetHandleByIndex(0), 0)]))
"""


def test_nvidias_own_binding_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the made-up library has NVML's ABI: calls, structures and error codes are those of nvidia-ml-py."""
    first = kit.UUIDS[0]
    says = (kit.TWO + f"proc {first}|77|{GIB}\nproc {first}|12|{2**64 - 1}\nsample {first}|77|40\n").replace(
        f"{80 * GIB}|0|0|00000000:02:00.0|0", f"{80 * GIB}|0|0|00000000:02:00.0|1") + "".join(
        f"mig 1|{n}|0|{uuid}|NVIDIA H100 80GB HBM3 MIG 3g.40gb|{40 * GIB}|{GIB}\n" for n, uuid in enumerate(
            kit.MIG_UUIDS))
    library = kit.nvml(says, tmp_path, monkeypatch)
    done = subprocess.run([sys.executable, "-c", NVIDIAS], capture_output=True, text=True, check=False,
                          env={**os.environ, "LD_LIBRARY_PATH": str(library.parent)})
    assert done.returncode == 0, done.stderr
    theirs, samples = map(json.loads, done.stdout.splitlines())
    here = nvml.inventory(library, tmp_path)

    def about(of: Gpu | Mig, name: str) -> dict[str, object]:
        return {"uuid": of.uuid, "name": name, "memory": of.memory, "used": of.used,
                "processes": sorted([p.pid, p.memory] for p in of.processes)}

    ours = []
    for gpu in here.gpus:
        found = {**about(gpu, gpu.name), "minor": int(gpu.nodes[0].removeprefix("/dev/nvidia")), "pci": gpu.pci,
                 "migs": [about(mig, f"{gpu.name} MIG {mig.name}") for mig in gpu.migs]}
        ours.append(found if gpu.mig else {**found, "busy": gpu.utilisation})
    for gpu in theirs[2]:
        gpu["processes"].sort()
    assert here.cuda is not None
    assert [here.driver, here.cuda[0] * 1000 + here.cuda[1] * 10, ours] == theirs
    assert samples == [[77, 40]] and nvml.activity((first,), frozenset({77}), 0, library) == 40


def card(root: Path, node: int, minor: int, used: int) -> None:
    write(root, f"sys/class/kfd/kfd/topology/nodes/{node}/properties",
          f"simd_count 304\ndrm_render_minor {minor}\nunique_id 8136\nlocation_id 25344\ndomain 0\n")
    write(root, f"sys/class/kfd/kfd/topology/nodes/{node}/name", "aqua_vanjaram\n")
    write(root, f"sys/class/kfd/kfd/topology/nodes/{node}/gpu_id", f"{node}00\n")
    device = f"sys/class/drm/renderD{minor}/device"
    write(root, f"{device}/mem_info_vram_total", f"{192 * GIB}\n")
    write(root, f"{device}/mem_info_vram_used", f"{used}\n")
    write(root, f"{device}/gpu_busy_percent", "7\n")


def test_amds_gpus(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/kfd/kfd/topology/nodes/0/properties", "simd_count 0\ncpu_cores_count 8\n")
    card(tmp_path, 1, 128, GIB)
    card(tmp_path, 10, 129, 0)
    card(tmp_path, 2, 130, 0)
    write(tmp_path, "sys/class/drm/renderD130/device/product_name", "AMD Instinct MI300X\n")
    write(tmp_path, "sys/class/kfd/kfd/proc/88/vram_100", f"{GIB}\n")
    write(tmp_path, "sys/class/kfd/kfd/proc/89/vram_100", "0\n")
    first, second, third = amd.gpus(tmp_path, 2)
    assert first == Gpu(2, "GPU-0000000000001fc8", "AMD aqua_vanjaram", "amd", 192 * GIB, GIB, 7, "00000000:63:00.0",
                        ("/dev/dri/renderD128",), processes=(GpuProcess(88, GIB),))
    assert (second.name, second.nodes, third.index) == ("AMD Instinct MI300X", ("/dev/dri/renderD130",), 4)
    assert amd.gpus(tmp_path / "none") == ()


def some(*used: int) -> Inventory:
    return Inventory(tuple(Gpu(n, kit.UUIDS[n], "H", used=u << 30, nodes=(f"/dev/nvidia{n}",)) for n, u in enumerate(
        used)))


@pytest.mark.parametrize(("text", "visible", "taken"), [
    ("all", None, "0 1 2"), ("1", None, "1"), ("2", None, "1 2"), ("device=2,0", None, "2 0"),
    (f"device={kit.UUIDS[1]}", None, "1"), ("device=GPU-1111", None, "1"), ("all", "2,0", "0 2"), ("1", "0", "0"),
    ("all", kit.UUIDS[2], "2"), ("all", "1,9,0", "1"), ("device=1", "0", "1")])
def test_which_are_chosen(text: str, visible: str | None, taken: str) -> None:
    assert " ".join(u.name for u in choose(parse_gpus(text), some(9, 0, 5), visible)) == taken


def test_what_containers_have_is_taken_last() -> None:
    here = some(0, 9, 5)
    assert [u.name for u in choose(parse_gpus("1"), here, None, {"0": 1})] == ["2"]
    assert [u.name for u in choose(parse_gpus("2"), here, None, {"0": 1, "1": 1, "2": 1})] == ["0", "2"]


@pytest.mark.parametrize(("text", "visible", "code"), [
    ("4", None, "gpu.too-few"), ("2", "0", "gpu.too-few"), ("all", "", "gpu.too-few"),
    ("device=3", None, "gpu.unknown"),
    ("device=0:0", None, "gpu.unknown"), ("device=GPU-9999", None, "gpu.unknown")])
def test_what_cannot_be_met_is_an_error(text: str, visible: str | None, code: str) -> None:
    with pytest.raises(EngineError) as caught:
        choose(parse_gpus(text), some(9, 0, 5), visible)
    assert caught.value.code == code


def test_mig_is_granted_by_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = inventory(kit.nvml(kit.MIG, tmp_path, monkeypatch), tmp_path)

    def taken(text: str) -> list[str]:
        return [u.name for u in choose(parse_gpus(text), here)]

    assert taken("all") == [*kit.MIG_UUIDS, "1"]
    assert taken("device=0") == list(kit.MIG_UUIDS)
    assert taken("device=0:1") == [kit.MIG_UUIDS[1]]
    assert taken(f"device={kit.MIG_UUIDS[0]},1") == [kit.MIG_UUIDS[0], "1"]
    assert taken("1") == [kit.MIG_UUIDS[1]]  # the other has a process
    bare = Inventory((Gpu(0, kit.UUIDS[0], "A100", mig=True),))
    with pytest.raises(EngineError) as caught:
        choose(GpuRequest(names=("0",)), bare)
    assert caught.value.code == "gpu.mig"
    with pytest.raises(EngineError) as caught:
        choose(GpuRequest(all=True), Inventory(missing=("the driver sleeps",)))
    assert caught.value.code == "gpu.none" and "the driver sleeps" in caught.value.what
