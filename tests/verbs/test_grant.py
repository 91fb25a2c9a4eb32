"""GPUs of a run: chosen, said, recorded; and what cannot be met, which never becomes a run on the CPU unasked."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests import gpu_kit as kit
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.errors import BareboatError
from bareboat.host.gpu import driver
from bareboat.host.gpu.values import Gpu, Inventory
from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import Place
from bareboat.lease.values import SLOTS, Holding
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
    new = grants.renewed(old, Holding(0, "again"), lab.work)
    assert new.driver.mounts[0].target == "/opt/nv/lib/libcuda.so.1000.1"
    assert (new.driver.granted, new.driver.devices) == ("device=1", old.driver.devices)
    assert decode(Workload, encode(new), "x") == new and new.driver.holder == "again"
    bare = replace(old, driver=Driver())
    assert grants.renewed(bare, Holding(0, "again"), lab.work) is bare


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
        grant(GpuRequest(count=1), made, {}, lab.work, Holding(0, "r"))
    assert caught.value.code == "gpu.platform"
    assert grant(GpuRequest(count=1, optional=True), made, {}, lab.work, Holding(0, "r")) is None


def meeting(lab: World) -> FlockLeases:
    """Another process's view of who has what."""
    return FlockLeases(Place(lab.base / "leases", True))


def held(lab: World, *units: tuple[str, int], **more: object) -> object:
    """Somebody has these; kept by the caller."""
    lease = meeting(lab).take(replace(Holding(0, "theirs", "unet", units=units), **more))  # type: ignore[arg-type]
    assert lease is not None
    return lease


def test_what_runs_is_told_to_others_until_it_ends(lab: World) -> None:
    seen: list[Holding] = []
    lab.program("look", lambda guest: seen.extend(meeting(lab).holdings()) or 0)  # type: ignore[func-returns-value]
    request = replace(asked("device=1"), program=("look",), name="try")
    record = run(request, lab.work)
    assert [(h.run, h.name, h.kind, h.units, h.preemptible) for h in seen] == [
        (record.id, "try", "session", ((kit.UUIDS[1], SLOTS),), False)]
    assert seen[0].started > 0 and seen[0].ends == 0.0
    assert meeting(lab).holdings() == ()


def test_a_failed_start_gives_back(lab: World) -> None:
    assert refused(lab, asked("device=1", env=("CUDA_VISIBLE_DEVICES=1",))).code == "gpu.numbering"
    assert meeting(lab).holdings() == ()


def test_a_gpu_of_others_is_passed_by_and_where_there_is_no_other_it_is_said_who_has_it(lab: World) -> None:
    mine = held(lab, (kit.UUIDS[1], SLOTS), ends=2e9)
    assert run(asked("1"), lab.work).gpus == "device=0"
    other = held(lab, (kit.UUIDS[0], 3), kind="session", name="lab")
    for words in ("1", "all", "2", "device=1"):
        error = refused_of(lab, asked(words))
        assert error.code == "gpu.taken" and "GPU 1 has your training unet until " in error.what
        assert "bareboat train --gpus" in error.hint
    assert "GPU 0 has your session lab (3/12 of it)" in refused_of(lab, asked("all")).what
    (lab.root / "bareboat.toml").write_text('gpu = "optional"\n')
    assert run(asked(None), lab.work).gpus == ""
    assert any(line.startswith("without a GPU: the GPUs asked for (1) are not free") for line in lab.tell.lines)
    del mine, other


def refused_of(world: World, request: RunRequest) -> BareboatError:
    with pytest.raises(BareboatError) as caught:
        run(request, world.work)
    return caught.value


