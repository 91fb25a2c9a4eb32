"""What of a machine is shared, and which GPUs are not free though nobody of ours has them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests import gpu_kit as kit
from tests.life_kit import until
from tests.world_kit import World

from bareboat.host.gpu.values import Gpu, GpuProcess, Mig, Unit
from bareboat.lease.values import SLOTS, Holding
from bareboat.verbs import machine
from bareboat.verbs.machine import Look, is_foreign, machine_of, unit_name

ME = os.getpid()


@pytest.fixture
def lab(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with two H100, one of which a process of this test uses."""
    kit.none_real(monkeypatch)
    library = kit.nvml(kit.TWO + f"proc {kit.UUIDS[0]}|{ME}|{kit.GIB}\n", tmp_path, monkeypatch)
    world.settings = replace(world.settings, gpu_cdi="/none", gpu_nvml=library)
    return world


def test_units_by_uuid_and_what_processes_outside_use(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # the caller's own, not the machine's
    found = machine_of(lab.work)
    assert found.units == kit.UUIDS[:2] and found.foreign == {kit.UUIDS[0]}
    assert found.cpus == os.cpu_count() and found.memory > 1 << 20


def test_who_holds_a_unit_is_not_foreign_on_it(lab: World) -> None:
    held = Holding(os.stat(f"/proc/{ME}").st_uid, "r", units=((kit.UUIDS[0], SLOTS),))
    assert machine_of(lab.work, [held]).foreign == frozenset()
    assert machine_of(lab.work, [replace(held, uid=held.uid + 1)]).foreign == {kit.UUIDS[0]}
    assert machine_of(lab.work, [replace(held, units=((kit.UUIDS[1], SLOTS),))]).foreign == {kit.UUIDS[0]}


def test_a_desktop_takes_a_gpu_from_nobody() -> None:
    unit = Unit(Gpu(0, "GPU-1", "a", processes=(GpuProcess(ME, 5, True),)))
    assert not is_foreign(unit)
    assert is_foreign(Unit(Gpu(0, "GPU-1", "a", processes=(GpuProcess(ME, 5),))))


def test_without_gpus_there_are_processors_still(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.none_real(monkeypatch)
    world.settings = replace(world.settings, gpu_cdi="/none")
    assert machine_of(world.work).units == ()


def test_names_that_are_the_same_for_everybody_and_good_for_a_file() -> None:
    assert unit_name(Unit(Gpu(3, "GPU-ab", "a"))) == "GPU-ab"
    assert unit_name(Unit(Gpu(3, "GPU-ab", "a", mig=True), Mig(0, "MIG-GPU-ab/1/0"))) == "MIG-GPU-ab_1_0"
    assert unit_name(Unit(Gpu(3, "", "a", "amd"))) == "amd-3"


def test_a_look_is_as_a_direct_one_and_is_not_asked_anew_at_once(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(lab.work, fresh=1000.0)
    assert look() == machine_of(lab.work)
    monkeypatch.setattr(machine, "_asked", lambda work: ())
    assert look().units == kit.UUIDS[:2]
    held = Holding(os.stat(f"/proc/{ME}").st_uid, "r", units=((kit.UUIDS[0], SLOTS),))
    assert look([held]).foreign == frozenset()  # what is held is of this moment
    assert Look(lab.work)().units == ()


def test_a_driver_that_does_not_answer_keeps_nobody_waiting(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    look = Look(lab.work, fresh=0.0, patience=20.0)
    before = look()
    children: list[int] = []
    fork = os.fork

    def forked() -> int:
        children.append(fork())
        return children[-1]

    monkeypatch.setattr(os, "fork", forked)
    monkeypatch.setattr(machine, "_asked", lambda work: signal.pause())
    assert [look() for _ in range(3)] == [before] * 3 and len(children) == 1  # one child that hangs is enough
    until(lambda: not os.path.lexists(f"/proc/{children[0]}/fd/{write}"))  # and it keeps nothing of its parent's open
    silent = Look(lab.work, fresh=0.0, patience=0.01)
    assert silent().units == ()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for each in (look, silent):
        each.close()
    os.close(read)
    os.close(write)


def test_a_driver_that_kills_who_asks_is_survived(lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(lab.work, fresh=0.0)
    before = look()
    monkeypatch.setattr(machine, "_asked", lambda work: os.kill(os.getpid(), signal.SIGKILL))
    monkeypatch.setattr(look, "_fresh", 20.0)
    look._at = -1e9
    assert look() == before
