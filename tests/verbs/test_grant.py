"""GPUs of a run: chosen, said, recorded; and what cannot be met, which never becomes a run on the CPU unasked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests import gpu_kit as kit
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.errors import BareboatError
from bareboat.host.gpu import driver
from bareboat.host.gpu.values import Gpu, Inventory
from bareboat.project.values import Resources
from bareboat.record.codec import decode, encode
from bareboat.verbs import grant as grants
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.run import run
from bareboat.workload import Driver, Workload


def asked(gpus: str | None, **more: object) -> RunRequest:
    return RunRequest(program=("true",), resources=Resources(gpus=gpus), **more)  # type: ignore[arg-type]


@pytest.fixture
def lab(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with two H100 by NVML and by CDI."""
    kit.cdi_yaml(tmp_path / "cdi", kit.library(tmp_path / "libcuda.so.999.88", "libcuda.so.1"))
    world.settings = replace(world.settings, gpu_cdi=f"/none:{tmp_path / 'cdi'}",
                             gpu_nvml=kit.nvml(kit.TWO, tmp_path, monkeypatch))
    kit.none_real(monkeypatch)
    return world


@pytest.fixture
def bare(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world without any."""
    kit.none_real(monkeypatch)
    world.settings = replace(world.settings, gpu_cdi="/none")
    return world


def refused(world: World, request: RunRequest) -> BareboatError:
    with pytest.raises(BareboatError) as caught:
        run(request, world.work)
    assert not world.engine.ran and not world.store.runs.ids()
    return caught.value


def test_what_is_granted_is_said_first_and_recorded(lab: World) -> None:
    record = run(asked("1"), lab.work)
    first = next(n for n, line in enumerate(lab.tell.lines) if "GPU" in line)
    assert lab.tell.lines[first] == "GPU 1 NVIDIA H100 80GB HBM3 (86 GB); driver 550.54.14"
    assert lab.tell.lines[first + 1].startswith("engine memory")
    load = lab.engine.ran[0]
    assert (record.gpus, load.gpus) == ("device=1", "device=1")
    assert [d.target for d in load.driver.devices] == ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia1"]
    assert ("NVIDIA_VISIBLE_DEVICES", "void") in load.driver.env
    assert not any(name == "NVIDIA_VISIBLE_DEVICES" for name, _ in load.env)
    assert run(asked("all"), lab.work).gpus == "device=0,1"
    assert run(asked(f"device={kit.UUIDS[0]}"), lab.work).gpus == "device=0"


def test_what_the_user_sets_is_left_alone(lab: World) -> None:
    run(asked("1", env=("NVIDIA_VISIBLE_DEVICES=mine",)), lab.work)
    load = lab.engine.ran[0]
    assert ("NVIDIA_VISIBLE_DEVICES", "mine") in load.env and load.driver.env == ()


def test_the_project_file_asks_and_the_command_line_decides(lab: World) -> None:
    (lab.root / "bareboat.toml").write_text('gpu = "required"\n')
    assert run(asked(None), lab.work).gpus == "device=1"
    assert run(asked("none"), lab.work).gpus == ""
    (lab.root / "bareboat.toml").write_text('gpu = "none"\nresources.gpus = 1\n')
    assert lab.tell.lines and refused_code(lab, asked(None)) == "project.gpus"


def refused_code(world: World, request: RunRequest) -> str:
    with pytest.raises(BareboatError) as caught:
        run(request, world.work)
    return caught.value.code


def test_what_cannot_be_met_is_an_error_and_optional_says_so(bare: World) -> None:
    error = refused(bare, asked("1"))
    assert error.code == "gpu.none" and "no NVIDIA driver here" in error.what
    (bare.root / "bareboat.toml").write_text('gpu = "optional"\n')
    assert run(asked(None), bare.work).gpus == ""
    assert any(line.startswith("without a GPU: there is no GPU here") for line in bare.tell.lines)
    assert refused_code(bare, asked("all")) == "gpu.none"  # the command line is not optional


def test_two_containers_at_once_get_one_each(lab: World) -> None:
    inside: list[str] = []

    def first(guest: Guest) -> int:
        inside.append(run(asked("1"), lab.work).gpus)
        return 0

    lab.program("first", first)
    request = replace(asked("1"), program=("first",), name="outer", results=lab.base / "other")
    assert (run(request, lab.work).gpus, inside) == ("device=1", ["device=0"])


@pytest.mark.parametrize(("request_", "code"), [
    (asked("3"), "gpu.too-few"), (asked("device=7"), "gpu.unknown"),
    (asked("device=1", env=("CUDA_VISIBLE_DEVICES=1",)), "gpu.numbering"),
    (asked("1", env=(f"CUDA_VISIBLE_DEVICES={kit.UUIDS[0]}",)), "gpu.numbering"),
    (asked("1", env=("NVIDIA_REQUIRE_CUDA=cuda>=13.0",)), "gpu.image-requires"),
])
def test_refused_before_anything_starts(lab: World, request_: RunRequest, code: str) -> None:
    assert refused(lab, request_).code == code


@pytest.mark.parametrize("value", ["0", "-1", "", kit.UUIDS[1], "GPU-1111"])
def test_numbers_as_they_are_inside(lab: World, value: str) -> None:
    assert run(asked("device=1", env=(f"CUDA_VISIBLE_DEVICES={value}",)), lab.work).exit_code == 0


def test_the_callers_own_selection_bounds_a_number(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert run(asked("1"), lab.work).gpus == run(asked("all"), lab.work).gpus == "device=0"
    assert refused_code(lab, asked("2")) == "gpu.too-few"


def test_the_lock_is_held_against_the_driver(lab: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.publish("nvidia_cuda_runtime_cu12", "12.4.127")
    lab.require("nvidia-cuda-runtime-cu12")
    kit.nvml(kit.TWO.replace("12040", "11040").replace("550.54.14", "470.161.03"), tmp_path, monkeypatch)
    error = refused(lab, asked("1"))
    assert error.code == "gpu.driver-old" and "nvidia-cuda-runtime-cu12 12.4.127" in error.what
    assert "470.161.03" in error.what and "525.60.13" in error.hint
    kit.nvml(kit.TWO.replace("12040", "12010"), tmp_path, monkeypatch)
    run(asked("1"), lab.work)
    assert "PTX" in lab.tell.text


def test_engines_with_a_way_of_their_own_are_told_and_given_nothing(lab: World) -> None:
    lab.engine.name = "docker"
    assert run(asked("all"), lab.work).gpus == "device=0,1"
    load = lab.engine.ran[0]
    assert load.gpus == "device=0,1" and load.devices == () and not load.driver.devices and not load.driver.mounts


def test_podman_is_told_the_names_of_its_specifications(lab: World, tmp_path: Path) -> None:
    lab.engine.name = "podman"
    assert run(asked("1"), lab.work).gpus == "device=1"
    assert lab.engine.ran[0].gpus == f"device={kit.UUIDS[1]}"
    lab.settings = replace(lab.settings, gpu_cdi="/none")
    assert refused_code(lab, asked("1")) == "gpu.podman"


def test_amds_nodes_are_for_every_engine(lab: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = Gpu(0, "GPU-00000000000000aa", "AMD Instinct MI300X", "amd", nodes=("/dev/full",))
    monkeypatch.setattr(grants, "machine", lambda specs, work: Inventory((unit,)))
    monkeypatch.setattr(driver, "KFD", "/dev/zero")
    for engine in ("docker", "podman"):
        lab.engine.name = engine
        assert run(asked("1"), lab.work).gpus == "device=0"
        load = lab.engine.ran[-1]
        assert load.gpus == "" and [d.target for d in load.devices] == ["/dev/zero", "/dev/full"]
    lab.engine.name = "bubblewrap"
    run(asked("1"), lab.work)
    load = lab.engine.ran[-1]
    assert load.devices == () and [d.target for d in load.driver.devices] == ["/dev/zero", "/dev/full"]


def test_nodes_that_are_not_there(lab: World) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has them")
    lab.settings = replace(lab.settings, gpu_cdi="/none")
    error = refused(lab, asked("1"))
    assert (error.code, error.where) == ("gpu.node", "/dev/nvidiactl")


def test_a_container_that_is_started_again_has_the_driver_of_now(lab: World, tmp_path: Path) -> None:
    run(asked("1"), lab.work)
    old = lab.engine.ran[0]
    (tmp_path / "libcuda.so.999.88").rename(tmp_path / "libcuda.so.1000.1")
    kit.cdi_yaml(tmp_path / "cdi", tmp_path / "libcuda.so.1000.1")
    new = grants.renewed(old, lab.work)
    assert new.driver.mounts[0].target == "/opt/nv/lib/libcuda.so.1000.1"
    assert (new.driver.granted, new.driver.devices) == ("device=1", old.driver.devices)
    assert decode(Workload, encode(new), "x") == new
    bare = replace(old, driver=Driver())
    assert grants.renewed(bare, lab.work) is bare


def test_a_broken_specification_is_an_error_with_its_file(lab: World, tmp_path: Path) -> None:
    (tmp_path / "cdi/nvidia.yaml").write_text("kind: nvidia.com/gpu\nkind: x\n")
    error = refused(lab, asked("1"))
    assert (error.code, error.where) == ("gpu.cdi", str(tmp_path / "cdi/nvidia.yaml"))


def test_only_of_cdi(lab: World) -> None:
    lab.settings = replace(lab.settings, gpu_nvml=None)
    record = run(asked("device=1"), lab.work)
    assert record.gpus == "device=1" and "GPU 1 nvidia.com/gpu=1" in lab.tell.lines


def test_an_emulated_program_has_no_gpu(lab: World) -> None:
    from bareboat.project.gpus import GpuRequest
    from bareboat.verbs.environment import Environment
    from bareboat.verbs.grant import grant

    other = "linux/arm64" if kit.platform() != "linux/arm64" else "linux/amd64"
    made = Environment("", "", (), (), (), "/", platform=other)
    with pytest.raises(BareboatError) as caught:
        grant(GpuRequest(count=1), made, {}, lab.work)
    assert caught.value.code == "gpu.platform"
    assert grant(GpuRequest(count=1, optional=True), made, {}, lab.work) is None
