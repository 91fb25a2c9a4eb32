"""The user's cache: there when it is asked for, found by its variables, and nobody's data."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.errors import StoreError
from bareboat.verbs.caches import TARGET, VARIABLES, variables
from bareboat.verbs.collaborators import Work
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.run import run


def asked(*program: str, **more: object) -> RunRequest:
    return RunRequest(program=program, **more)  # type: ignore[arg-type]


@pytest.fixture
def ready(world: World) -> World:
    world.require("beta")
    return world


def of(world: World, number: int = -1) -> tuple[dict[str, str], list[str]]:
    load = world.engine.ran[number]
    return dict(load.env), [os.fspath(m.source) for m in load.mounts if m.target == TARGET]


@pytest.mark.parametrize(("said", "project", "setting", "there"), [
    (None, None, False, False), (True, None, False, True), (None, True, False, True), (None, None, True, True),
    (False, True, True, False), (None, False, True, False), (True, False, False, True),
])
def test_the_command_line_then_the_project_then_the_settings(
        ready: World, said: bool | None, project: bool | None, setting: bool, there: bool) -> None:
    if project is not None:
        (ready.root / "bareboat.toml").write_text(f"cache = {str(project).lower()}\n")
    ready.settings = replace(ready.settings, cache=setting)
    record = run(asked("true", cache=said), ready.work)
    env, mounted = of(ready)
    assert ("HF_HOME" in env, bool(mounted)) == (there, there)
    assert [m.source for m in record.mounts if m.kind == "cache"] == ["bareboat-cache"] * there


def test_all_projects_share_it_and_nothing_of_it_is_recorded(ready: World) -> None:
    def load(guest: Guest) -> int:
        path = guest.env["TORCH_HOME"] + "-weights"
        try:
            return len(guest.read(path))
        except FileNotFoundError:
            guest.write(path, b"1234567")
            return 0

    ready.program("load", load)
    first = run(asked("load", cache=True), ready.work)
    second = run(asked("load", cache=True), ready.work)
    assert (first.exit_code, second.exit_code) == (0, 7)
    assert first.lost.count == 0 and first.data == second.data == () and first.code == second.code
    mounted = of(ready)[1]
    assert mounted == [os.fspath(ready.store.home / "volumes/bareboat-cache/data")]
    assert not any(m.read_only for m in ready.engine.ran[-1].mounts if m.target == TARGET)


def test_what_is_said_of_a_variable_goes_before(ready: World) -> None:
    (ready.root / "bareboat.toml").write_text('cache = true\nenv = {TORCH_HOME = "/mine"}\n')
    run(asked("true", env=("HF_HOME=/data/hf",)), ready.work)
    env, _ = of(ready)
    assert (env["TORCH_HOME"], env["HF_HOME"], env["PIP_CACHE_DIR"]) == ("/mine", "/data/hf", f"{TARGET}/pip")


def test_a_login_does_not_go_into_what_is_shared() -> None:
    found = variables("/home/user")
    assert found["HF_TOKEN_PATH"].startswith("/home/user/")
    assert all(found[name] == f"{TARGET}/{folder}" for name, folder in VARIABLES)
    assert len({folder for _, folder in VARIABLES}) == len(VARIABLES)


def test_a_directory_of_the_users_own(ready: World) -> None:
    ready.settings = replace(ready.settings, cache_directory=ready.base / "deep/cache")
    record = run(asked("true", cache=True), ready.work)
    assert of(ready)[1] == [os.fspath(ready.base / "deep/cache")] and ready.store.volumes.names() == []
    assert [m.source for m in record.mounts if m.kind == "cache"] == [os.fspath(ready.base / "deep/cache")]
    (ready.base / "file").touch()
    ready.settings = replace(ready.settings, cache_directory=ready.base / "file/cache")
    with pytest.raises(StoreError) as caught:
        run(asked("true", cache=True), ready.work)
    assert caught.value.code == "cache.directory"


def test_something_else_at_its_place_stays(ready: World) -> None:
    (ready.base / "own").mkdir()
    run(asked("true", cache=True, volumes=(f"{ready.base}/own:{TARGET}",)), ready.work)
    env, mounted = of(ready)
    assert mounted == [os.fspath(ready.base / "own")] and "HF_HOME" not in env


def test_it_is_in_use_meanwhile(ready: World) -> None:
    from bareboat.store import Store
    from bareboat.verbs.volumes import volumes

    seen: list[str] = []

    def look(guest: Guest) -> int:
        other = Work(Store.open(ready.store.home), ready.engine, ready.settings, ready.tell)
        seen.extend(v.name for v in volumes(other) if v.in_use)
        return 0

    ready.program("look", look)
    run(asked("look", cache=True), ready.work)
    assert seen == ["bareboat-cache"]
