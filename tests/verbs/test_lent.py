"""GPUs that are held by the process beside a container, whoever started it and however it ends."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests import gpu_kit as kit
from tests.life_kit import Fleet, until
from tests.queue_kit import Yard

from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import Place
from bareboat.lease.values import SLOTS, Holding
from bareboat.settings import Settings
from bareboat.training.values import Interrupt, Need, Training
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


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    """A queue on a machine with two pretend GPUs."""
    kit.cdi_yaml(tmp_path / "cdi", kit.library(tmp_path / "libcuda.so.999.88", "libcuda.so.1"))
    monkeypatch.setenv("BAREBOAT_GPU_NVML", str(kit.nvml(kit.TWO, tmp_path, monkeypatch)))
    monkeypatch.setenv("BAREBOAT_GPU_CDI", str(tmp_path / "cdi"))
    made = Yard(tmp_path)
    yield made
    made.close()


SEEN = "for n in 0 1; do [ -e /dev/nvidia$n ] && echo gpu $n; done; read up _ < /proc/uptime; echo at $up; "


def test_queued_runs_have_their_gpus_to_themselves(yard: Yard) -> None:
    script = SEEN + "sleep 0.2; read up _ < /proc/uptime; echo at $up"
    runs = yard.submit(*[script] * 5, training=Training(need=Need(gpus=1)))
    yard.wake()
    assert {yard.over(run).state for run in runs} == {"succeeded"}
    spans: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        gpu, begun, ended = (line.split()[1] for line in yard.said(run).splitlines())
        spans.setdefault(gpu, []).append((float(begun), float(ended)))
    assert set(spans) == {"0", "1"}
    for times in map(sorted, spans.values()):
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(times))
    assert yard.queue.leases.holdings() == ()


def test_shares_run_side_by_side_and_are_told_their_part(yard: Yard) -> None:
    script = SEEN + "env | grep -E 'SHARE|MEM_FRACTION' | sort; sleep 60"
    runs = yard.submit(script, script, training=Training(need=Need(gpus=0.5)))
    yard.wake()
    for run in runs:
        yard.until(run, lambda _, run=run: "XLA" in yard.said(run))  # type: ignore[misc]
        assert "BAREBOAT_GPU_MEMORY_SHARE=0.5000\nXLA_PYTHON_CLIENT_MEM_FRACTION=0.45\n" in yard.said(run)
    assert sorted(h.run for h in yard.queue.leases.holdings()) == sorted(runs)


def test_what_is_asked_to_end_says_so_to_all(yard: Yard) -> None:
    from bareboat.supervisor.client import ask

    how = Training(need=Need(gpus=1, seconds=3600), interrupt=Interrupt(grace=3.0, kill=1.0))
    run, = yard.submit("trap : USR1; echo up; while :; do sleep 0.05; done", training=how)
    yard.wake()
    yard.until(run, lambda _: "up" in yard.said(run))
    [held] = yard.queue.leases.holdings()
    assert (held.run, held.kind, held.ending) == (run, "training", False) and held.ends > held.started > 0
    ask(yard.store.runs.path(run), 5.0, do="interrupt", cause="preempted")
    until(lambda: [h.ending for h in yard.queue.leases.holdings() if h.run == run] == [True])
    yard.until(run, lambda entry: entry.attempt == 2)