def test_a_lock_without_a_word_is_one_too(lab: World) -> None:
    from bareboat.lease import units

    with meeting(lab).turn():
        pass
    directory = os.open(lab.base / "leases", os.O_RDONLY)
    locks = units.take(directory, [(kit.UUIDS[1], SLOTS)])
    try:
        assert run(asked("1"), lab.work).gpus == "device=0"
        error = refused_of(lab, asked("device=1"))
        assert error.code == "gpu.taken" and f"process {os.getpid()} of " in error.what
    finally:
        for descriptor in (*locks, directory):
            os.close(descriptor)


def test_shares_go_side_by_side_on_one_and_say_how_much_they_have(lab: World) -> None:
    inside: list[str] = []
    shares: list[tuple[tuple[str, int], ...]] = []

    def first(guest: Guest) -> int:
        inside.append(run(asked("0.5"), lab.work).gpus)
        inside.append(run(asked("1"), lab.work).gpus)
        shares.extend(h.units for h in meeting(lab).holdings())
        return 0

    lab.program("first", first)
    record = run(replace(asked("0.25"), program=("first",), results=lab.base / "other"), lab.work)
    assert (record.gpus, inside) == ("device=1", ["device=1", "device=0"])
    assert shares == [((kit.UUIDS[1], 3),)]
    env = dict(lab.engine.ran[0].driver.env)
    assert (env["BAREBOAT_GPU_MEMORY_SHARE"], env["XLA_PYTHON_CLIENT_MEM_FRACTION"]) == ("0.2500", "0.23")
    assert "BAREBOAT_GPU_MEMORY_SHARE" not in dict(lab.engine.ran[2].driver.env)


def test_a_share_is_leased_again_when_its_container_is_started_again(lab: World) -> None:
    run(asked("0.25"), lab.work)
    work = lab.work
    grants.renewed(lab.engine.ran[0], Holding(0, "again"), work)
    assert [h.units for h in meeting(lab).holdings()] == [((kit.UUIDS[1], 3),)]
    other = held(lab, (kit.UUIDS[1], 9))
    with pytest.raises(BareboatError, match="not free"):
        grants.renewed(lab.engine.ran[0], Holding(0, "third"), lab.work)
    del other, work


def test_what_was_leased_for_a_queued_run_is_what_it_gets(lab: World) -> None:
    from bareboat.verbs.grant import granted_to

    run(asked("1"), lab.work)
    plain = replace(lab.engine.ran[0], driver=Driver(), gpus="")
    load = granted_to(plain, ((kit.UUIDS[1], SLOTS), (kit.UUIDS[0], SLOTS)), lab.work)
    assert (load.gpus, load.driver.granted) == ("device=1,0", "device=1,0")
    assert [d.target for d in load.driver.devices][2:] == ["/dev/nvidia1", "/dev/nvidia0"]
    share = granted_to(plain, ((kit.UUIDS[0], 4),), lab.work)
    assert dict(share.driver.env)["BAREBOAT_GPU_MEMORY_SHARE"] == "0.3333"
    assert granted_to(plain, (), lab.work) is plain
    with pytest.raises(BareboatError) as caught:
        granted_to(plain, (("GPU-gone", SLOTS),), lab.work)
    assert caught.value.code == "gpu.gone"


def test_what_a_run_without_a_gpu_may_take_is_told_too(lab: World) -> None:
    seen: list[Holding] = []
    lab.program("look", lambda guest: seen.extend(meeting(lab).holdings()) or 0)  # type: ignore[func-returns-value]
    limited = replace(asked(None), program=("look",), resources=Resources(cpus=1.5, memory=1 << 30))
    record = run(limited, lab.work)
    assert [(h.run, h.kind, h.units, h.cpus, h.memory) for h in seen] == [(record.id, "session", (), 1.5, 1 << 30)]
    assert meeting(lab).holdings() == ()
    (lab.base / "leases").chmod(0o777)  # where nobody can be told it runs all the same
    assert run(replace(limited, program=("true",)), lab.work).exit_code == 0
    assert "nobody is told of its CPUs and memory" in lab.tell.text
    assert refused_of(lab, asked("1")).code == "lease.directory"
