"""Where a daemon is, and what it says of itself: each bad one is refused by name, with what to do."""

from __future__ import annotations

import json
import os
import socket
from hashlib import sha256
from pathlib import Path

import pytest

from bareboat.engine.docker import look
from bareboat.engine.oci_command import Client
from bareboat.engine.oci_facts import Endpoint, endpoint, facts, local, reach, remote_podman
from bareboat.errors import EngineError

DOCKER, PODMAN = Client("docker", "docker"), Client("podman", "podman")


def context(folder: Path, name: str, host: str) -> None:
    meta = folder / "contexts/meta" / sha256(name.encode()).hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


def test_the_daemon_is_docker_hosts_then_the_contexts_then_the_usual(tmp_path: Path) -> None:
    context(tmp_path, "far", "ssh://gpu")
    context(tmp_path, "near", "unix:///n")
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert endpoint(environ) == Endpoint("unix:///var/run/docker.sock", "the default")
    (tmp_path / "config.json").write_text('{"currentContext": "near"}')
    assert endpoint(environ) == Endpoint("unix:///n", "context 'near'")
    assert endpoint({**environ, "DOCKER_CONTEXT": "far"}).host == "ssh://gpu"
    assert endpoint({**environ, "DOCKER_CONTEXT": "default"}).host == "unix:///var/run/docker.sock"
    assert endpoint({**environ, "DOCKER_CONTEXT": "far", "DOCKER_HOST": "tcp://h:1"}) == Endpoint(
        "tcp://h:1", "DOCKER_HOST")
    (tmp_path / "config.json").write_text("[broken")
    assert endpoint(environ).said_by == "the default"


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        endpoint({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "gone"})
    assert caught.value.code == "docker.context" and "gone" in caught.value.what


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:2375", "ssh://me@gpu", "npipe:////./pipe/docker_engine", "unix://"])
def test_a_daemon_elsewhere_is_refused_and_says_who_chose_it(host: str) -> None:
    with pytest.raises(EngineError) as caught:
        local(Endpoint(host, "DOCKER_HOST"))
    error = caught.value
    assert error.code == "docker.remote" and error.where == "DOCKER_HOST" and "unset DOCKER_HOST" in error.hint
    assert local(Endpoint("unix:///run/d.sock", "x")) == "/run/d.sock"


def test_a_daemon_that_does_not_answer(tmp_path: Path) -> None:
    for path in (tmp_path / "none.sock", tmp_path / "dead.sock"):
        with pytest.raises(EngineError) as caught:
            reach(str(path))
        assert caught.value.code == "docker.down" and caught.value.where == str(path)
        with socket.socket(socket.AF_UNIX) as left:  # a socket file without anybody behind it
            left.bind(str(tmp_path / f"{path.name}.x"))
        (tmp_path / f"{path.name}.x").rename(tmp_path / "dead.sock")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may speak to any socket")
def test_a_daemon_that_is_not_for_this_user(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(tmp_path / "d.sock"))
        daemon.listen()
        (tmp_path / "d.sock").chmod(0)
        with pytest.raises(EngineError) as caught:
            reach(str(tmp_path / "d.sock"))
    assert caught.value.code == "docker.permission"


def info(**more: object) -> dict[str, object]:
    return {"ServerVersion": "28.5.2+dfsg4", "OSType": "linux", "Architecture": "x86_64",
            "SecurityOptions": ["name=seccomp,profile=builtin"], "MemoryLimit": True, "CpuCfsQuota": True,
            "PidsLimit": True, "DriverStatus": [["Backing Filesystem", "extfs"]], **more}


def test_what_docker_says() -> None:
    found = facts(DOCKER, info())
    assert (found.version, found.platform, found.snapshots) == ("28.5.2+dfsg4", "linux/amd64", False)
    assert (found.client.rootless, found.client.remapped, found.client.labelled) == (False, False, False)
    found = facts(DOCKER, info(SecurityOptions=["name=rootless", "name=userns", "name=selinux"], MemoryLimit=False,
                               DriverStatus=[["driver-type", "io.containerd.snapshotter.v1"]], Architecture="aarch64"))
    assert (found.client.rootless, found.client.remapped, found.client.labelled) == (True, True, True)
    assert (found.memory, found.snapshots, found.platform) == (False, True, "linux/arm64")


def test_docker_that_knows_gpus_by_cdi_alone(tmp_path: Path) -> None:
    assert not facts(DOCKER, info(CDISpecDirs=[str(tmp_path)])).client.cdi
    (tmp_path / "nvidia.yaml").write_text("")
    assert facts(DOCKER, info(CDISpecDirs=[str(tmp_path)])).client.cdi
    assert not facts(DOCKER, info(CDISpecDirs=[str(tmp_path)], Runtimes={"nvidia": {}})).client.cdi


@pytest.mark.parametrize("version", ["19.03.13", "20.9.1", "1.13.1"])
def test_docker_that_is_too_old(version: str) -> None:
    with pytest.raises(EngineError) as caught:
        facts(DOCKER, info(ServerVersion=version))
    assert caught.value.code == "docker.version" and version in caught.value.what and "20.10" in caught.value.hint
    assert facts(DOCKER, info(ServerVersion="20.10.0")).version == "20.10.0"


def test_docker_that_says_what_is_wrong_with_it() -> None:
    with pytest.raises(EngineError) as caught:
        facts(DOCKER, {"ServerErrors": ["Cannot connect to the Docker daemon"]})
    assert caught.value.code == "docker.info" and "Cannot connect" in caught.value.what


def podman_info(**host: object) -> dict[str, object]:
    return {"version": {"Version": "5.8.6"}, "host": {
        "arch": "amd64", "os": "linux", "cgroupVersion": "v2", "cgroupControllers": ["memory", "cpu", "pids"],
        "security": {"rootless": True}, **host}}


def test_what_podman_says() -> None:
    found = facts(PODMAN, podman_info())
    assert found.client.rootless and found.platform == "linux/amd64"
    assert (found.memory, found.cpus, found.pids) == (True, True, True)
    found = facts(PODMAN, podman_info(cgroupVersion="v1"))
    assert (found.memory, found.cpus, found.pids) == (False, False, False)
    assert not facts(PODMAN, podman_info(cgroupControllers=["memory"])).cpus
    with pytest.raises(EngineError) as caught:
        facts(PODMAN, podman_info(serviceIsRemote=True))
    assert caught.value.code == "podman.remote"
    with pytest.raises(EngineError) as caught:
        facts(PODMAN, {**podman_info(), "version": {"Version": "3.4.4"}})
    assert caught.value.code == "podman.version"


def test_podman_on_another_machine() -> None:
    remote_podman({"CONTAINER_HOST": "unix:///run/podman.sock"})
    for name in ("CONTAINER_HOST", "CONTAINER_CONNECTION"):
        with pytest.raises(EngineError) as caught:
            remote_podman({name: "ssh://gpu"})
        assert caught.value.code == "podman.remote" and caught.value.where == name


def test_a_command_that_is_not_installed(tmp_path: Path) -> None:
    for client in (DOCKER, PODMAN):
        with pytest.raises(EngineError) as caught:
            look(client, {"PATH": str(tmp_path)})
        assert caught.value.code == f"{client.name}.missing"
