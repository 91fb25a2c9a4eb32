"""What an administrator's limits make of what is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.verbs import conftest
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.errors import UsageError
from bareboat.project.values import Resources
from bareboat.settings import Settings
from bareboat.supervisor.rules import Rules
from bareboat.values import replace
from bareboat.verbs import containers
from bareboat.verbs.allowed import time_within, within
from bareboat.verbs.launch import Life, create
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.rerun import RerunRequest, rerun
from bareboat.verbs.run import run
from bareboat.workload import Limits, Rootfs, Workload

index, world = conftest.index, conftest.world  # fixtures
FILE = "/etc/bareboat/settings.toml"
G = 1 << 30


def settings(**more: object) -> Settings:
    names = {"limits_memory": 8 * G, "limits_cpus": 4.0, "limits_pids": 100, "limits_gpus": 1,
             "limits_max_time": 3600.0}
    sources = tuple((name.replace("_", ".", 1).replace("_", "-"), FILE) for name in {**names, **more})
    return Settings(**{**names, **more}, sources=sources)  # type: ignore[arg-type]


def asked(*limits: object, gpus: str = "") -> Workload:
    return Workload(Rootfs(()), ("true",), (), "/", limits=Limits(*limits), gpus=gpus)  # type: ignore[arg-type]


def test_who_asks_for_nothing_gets_the_default_else_the_most() -> None:
    assert within(asked(), settings()).limits == Limits(8 * G, 4.0, 100)
    found = within(asked(), settings(defaults_memory=2 * G, defaults_cpus=9.0)).limits
    assert (found.memory, found.cpus) == (2 * G, 4.0), "no default goes above the most"
    assert within(asked(), Settings(defaults_memory=G)).limits == Limits(memory=G)


def test_what_is_within_stays() -> None:
    load = asked(G, 0.5, 10, gpus="device=3")
    assert within(load, settings()) == load


@pytest.mark.parametrize(("limits", "name"), [
    ((9 * G,), "memory"), ((None, 4.5), "cpus"), ((None, None, 101), "pids"), ((None, None, None, 2 * G), "shm-size"),
])  # fmt: skip
def test_what_is_above_is_refused_with_the_file_that_says_so(limits: tuple[object, ...], name: str) -> None:
    with pytest.raises(UsageError) as caught:
        within(asked(*limits), settings(limits_shm_size=G))
    assert (caught.value.code, caught.value.where) == ("limits.above", FILE) and name in caught.value.what


def test_gpus_are_counted() -> None:
    for gpus, most in (("device=0,1", 1), ("device=0", 0)):
        with pytest.raises(UsageError) as caught:
            within(asked(gpus=gpus), settings(limits_gpus=most))
        assert (caught.value.code, caught.value.where) == ("limits.gpus", FILE)


def test_shared_memory_unasked_is_no_more_than_an_engine_gives() -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert within(asked(), settings(limits_shm_size=G)).limits.shm_size == min(G, memory // 2)
    assert within(asked(), settings(limits_shm_size=memory * 2)).limits.shm_size == memory // 2


def test_a_fixed_size_of_shared_memory_is_kept() -> None:
    fixed = settings(shm_size=G, fixed=("shm-size",))
    assert within(asked(None, None, None, G), fixed).limits.shm_size == G
    with pytest.raises(UsageError) as caught:
        within(asked(None, None, None, 2 * G), fixed)
    assert caught.value.code == "settings.fixed"


def test_time() -> None:
    assert time_within(None, settings()) == 3600 and time_within(60, settings()) == 60
    assert time_within(None, settings(defaults_max_time=60.0)) == 60
    assert time_within(7200, settings(), cap=True) == 3600 and time_within(None, Settings()) is None
    with pytest.raises(UsageError, match="2h is asked for; a run may have 1h"):
        time_within(7200, settings())


def test_a_run_and_its_repetition_stay_within(world: World, tmp_path: Path) -> None:
    world.require("beta")
    first = run(RunRequest(program=("true",), project=world.root, resources=Resources(memory=9 * G)), world.work)
    assert first.limits.memory == 9 * G
    held = settings()
    world.settings = replace(world.settings, limits_memory=8 * G, limits_pids=7, sources=held.sources)
    with pytest.raises(UsageError) as caught:
        run(RunRequest(program=("true",), project=world.root, resources=Resources(memory=9 * G)), world.work)
    assert caught.value.code == "limits.above"
    (world.root / "bareboat.toml").write_text('[resources]\nmemory = "9g"\n')
    with pytest.raises(UsageError) as caught:
        run(RunRequest(program=("true",), project=world.root), world.work)
    assert caught.value.code == "limits.above", "a project's file goes no further either"
    (world.root / "bareboat.toml").unlink()
    again = run(RunRequest(program=("true",), project=world.root), world.work)
    assert (again.limits.memory, again.limits.pids) == (8 * G, 7)
    repeated = rerun(RerunRequest(first.id, into=tmp_path / "again"), world.work)
    assert repeated.new.limits.memory == 8 * G


def test_no_container_lasts_longer_than_allowed(world: World, tmp_path: Path) -> None:
    seen: list[float] = []

    def look(guest: Guest) -> int:
        seen.extend(found.container.rules.max_time for found in containers.listed(world.store))
        return 0

    world.program("look", look)
    world.require("beta")
    world.settings = replace(world.settings, limits_max_time=3600.0, sources=(("limits.max-time", FILE),))
    request = RunRequest(program=("look",), project=world.root)
    first = run(request, world.work)
    run(request, world.work, Life(rules=Rules(max_time=60.0)))
    rerun(RerunRequest(first.id, into=tmp_path / "again"), world.work)
    assert seen == [3600.0, 60.0, 3600.0]
    with pytest.raises(UsageError) as caught:
        run(request, world.work, Life(rules=Rules(max_time=7200.0)))
    assert (caught.value.code, caught.value.where) == ("limits.above", FILE)
    container, _ = create(request, Life(), world.work)
    assert container.rules.max_time == 3600.0
    with pytest.raises(UsageError):
        create(request, Life(rules=Rules(max_time=7200.0)), world.work)
