"""shell over a world of our own: what is writable, what is kept, and how it is recorded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.errors import RecordError
from bareboat.verbs.prepare import HOME, RunRequest
from bareboat.verbs.rerun import RerunRequest, rerun
from bareboat.verbs.runs import RunFilter, runs
from bareboat.verbs.shell import ShellRequest, shell


def never(question: str) -> bool:
    raise AssertionError(question)


def session(world: World, call: object, **more: object) -> Guest:
    seen: list[Guest] = []

    def program(guest: Guest) -> int:
        seen.append(guest)
        return call(guest) or 0  # type: ignore[operator]

    world.program("sh", program)
    shell(ShellRequest(RunRequest(), **more), world.work, never)  # type: ignore[arg-type]
    return seen[0]


def test_code_and_home_are_written_to_and_data_are_not(world: World) -> None:
    world.require("beta")
    world.publish("pip", "99.0")
    (world.root / "data").mkdir()

    def work(guest: Guest) -> None:
        guest.write("/app/src/new.py", b"1\n")
        guest.write("/results/out.csv", b"1\n")
        guest.write(f"{HOME}/.history", b"ls\n")
        with pytest.raises(PermissionError):
            guest.write("/data/x", b"")

    guest = session(world, work)
    assert (world.root / "src/new.py").read_bytes() == b"1\n" and (world.root / "results/out.csv").exists()
    assert guest.env["BAREBOAT_PROJECT"] == "project" and guest.env["VIRTUAL_ENV"] == "/opt/venv"
    assert any("-pip-" in os.fspath(t) for t in guest.workload.root.trees)
    homes = list((world.store.home / "sessions").iterdir())
    assert [h.name.partition("-")[0] for h in homes] == ["project"]
    assert {p.name for p in (homes[0] / "home").iterdir()} == {".bashrc", ".profile", ".history"}
    assert (homes[0] / "home").stat().st_mode & 0o777 == 0o700


def test_the_home_stays_until_a_fresh_one_is_asked_for(world: World) -> None:
    session(world, lambda guest: guest.write(f"{HOME}/.history", b"1"))
    session(world, lambda guest: guest.write(f"{HOME}/.bashrc", guest.read(f"{HOME}/.history")))
    found = session(world, lambda guest: 0)
    home = next(m.source for m in found.workload.mounts if m.target == HOME)
    assert (home / ".bashrc").read_bytes() == b"1"  # its owner's: never written again
    session(world, lambda guest: 0, fresh_home=True)
    assert {p.name for p in home.iterdir()} == {".bashrc", ".profile"} and (home / ".bashrc").read_bytes() != b"1"


def test_without_an_index_a_session_has_no_pip_and_says_so(world: World) -> None:
    world.require("alpha")
    session(world, lambda guest: 0)
    assert "this session has no pip" in world.tell.text


def test_a_session_is_recorded_and_is_no_run_to_repeat(world: World, tmp_path: Path) -> None:
    world.require("alpha")
    session(world, lambda guest: guest.streams.stdout(b"typed\n"))
    listed = runs(world.store, RunFilter(kind="session")).runs
    assert [(r.kind, r.state, r.argv) for r in listed] == [("session", "succeeded", ("sh",))]
    assert listed[0].code is not None and not runs(world.store, RunFilter(kind="run")).runs
    assert "rerun" not in world.tell.text
    with pytest.raises(RecordError) as caught:
        rerun(RerunRequest(listed[0].id, into=tmp_path / "into"), world.work)
    assert caught.value.code == "record.session"


def test_a_run_goes_on_beside_a_session(world: World) -> None:
    from bareboat.verbs.run import run

    def work(guest: Guest) -> None:
        assert run(RunRequest(program=("true",)), world.work).exit_code == 0

    session(world, work)


def test_a_session_has_the_mounts_of_a_run(world: World) -> None:
    world.require("beta")
    seen: dict[str, object] = {}

    def look(guest: Guest) -> int:
        seen.update({m.target: m.source for m in guest.workload.mounts}, tmpfs=guest.workload.tmpfs, env=guest.env)
        return 0

    world.program("sh", look)
    request = RunRequest(volumes=("models:/models", "/spare"), tmpfs=("/t",), cache=True)
    shell(ShellRequest(request), world.work, never)
    assert seen["/models"] == world.store.home / "volumes/models/data"
    assert "/spare" in seen and "/run/bareboat/cache" in seen and seen["tmpfs"]
    assert seen["env"]["HF_HOME"] == "/run/bareboat/cache/huggingface"  # type: ignore[index]
