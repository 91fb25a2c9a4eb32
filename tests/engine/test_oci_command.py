"""Docker's and podman's command lines, to the letter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bareboat.engine import oci_command as commands
from bareboat.engine.oci_command import Client, Making
from bareboat.errors import UsageError
from bareboat.host.process import Command
from bareboat.workload import Device, Driver, Exec, Limits, Mount, Rootfs, Tmpfs, Workload

DOCKER, PODMAN = Client("docker", "docker"), Client("podman", "podman")
LOAD = Workload(Rootfs((Path("/t"),)), ("python", "-c", "x"), (("PATH", "/bin"), ("LR", "0.1")), "/app")
MAKING = Making("sha256:1234", "bareboat-r1-abc", "/bin/python", "/tmp/env", (("bareboat.run", "r1"),), 8 << 30, True)


def create(client: Client = DOCKER, load: Workload = LOAD, **more: object) -> tuple[str, ...]:
    env = commands.environment(client, load.env, load.tty)
    return commands.create(client, load, env, replace(MAKING, **more)).argv  # type: ignore[arg-type]


def test_docker_create_to_the_letter() -> None:
    assert create() == (
        "docker", "create", "--pull=never", "--name=bareboat-r1-abc", "--label=bareboat.run=r1",
        "--entrypoint=/run/bareboat-init", "--network=host", "--hostname=bareboat", "--workdir=/app",
        "--user=1000:1000", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--log-driver=none",
        "--shm-size=4294967296", "--interactive", "--env-file=/tmp/env", "--env=HOSTNAME", "--env=HTTP_PROXY",
        "--env=http_proxy", "--env=HTTPS_PROXY", "--env=https_proxy", "--env=FTP_PROXY", "--env=ftp_proxy",
        "--env=NO_PROXY", "--env=no_proxy", "--env=ALL_PROXY", "--env=all_proxy", "sha256:1234", "/bin/python",
        "python", "-c", "x")


def test_podman_create_to_the_letter() -> None:
    assert create(PODMAN, stdin=False) == (
        "podman", "create", "--pull=never", "--name=bareboat-r1-abc", "--label=bareboat.run=r1",
        "--entrypoint=/run/bareboat-init", "--network=host", "--hostname=bareboat", "--workdir=/app",
        "--user=1000:1000", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--systemd=false",
        "--log-driver=none", "--shm-size=4294967296", "--env-file=/tmp/env", "--unsetenv-all", "--http-proxy=false",
        "sha256:1234", "/bin/python", "python", "-c", "x")


def options(load: Workload, client: Client = DOCKER, **more: object) -> list[str]:
    """What these choices add to the plain command line."""
    plain = create(client)
    return [word for word in create(client, load, **more) if word not in plain]


@pytest.mark.parametrize(("change", "added"), [
    ({"network": "none"}, ["--network=none"]),
    ({"hostname": "box"}, ["--hostname=box"]),
    ({"limits": Limits(memory=1 << 30)}, ["--memory=1073741824", "--memory-swap=1073741824"]),
    ({"limits": Limits(cpus=1.5, pids=10, shm_size=64)}, ["--shm-size=64", "--cpus=1.5", "--pids-limit=11"]),
    ({"mounts": (Mount(Path("/c/d"), "/app/src", True), Mount(Path("/r"), "/results"))},
     ["--mount", "type=bind,source=/r,target=/results", "--mount", "type=bind,source=/c/d,target=/app/src,readonly"]),
    ({"mounts": (Mount(Path('/a,b"c\nd'), "/x"),)}, ["--mount", 'type=bind,"source=/a,b""c\nd",target=/x']),
    ({"tmpfs": (Tmpfs("/s", 64), Tmpfs("/t"))}, ["--tmpfs", "/s:rw,noexec,nosuid,nodev,mode=1777,size=64",
                                                 "--tmpfs", "/t:rw,noexec,nosuid,nodev,mode=1777"]),
    ({"tmpfs": (Tmpfs("/s", read_only=True, programs=True),)}, ["--tmpfs", "/s:ro,exec,nosuid,nodev,mode=1777"]),
    ({"home": "/root"}, ["--tmpfs", "/root:rw,exec,nosuid,nodev,mode=1777,size=2147483648"]),
    ({"devices": (Device(Path("/dev/fuse"), "/dev/fuse"),)}, ["--device=/dev/fuse:/dev/fuse:rw"]),
    ({"gpus": "all"}, ["--gpus=all"]),
    ({"gpus": "device=0,1"}, ['--gpus="device=0,1"']),
    ({"gpus": "device=0", "driver": Driver(devices=(Device(Path("/dev/kfd"), "/dev/kfd"),))},
     ["--device=/dev/kfd:/dev/kfd:rw"]),
    ({"uid": 5, "gid": 6}, ["--user=5:6"]),
])
def test_what_each_choice_adds(change: dict[str, object], added: list[str]) -> None:
    assert options(replace(LOAD, **change)) == added  # type: ignore[arg-type]


def test_mounts_are_made_parents_first() -> None:
    mounts = (Mount(Path("/1"), "/a/b/c"), Mount(Path("/2"), "/a"), Mount(Path("/3"), "/a/b"))
    words = create(load=replace(LOAD, mounts=mounts))
    assert [word[-6:] for word in words if word.startswith("type=bind")] == ["get=/a", "t=/a/b", "/a/b/c"]


@pytest.mark.parametrize("target", ["/proc/x", "/", "relative", "/dev/pts/1"])
def test_targets_that_cannot_be(target: str) -> None:
    with pytest.raises(UsageError):
        create(load=replace(LOAD, mounts=(Mount(Path("/x"), target),)))


def test_podman_has_words_of_its_own() -> None:
    assert options(replace(LOAD, gpus="device=0,MIG-1"), PODMAN) == [
        "--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=MIG-1"]
    assert options(replace(LOAD, gpus="all"), PODMAN) == ["--device=nvidia.com/gpu=all"]
    assert options(LOAD, PODMAN, workdir=False) == ["--volume=/app"]
    assert options(replace(LOAD, gpus="all"), replace(DOCKER, cdi=True)) == ["--device=nvidia.com/gpu=all"]


@pytest.mark.parametrize(("client", "asked", "user"), [
    (DOCKER, 1000, ["--user=1000:1000"]),
    (DOCKER, 0, ["--user=0:0"]),
    (replace(DOCKER, caller=(0, 0)), 1000, ["--user=0:0"]),  # root, where nobody asked for another
    (replace(DOCKER, caller=(0, 0)), 5, ["--user=5:5"]),
    (replace(DOCKER, rootless=True), 1000, ["--user=0:0"]),  # which is the caller outside
    (replace(DOCKER, remapped=True), 1000, ["--userns=host", "--user=1000:1000"]),
    (replace(PODMAN, rootless=True), 1000, ["--userns=keep-id:uid=1000,gid=1000", "--user=1000:1000"]),
    (replace(PODMAN, rootless=True), 0, ["--user=0:0"]),
])
def test_who_the_program_is(client: Client, asked: int, user: list[str]) -> None:
    assert list(commands.user_options(client, replace(LOAD, uid=asked, gid=asked))) == user


@pytest.mark.parametrize(("client", "uid", "foreign"), [
    (DOCKER, 1000, False), (DOCKER, 0, True), (DOCKER, 5, True), (replace(DOCKER, caller=(0, 0)), 1000, False),
    (replace(DOCKER, rootless=True), 5, False), (replace(PODMAN, rootless=True), 5, False)])
def test_whose_the_results_would_be(client: Client, uid: int, foreign: bool) -> None:
    writes = replace(LOAD, uid=uid, gid=uid, mounts=(Mount(Path("/r"), "/results"),))
    assert commands.foreign_owner(client, writes) is foreign
    assert not commands.foreign_owner(client, replace(writes, mounts=(Mount(Path("/r"), "/results", True),)))


def test_variables_are_in_no_list_of_processes() -> None:
    env = (("A", "1"), ("KEY", "one\ntwo"), ("HOME", "/h\n"), ("#x", "y"), ("sp ace", "z"))
    found = commands.environment(DOCKER, env, tty=True)
    assert found.file == "A=1\n"
    assert found.options[:4] == ("--env=KEY", "--env=HOME=/h\n", "--env=#x", "--env=sp ace")
    assert {"--env=TERM", "--env=PATH", "--env=HOSTNAME"} <= set(found.options)
    assert found.client == (("KEY", "one\ntwo"), ("#x", "y"), ("sp ace", "z"))


def test_the_clients_own_environment_adds_nothing() -> None:
    env = commands.environment(DOCKER, (("KEY", "a\nb"),), tty=False)
    found = commands.clients_own({"HOME": "/me", "HTTPS_PROXY": "http://p", "HOSTNAME": "host", "PATH": "/bin"}, env)
    assert found == {"HOME": "/me", "KEY": "a\nb"}  # PATH would be handed on by --env=PATH, which takes it away
    kept = commands.environment(DOCKER, (("PATH", "/opt"),), tty=False)
    assert commands.clients_own({"PATH": "/bin", "DOCKER_HOST": "unix:///s"}, kept) == {
        "PATH": "/bin", "DOCKER_HOST": "unix:///s"}


CALL = Exec(("ls", "-l"), (("A", "1"),), "/app", 1000, 1000)


@pytest.mark.parametrize(("command", "words"), [
    (commands.start(DOCKER, "c1", stdin=True),
     "docker start --attach --interactive --detach-keys=ctrl-^,ctrl-_,ctrl-^,ctrl-\\,ctrl-_,ctrl-^ c1"),
    (commands.start(PODMAN, "c1", stdin=False), "podman start --attach --sig-proxy=false "
     "--detach-keys=ctrl-^,ctrl-_,ctrl-^,ctrl-\\,ctrl-_,ctrl-^ c1"),
    (commands.kill(DOCKER, "c1", "SIGTERM"), "docker kill --signal=SIGTERM c1"),
    (commands.pause(DOCKER, "c1", True), "docker pause c1"),
    (commands.pause(PODMAN, "c1", False), "podman unpause c1"),
    (commands.remove(DOCKER, "c1", "c2"), "docker rm --force --volumes c1 c2"),
    (commands.changes(DOCKER, "c1"), "docker diff c1"),
    (commands.top(DOCKER, "c1"), "docker top c1 -eo pid,uid,time,rss,args"),
    (commands.top(PODMAN, "c1"), "podman top c1 hpid huser time rss args"),
    (commands.list_ours(DOCKER, "/s"), "docker ps --all --quiet --no-trunc --filter=label=bareboat.store=/s"),
    (commands.copy_out(DOCKER, "c1", "/x"), "docker cp c1:/x -"),
    (commands.copy_in(PODMAN, "c1", "/x"), "podman cp - c1:/x"),
    (commands.load_archive(DOCKER), "docker load --quiet"),
    (commands.pull_layout(PODMAN, "/l", "localhost/bareboat/image:1"),
     "podman pull --quiet oci:/l:localhost/bareboat/image:1"),
    (commands.state(DOCKER, "c1"), "docker container inspect --format={{json.State}} c1"),
    (commands.images_there(DOCKER), "docker image ls --quiet --no-trunc"),
    (commands.execute(PODMAN, "c1", CALL, commands.environment(PODMAN, CALL.env, False), "/e"),
     "podman exec --interactive --detach-keys=ctrl-^,ctrl-_,ctrl-^,ctrl-\\,ctrl-_,ctrl-^ --user=1000:1000 "
     "--workdir=/app --env-file=/e c1 ls -l"),
])
def test_the_other_commands(command: Command, words: str) -> None:
    assert [word.replace(" ", "") for word in command.argv] == words.split()


def test_the_guard_waits_for_a_line_and_its_shell_reads_nothing_of_others() -> None:
    assert commands.guard(DOCKER, "c1").argv == (
        "/bin/sh", "-c", 'read -r _ || exec "$@"', "bareboat-guard", "docker", "rm", "--force", "--volumes", "c1")
