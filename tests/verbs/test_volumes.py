"""Volumes of runs: named ones stay, anonymous ones go; and `volume` over them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.world_kit import World

from bareboat.cli import main
from bareboat.engine.memory import Guest
from bareboat.errors import BareboatError, StoreError
from bareboat.store import Store
from bareboat.verbs import volumes
from bareboat.verbs.collaborators import Work
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.run import run


def asked(*program: str, **more: object) -> RunRequest:
    return RunRequest(program=program, **more)  # type: ignore[arg-type]


@pytest.fixture
def ready(world: World) -> World:
    world.require("beta")
    return world


def afresh(world: World) -> Work:
    """Another process's view."""
    return Work(Store.open(world.store.home), world.engine, world.settings, world.tell)


def test_a_named_volume_outlives_its_runs_and_is_in_the_record(ready: World) -> None:
    def count(guest: Guest) -> int:
        try:
            before = int(guest.read("/state/n"))
        except FileNotFoundError:
            before = 0
        guest.write("/state/n", str(before + 1).encode())
        return before

    ready.program("count", count)
    codes = [run(asked("count", volumes=("state:/state",)), ready.work) for _ in range(3)]
    assert [r.exit_code for r in codes] == [0, 1, 2]
    assert [(m.source, m.target, m.read_only, m.kind) for m in codes[0].mounts if m.target == "/state"] == [
        ("state", "/state", False, "volume")]
    assert (ready.store.home / "volumes/state/data/n").read_bytes() == b"3"


def test_read_only_means_so(ready: World) -> None:
    ready.program("write", lambda guest: guest.write("/state/n", b"x") or 0)
    assert run(asked("write", mounts=("source=state,target=/state,readonly",)), ready.work).exit_code == 1


def test_an_anonymous_one_is_new_each_time_and_gone_afterwards(ready: World) -> None:
    seen: list[Path] = []

    def use(guest: Guest) -> int:
        place = next(m.source for m in guest.workload.mounts if m.target == "/cache")
        seen.append(place)
        assert not list(place.iterdir()) and place.is_relative_to(ready.store.home)
        guest.write("/cache/x", b"x")
        return 0

    ready.program("use", use)
    for _ in range(2):
        record = run(asked("use", volumes=("/cache",)), ready.work)
        assert record.lost.count == 0 and ("", "anonymous") in [(m.source, m.kind) for m in record.mounts]
    assert len(set(seen)) == 2 and not any(place.exists() for place in seen)
    assert not (ready.store.home / "volumes").exists() or not os.listdir(ready.store.home / "volumes")
    assert not os.listdir(ready.store.home / "tmp")


def test_both_begin_with_what_the_image_has_there(ready: World) -> None:
    listed: dict[str, list[str]] = {}

    for name in ("named", "anonymous", "without"):
        ready.program(name, lambda guest, name=name: look_at(guest, name, listed))  # type: ignore[misc]
    run(asked("true"), ready.work)
    trees = ready.engine.ran[0].root.trees
    found = next(os.path.dirname(p) for tree in trees for p in map(os.fspath, tree.rglob("beta.py")))
    at = found[next(len(os.fspath(t)) for t in trees if found.startswith(os.fspath(t))):]
    run(asked("named", volumes=(f"lib:{at}",), env=(f"AT={at}",)), ready.work)
    run(asked("anonymous", volumes=(at,), env=(f"AT={at}",)), ready.work)
    run(asked("without", volumes=(f"bare:{at}:nocopy",), env=(f"AT={at}",)), ready.work)
    assert {"alpha.py", "beta.py"} <= set(listed["named"]) and listed["named"] == listed["anonymous"]
    assert listed["without"] == [] and "volume lib: begins with" in ready.tell.text
    assert (ready.store.home / "volumes/lib/data/beta.py").stat().st_uid == os.getuid()


def look_at(guest: Guest, name: str, listed: dict[str, list[str]]) -> int:
    place = next(m.source for m in guest.workload.mounts if m.target == guest.env["AT"])
    listed[name] = sorted(os.listdir(place))
    return 0


