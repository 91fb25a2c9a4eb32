"""GPUs that are held by the process beside a container, whoever started it and however it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.life_kit import Fleet, until

from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import Place
from bareboat.lease.values import SLOTS, Holding
from bareboat.settings import Settings
from bareboat.verbs import enter, launch
from bareboat.verbs.containers import Container
from bareboat.verbs.lent import leases_of
from bareboat.workload import Driver

GPU = "GPU-11111111-1f69"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    made.work = replace(made.work, settings=Settings(home=tmp_path / "home", leases_path=tmp_path / "leases"))
    yield made
    made.close()


def started(fleet: Fleet, *argv: str, slots: int = SLOTS, **more: object) -> Container:
    """A container for which this process leased a GPU."""
    container, kept = fleet.create(*argv, **more)  # type: ignore[arg-type]
    lease = leases_of(fleet.work).take(Holding(0, container.id, units=((GPU, slots),), kind="session"))
    assert lease is not None
    fleet.work.lent.held[container.id] = lease
    driver = Driver(granted="device=0", holder=container.id)
    return launch.launch(container, replace(kept, workload=replace(kept.workload, driver=driver)), fleet.work)


def view(fleet: Fleet) -> FlockLeases:
    return FlockLeases(Place(Path(os.fspath(fleet.work.settings.leases_path)), True))


@pytest.mark.parametrize("slots", [SLOTS, 5])
def test_the_supervisor_has_it_until_the_end(fleet: Fleet, slots: int) -> None:
    made = started(fleet, "sh", "-c", "sleep 60", name="c", slots=slots)
    assert fleet.work.lent.held == {}
    held = view(fleet).holdings()
    assert [(h.run, h.name, h.units) for h in held] == [(made.id, "c", ((GPU, slots),))] and held[0].started > 0
    assert view(fleet).take(Holding(0, "other", units=((GPU, SLOTS),))) is None
    enter.stop("c", fleet.store, 1.0)
    until(lambda: view(fleet).take(Holding(0, "other", units=((GPU, SLOTS),))))
    assert made.id not in {h.run for h in view(fleet).holdings()}


def test_a_supervisor_that_is_killed_frees_it(fleet: Fleet) -> None:
    started(fleet, "sh", "-c", "sleep 60", name="c")
    os.kill(fleet.supervisor("c"), signal.SIGKILL)
    until(lambda: view(fleet).take(Holding(0, "other", units=((GPU, SLOTS),))))


def test_the_program_inside_has_no_descriptor_of_it(fleet: Fleet) -> None:
    started(fleet, "sh", "-c", "ls -l /proc/self/fd; sleep 60", name="c")
    until(lambda: b"-> " in fleet.log("c"))
    assert b"leases" not in fleet.log("c")
