"""Docker's daemon by its command line: the commands to the letter, and what a docker that fails or is absent means."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.verbs.test_pull_push import docker_archive
from tests.world_kit import World

from bareboat.errors import BareboatError
from bareboat.host.process import Command
from bareboat.registry.places import parse_place
from bareboat.verbs.daemon import load_command, loaded, named, save_command, saved

PLACE = parse_place("docker-daemon:lab/seg:1")
Docker = Callable[[str], None]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Puts a script in docker's place; its words come to the file `said`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)

    def put(text: str) -> None:
        program = tmp_path / "bin/docker"
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >>{tmp_path}/said\n{text}\n")
        program.chmod(0o755)

    return put


def archive(tmp_path: Path, count: int = 1) -> Path:
    rows = [{"Config": "c.json", "Layers": ["l.tar"], "RepoTags": [f"lab/seg:{n}"]} for n in range(count)]
    (tmp_path / "image.tar").write_bytes(docker_archive(rows))
    return tmp_path / "image.tar"


def test_the_commands() -> None:
    assert save_command(PLACE) == Command(("docker", "image", "save", "--", "lab/seg:1"))
    assert save_command(parse_place("docker-daemon:python")).argv[-1] == "python:latest"
    assert load_command() == Command(("docker", "image", "load", "--quiet"))


def test_an_image_of_the_daemon(world: World, docker: Docker, tmp_path: Path) -> None:
    docker(f"cat {archive(tmp_path)}")
    repository, found = saved(PLACE, world.work)
    assert repository.manifest(found.content.digest).descriptor == found.content
    assert (tmp_path / "said").read_text() == "image save -- lab/seg:1\n"


@pytest.mark.parametrize(("script", "words"), [
    ("echo 'No such image: lab/seg:1' >&2; exit 1", "No such image"),
    ("head -c 700 image.tar; echo 'lost connection' >&2; exit 1", "lost connection"), ("exit 3", "docker")])
def test_a_docker_that_fails_is_quoted(world: World, docker: Docker, tmp_path: Path, script: str, words: str) -> None:
    archive(tmp_path)
    docker(script)
    with pytest.raises(BareboatError) as caught:
        saved(PLACE, world.work)
    assert caught.value.code == "docker.save" and words in caught.value.what
    assert caught.value.where == "lab/seg:1" and "DOCKER_HOST" in caught.value.hint


@pytest.mark.parametrize("count", [0, 2])
def test_not_one_image_but_none_or_several(world: World, docker: Docker, tmp_path: Path, count: int) -> None:
    docker(f"cat {archive(tmp_path, count)}")
    with pytest.raises(BareboatError) as caught:
        saved(PLACE, world.work)
    assert caught.value.code == "docker.save"


def test_what_is_wrong_with_the_archive_is_said_and_not_that_docker_met_a_closed_pipe(
        world: World, docker: Docker, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("blobs/sha256/" + "a" * 64)
        member.size = 3
        tar.addfile(member, io.BytesIO(b"bad"))
    (tmp_path / "bad.tar").write_bytes(out.getvalue() + bytes(4 << 20))
    docker("cat bad.tar || { echo broken pipe >&2; exit 1; }")
    with pytest.raises(BareboatError) as caught:
        saved(PLACE, world.work)
    assert caught.value.code == "blob.digest"


def test_an_image_into_the_daemon(docker: Docker, tmp_path: Path) -> None:
    docker("cat >came; echo 'Loaded image: lab/seg:1'")
    assert loaded(iter((b"one", b"two"))) == "lab/seg:1" and (tmp_path / "came").read_bytes() == b"onetwo"
    docker("cat >/dev/null; echo 'Loaded image ID: sha256:0123'")
    assert loaded([b"x"]) == "sha256:0123"
    docker("exit 0")
    named("sha256:0123", "lab/seg:2")
    assert (tmp_path / "said").read_text().splitlines()[-1] == "image tag -- sha256:0123 lab/seg:2"


def test_a_daemon_that_takes_nothing_says_why(docker: Docker) -> None:
    docker("exec 0<&-; echo 'no space left on device' >&2; exit 1")
    with pytest.raises(BareboatError) as caught:
        loaded(bytes(1 << 20) for _ in range(8))
    assert caught.value.code == "docker.load" and caught.value.what == "no space left on device"
    with pytest.raises(BareboatError) as caught:
        named("sha256:0123", "lab/seg:2")
    assert caught.value.code == "docker.tag" and caught.value.where == "lab/seg:2"


def test_without_docker(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for start in (lambda: saved(PLACE, world.work), lambda: loaded([b"x"]), lambda: named("a", "b")):
        with pytest.raises(BareboatError) as caught:
            start()
        assert caught.value.code == "process.start" and "docker" in caught.value.where


def test_a_push_names_nothing_else_there(world: World, docker: Docker, tmp_path: Path) -> None:
    import json

    from bareboat.verbs.load import load
    from bareboat.verbs.push import push

    docker("cat >came; echo 'Loaded image: lab/other:2'")
    load(io.BytesIO(archive(tmp_path).read_bytes()), "x.tar", "linux/amd64", world.work)
    push("lab/seg:0", parse_place("docker-daemon:lab/other:2"), world.work)
    with tarfile.open(tmp_path / "came") as tar:
        texts = {name: tar.extractfile(name).read().decode() for name in ("index.json", "manifest.json")}  # type: ignore
    assert json.loads(texts["manifest.json"])[0]["RepoTags"] == ["lab/other:2"]
    assert not any("lab/seg" in text for text in texts.values())
