"""ssh over a world of our own: which host is meant, what is written, and that ~/.ssh is left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.world_kit import World

from bareboat.errors import UsageError
from bareboat.verbs import containers, ssh, ssh_hosts
from bareboat.verbs.containers import Container
from bareboat.verbs.launch import Kept
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.ssh_hosts import Host


@pytest.fixture
def started(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Kept]:
    """What was given to supervisors; they are held to run by a lock of ours."""
    found: list[Kept] = []

    def launch(container: Container, kept: Kept, work: object) -> Container:
        found.append(kept)
        world.store.runs.hold(container.id)
        return container

    monkeypatch.setattr("bareboat.verbs.launch.launch", launch)
    monkeypatch.setenv("HOME", str(world.base / "person"))
    world.require("alpha")
    return found


def test_a_project_s_session_is_started_once_and_its_entry_written(world: World, started: list[Kept]) -> None:
    host = ssh.session(RunRequest(), world.work)
    assert host == Host("project", os.fspath(world.root))
    assert ssh.session(RunRequest(), world.work) == host
    (kept,) = started
    assert kept.workload.argv == ssh.WAIT and kept.record.kind == "session" and not kept.workload.tty
    assert kept.results is None  # runs go on beside it
    assert not any(m.read_only for m in kept.workload.mounts if m.target == "/app/src")
    (seen,) = containers.listed(world.store)
    assert (seen.container.name, seen.container.labels) == ("project", (("bareboat.ssh", os.fspath(world.root)),))
    at = world.store.home / "ssh"
    public = (at / "hosts/project.pub").read_text().strip()
    assert (at / "known_hosts").read_text() == f"bareboat-project {public}\n"
    text = (at / "config").read_text()
    assert "Host bareboat-project\n" in text and "ssh --stdio project\n" in text and str(at / "id") in text
    assert not (world.base / "person/.ssh").exists()


def test_a_session_that_ended_is_started_again_as_it_was_and_keeps_its_host_key(world: World,
                                                                               started: list[Kept]) -> None:
    ssh.session(RunRequest(network="none"), world.work)
    public = ssh_hosts.host_key("project", world.work).public
    (seen,) = containers.listed(world.store)
    world.store.runs.release(seen.container.id)
    record = world.store.runs.read(seen.container.id)
    world.store.runs.write(seen.container.id, {**record, "state": "cancelled", "exit_code": 143})
    assert ssh.reach("project", world.work) == seen.container.id  # as a connection does
    assert [kept.workload.network for kept in started] == ["none", "none"]
    world.store.runs.release(seen.container.id)
    ssh.session(RunRequest(), world.work)  # asked for: with the project as it is now
    (new,) = containers.listed(world.store)
    assert new.container.id != seen.container.id and started[2].workload.network == "host"
    world.store.runs.release(new.container.id)
    containers.forget(world.store, new.container.id)
    assert ssh.reach("project", world.work) not in (seen.container.id, new.container.id)
    assert ssh_hosts.host_key("project", world.work).public == public


def test_what_cannot_be_had_from_a_session_that_runs_is_said(world: World, started: list[Kept]) -> None:
    ssh.session(RunRequest(), world.work)
    ssh.session(RunRequest(locked=True), world.work)
    assert "as it was started" not in world.tell.text
    ssh.session(RunRequest(network="none"), world.work)
    assert "as it was started" in world.tell.text and len(started) == 1


def test_two_projects_of_one_name_are_two_hosts(world: World, started: list[Kept]) -> None:
    other = world.base / "elsewhere/project"
    (other / "src").mkdir(parents=True)
    (other / "requirements.txt").write_text("alpha\n")
    ssh.session(RunRequest(), world.work)
    name = ssh.session(RunRequest(project=other), world.work).name
    assert name.startswith("project-") and len(name) == len("project-") + 4
    assert {h.name for h in ssh_hosts.hosts(world.work)} == {"project", name}


def test_a_session_has_the_name_that_was_given_unless_it_is_another_s(world: World, started: list[Kept]) -> None:
    assert ssh.session(RunRequest(name="mine"), world.work).name == "mine"
    other = world.base / "other"
    (other / "src").mkdir(parents=True)
    (other / "requirements.txt").write_text("alpha\n")
    with pytest.raises(UsageError) as error:
        ssh.session(RunRequest(name="mine", project=other), world.work)
    assert error.value.code == "ssh.name-taken" and os.fspath(world.root) in error.value.what
    with pytest.raises(UsageError) as error:
        ssh.session(RunRequest(name="no name"), world.work)
    assert error.value.code == "ssh.name"
    assert len(started) == 1


def test_the_engine_is_the_container_s_else_the_project_s(world: World, started: list[Kept],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAREBOAT_ENGINE", raising=False)
    ssh.session(RunRequest(), world.work)
    assert ssh_hosts.engine_of("project", world.work) == "memory"
    (seen,) = containers.listed(world.store)
    world.store.runs.release(seen.container.id)
    containers.forget(world.store, seen.container.id)
    assert ssh_hosts.engine_of("project", world.work) == ""
    (world.root / "bareboat.toml").write_text('engine = "podman"\n')
    assert ssh_hosts.engine_of("project", world.work) == "podman"
    assert ssh_hosts.engine_of("nothing", world.work) == ""


def test_another_container_of_the_name_is_not_taken_for_the_session(world: World, started: list[Kept]) -> None:
    containers.write(world.store, Container("c" * 12, "project"))
    with pytest.raises(UsageError) as error:
        ssh.session(RunRequest(), world.work)
    assert error.value.code == "ssh.name-taken"
    assert started == []


def test_a_name_that_is_no_container_is_refused(world: World, started: list[Kept]) -> None:
    for call in (ssh.known, ssh.reach):
        with pytest.raises(UsageError) as error:
            call("nothing", world.work)
        assert error.value.code == "container.unknown"
    assert not (world.store.home / "ssh/hosts/nothing").exists()


def test_hosts_that_are_gone_are_forgotten(world: World, started: list[Kept]) -> None:
    ssh.session(RunRequest(), world.work)
    ssh_hosts.keep(Host("gone"), world.work)
    ssh_hosts.keep(Host("away", "/no/such/folder"), world.work)
    ssh_hosts.write_entries(world.work)
    assert [h.name for h in ssh_hosts.hosts(world.work)] == ["away", "project"]
    ssh_hosts.forget("away", world.work)
    assert "bareboat-gone" not in (world.store.home / "ssh/config").read_text()
    ssh_hosts.forget("project", world.work)
    ssh_hosts.write_entries(world.work)
    assert os.listdir(world.store.home / "ssh/hosts") == []
    assert (world.store.home / "ssh/known_hosts").read_text() == ""


def test_the_agent_is_allowed_where_it_was_said(world: World, started: list[Kept]) -> None:
    host = ssh.session(RunRequest(), world.work, agent=True)
    entry = ssh_hosts.entry(host, world.work)
    assert "--agent" in entry.proxy and entry.agent
    assert "ForwardAgent yes" in (world.store.home / "ssh/config").read_text()


def test_the_include_line_is_written_only_by_install(tmp_path: Path) -> None:
    config, include = tmp_path / ".ssh/config", tmp_path / "store/ssh/config"
    assert not ssh_hosts.installed(config, include)
    assert ssh_hosts.install(config, include)
    assert config.stat().st_mode & 0o777 == 0o600 and config.parent.stat().st_mode & 0o777 == 0o700
    assert ssh_hosts.installed(config, include) and not ssh_hosts.install(config, include)
    config.write_text("Host x\n    User y\n")
    config.chmod(0o644)
    assert ssh_hosts.install(config, include)
    assert config.read_text().endswith("\n\nHost x\n    User y\n")
    assert config.stat().st_mode & 0o777 == 0o644


def test_a_config_that_is_no_text_is_left_alone(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError) as error:
        ssh_hosts.install(config, tmp_path / "include")
    assert error.value.code == "ssh.config"
    assert config.read_bytes() == b"\xff\xfe"