def test_in_use_is_told_with_who_and_refused(ready: World) -> None:
    told: list[BareboatError] = []
    shown: list[tuple[bool, tuple[str, ...]]] = []

    def use(guest: Guest) -> int:
        other = afresh(ready)
        shown.extend((v.in_use, v.used_by) for v in volumes.volumes(other))
        assert volumes.prune(other) == []
        with pytest.raises(StoreError) as caught:
            volumes.remove("state", other)
        told.append(caught.value)
        return 0

    ready.program("use", use)
    record = run(asked("use", volumes=("state:/state",), name="sweep"), ready.work)
    assert told[0].code == "volume.in-use" and f"sweep ({record.id})" in told[0].what
    assert shown == [(True, (f"sweep ({record.id})",))]
    ready.store.close()
    assert volumes.remove("state", afresh(ready)) and volumes.volumes(ready.work) == []


def test_the_project_file_names_them_too(ready: World) -> None:
    (ready.root / "bareboat.toml").write_text(
        'mounts = ["models:/models:ro", "/spare", {type = "volume", source = "more", target = "/more"},\n'
        '  {type = "tmpfs", target = "/t", size = "1m", mode = "0700"}]\n')
    record = run(asked("true"), ready.work)
    kinds = {m.target: (m.kind, m.source) for m in record.mounts}
    assert kinds["/models"] == ("volume", "models") and kinds["/more"] == ("volume", "more")
    assert kinds["/spare"] == ("anonymous", "") and record.tmpfs[0].size == 1 << 20
    assert ready.store.volumes.names() == ["models", "more"]


@pytest.mark.parametrize(("mounts", "code"), [
    ('[{target = "/m"}]', "project.missing-key"),
    ('[{source = "a", target = "/m", size = "1g"}]', "project.mount"),
    ('[{type = "volume", source = "a/b", target = "/m"}]', "project.volume-name"),
    ('[{type = "tmpfs", source = "a", target = "/m"}]', "project.mount"),
    ('["a:/m", "b:/m"]', "project.mount-clash"),
    ('[{type = "nfs", target = "/m"}]', "project.value"),
])
def test_what_the_project_file_may_not_say(ready: World, mounts: str, code: str) -> None:
    (ready.root / "bareboat.toml").write_text(f"mounts = {mounts}\n")
    with pytest.raises(BareboatError) as caught:
        run(asked("true"), ready.work)
    assert caught.value.code == code and "bareboat.toml" in caught.value.where


def test_the_verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BAREBOAT_HOME", os.fspath(tmp_path / "home"))

    def said(*words: str, code: int = 0) -> str:
        assert main(["volume", *words]) == code
        return capsys.readouterr().out

    assert said("create", "models", "--label", "a=b") == "models\n" == said("create", "models", "--label", "c=d")
    chosen = said("create").strip()
    (tmp_path / "home/volumes/models/data/x").write_bytes(b"x" * 5000)
    assert said("ls", "-q").split() == sorted(["models", chosen])
    table = said("ls")
    assert "NAME" in table and "models" in table
    listed = {v["name"]: v for v in json.loads(said("ls", "--json"))}
    models = listed["models"]
    assert models["labels"] == {"a": "b"} and models["files"] == 1 and not models["in_use"]
    assert json.loads(said("inspect", "models"))[0]["path"] == os.fspath(tmp_path / "home/volumes/models/data")
    assert said("rm", chosen) == f"{chosen}\n" and said("rm", "-f", chosen) == ""
    assert main(["volume", "rm", "none"]) == 125 and "volume.missing" in capsys.readouterr().err
    assert main(["volume", "inspect", "none"]) == 125 and "volume.missing" in capsys.readouterr().err
    assert main(["volume", "create", "../x"]) == 125 and "volume.bad-name" in capsys.readouterr().err
    assert main(["volume", "create", "-d", "nfs", "x"]) == 125 and "volume.driver" in capsys.readouterr().err
    assert "go with their containers" in said("prune") and said("ls", "-q") == "models\n"
    assert main(["volume", "prune", "--all"]) == 125 and "--force" in capsys.readouterr().err
    assert "models\n" in said("prune", "--all", "--force") and said("ls", "-q") == ""
    assert json.loads(said("prune", "--json")) == {"removed": [], "bytes": 0}


def test_a_container_that_is_listed_keeps_its_volumes(ready: World) -> None:
    from bareboat.verbs import containers
    from bareboat.verbs.launch import Life, create

    container, kept = create(asked("true", name="later", volumes=("state:/state", "/spare")), Life(), ready.work)
    ready.store.close()
    other = afresh(ready)
    with pytest.raises(StoreError) as caught:
        volumes.remove("state", other)
    assert "later" in caught.value.what and volumes.prune(other) == []
    assert kept.prepared().anonymous == (("/spare", True),)
    containers.forget(ready.store, container.id)
    assert [v.name for v in volumes.prune(other)] == ["state"]
