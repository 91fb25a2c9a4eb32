"""-v, --mount and --tmpfs beside Docker's own client and daemon: what it takes means the same here, and the other way.

BAREBOAT_PEERS: a directory with docker; where it is set its absence is a failure, as in CI.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bareboat.errors import ProjectError
from bareboat.project.mounts import parse_mount, parse_tmpfs
from bareboat.project.values import ProjectMount
from bareboat.project.volumes import parse_volume

pytestmark = pytest.mark.live
PEERS = os.environ.get("BAREBOAT_PEERS", "")
IMAGE = "bareboat/test-grammar:1"
# flag and value with {0} for a directory that is there; as Docker answers, or a reason why not
SAME = [
    ("-v", "{0}:/x"), ("-v", "{0}:/x:ro"), ("-v", "{0}:/x:rw,z"), ("-v", "{0}:/x:ro,rprivate"),
    ("-v", "bb-vol:/x"), ("-v", "bb-vol:/x:ro"), ("-v", "bb-vol:/x:nocopy"), ("-v", "/x"), ("-v", "/x:ro"),
    ("-v", "{0}:/x:nocopy"), ("-v", "{0}:/x:ro,rw"), ("-v", "{0}:/x:exec"), ("-v", "a/b:/x"), ("-v", "{0}:x"),
    ("-v", "{0}:/"), ("-v", "{0}:/x:ro:y"), ("-v", "-bb:/x"),
    ("--mount", "type=bind,source={0},target=/x"), ("--mount", "type=bind,src={0},dst=/x,readonly"),
    ("--mount", "TYPE=bind,SRC={0},destination=/x,ro=T"), ("--mount", "type=bind,source={0},target=/x,readonly=yes"),
    ("--mount", "type=bind,source={0},target=/x,rw"), ("--mount", "type=bind,source=a,target=/x"),
    ("--mount", "type=bind,target=/x"), ("--mount", "type=bind,source={0}"),
    ("--mount", "type=bind,source={0},target=x"),
    ("--mount", "type=bind,source={0},target=/x,bind-propagation=private"),
    ("--mount", "type=bind,source={0},target=/x,bind-recursive=enabled"),
    ("--mount", "type=bind,source={0},target=/x,bind-recursive=true"),
    ("--mount", "type=bind,source={0},target=/x,consistency=cached"),
    ("--mount", "type=bind,source={0},target=/x,tmpfs-size=1m"), ("--mount", "type=nfs,source={0},target=/x"),
    ("--mount", "source=bb-vol,target=/x"), ("--mount", "type=volume,source=bb-vol,target=/x,ro"),
    ("--mount", "type=volume,source=bb-vol,target=/x,volume-nocopy"), ("--mount", "type=volume,source=a/b,target=/x"),
    ("--mount", "type=volume,source=bb-vol,target=/x,volume-driver=local"), ("--mount", "target=/x"),
    ("--mount", "target=/x,readonly"), ("--mount", "type=tmpfs,target=/x"),
    ("--mount", "type=tmpfs,target=/x,tmpfs-size=64m,tmpfs-mode=0700"), ("--mount", "type=tmpfs,source=a,target=/x"),
    ("--mount", "type=tmpfs,target=/x,tmpfs-size=much"), ("--mount", "type=tmpfs,target=/x,tmpfs-mode=9"),
    ("--mount", " type=tmpfs,target=/x"), ("--mount", "type=tmpfs,,target=/x"), ("--mount", 'type=tmpfs,"target=/x,y"'),
    ("--mount", 'type=tmpfs,"target=/x'), ("--mount", ""),
    ("--tmpfs", "/x"), ("--tmpfs", "/x:size=1m,mode=700"), ("--tmpfs", "/x:ro,exec"), ("--tmpfs", "x"),
    ("--tmpfs", "/x:blue"),
]  # fmt: skip


# taken there, refused here: a path that says less than it does, a target that no start accepts, programs of root's
STRICTER = [("-v", "{0}:/x/../y"), ("-v", "x"), ("-v", "{0}:/x:rshared"), ("--tmpfs", "/x:suid")]


def docker(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = f"{PEERS}/docker" if PEERS else "docker"
    return subprocess.run([program, *words], input=stdin, capture_output=True, check=False)


Answer = tuple[str, str, str, bool]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> str:
    return os.fspath(tmp_path_factory.mktemp("there"))


@pytest.fixture(scope="module")
def answers(there: str) -> Iterator[dict[tuple[str, str], Answer | None]]:
    """What Docker makes of each; all are asked about at once, since each of its commands takes a tenth of a second."""
    if not PEERS and not shutil.which("docker"):
        pytest.skip("no docker")
    if docker("info").returncode:
        if PEERS:
            pytest.fail("BAREBOAT_PEERS has no docker that answers")
        pytest.skip("no docker daemon")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    made = docker("import", "-c", 'CMD ["true"]', "-", IMAGE, stdin=tar.getvalue())
    assert made.returncode == 0, made.stderr
    found: dict[tuple[str, str], Answer | None] = {}
    containers: dict[str, tuple[str, str]] = {}
    try:
        for flag, value in (*SAME, *STRICTER):
            created = docker("create", flag, value.replace("{0}", there), IMAGE)
            found[flag, value] = None
            if created.returncode == 0:
                containers[created.stdout.decode().strip()] = flag, value
        for seen in json.loads(docker("inspect", *containers).stdout):
            found[containers[seen["Id"]]] = told(seen)
        yield found
    finally:
        docker("rm", "-fv", *containers)
        docker("rmi", "-f", IMAGE)
        docker("volume", "rm", "-f", "bb-vol")


def told(seen: dict[str, Any]) -> Answer | None:
    """A container's one mount; None where mount(2)'s options, judged at the start, are none."""
    if seen["HostConfig"].get("Tmpfs"):
        ((target, options),) = seen["HostConfig"]["Tmpfs"].items()
        if b"tmpfs" in docker("start", seen["Id"]).stderr:
            return None
        return "tmpfs", "", target, "ro" not in options.split(",")
    (mount,) = seen["Mounts"]
    source = mount["Source"] if mount["Type"] == "bind" else mount.get("Name", "")
    return mount["Type"], "" if len(source) == 64 else source, mount["Destination"], mount["RW"]


def ours(flag: str, value: str) -> Answer | None:
    """(type, source or name, target, writable), as docker inspect says it; None where it is refused."""
    try:
        mount: ProjectMount = {"-v": lambda: parse_volume(value, Path.cwd()), "--mount": lambda: parse_mount(
            value, Path.cwd()), "--tmpfs": lambda: parse_tmpfs(value)}[flag]()
    except ProjectError:
        return None
    kind = {"mount": "bind", "anonymous": "volume"}.get(mount.kind, mount.kind)
    source = os.fspath(mount.source) if kind == "bind" else mount.name
    return kind, source, mount.target, not mount.read_only


@pytest.mark.parametrize(("flag", "value"), SAME)
def test_docker_says_the_same(flag: str, value: str, answers: dict[tuple[str, str], Answer | None], there: str) -> None:
    assert ours(flag, value.replace("{0}", there)) == answers[flag, value]


@pytest.mark.parametrize(("flag", "value"), STRICTER)
def test_where_no_is_said_here_alone(flag: str, value: str, answers: dict[tuple[str, str], Answer | None],
                                     there: str) -> None:
    assert ours(flag, value.replace("{0}", there)) is None and answers[flag, value] is not None


def test_docker_refuses_some_and_takes_some(answers: dict[tuple[str, str], Answer | None]) -> None:
    taken = [flag for (flag, _), answer in answers.items() if answer is not None]
    assert set(taken) == {"-v", "--mount", "--tmpfs"} and 10 < len(taken) < len(answers) - 10
