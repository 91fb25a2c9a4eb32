"""What we push others run, what they push we run: Docker 28 and 20.10, Podman, Buildah, skopeo, crane, umoci and
Apptainer, through Debian's docker-registry.

BAREBOAT_PEERS: a directory of these programs as commands. Where it is set their absence is a failure, as in CI.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.docker_daemon import CLIENT, debian_docker
from tests.docker_registry import docker_registry, need
from tests.live.test_save import PEERS, bareboat, call, peer

pytestmark = pytest.mark.live
SAYS = "import sys, numpy; print(sys.version_info[:2], numpy.arange(7).sum())"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An open registry on the loopback."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "home"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "requirements.txt").write_text("numpy\n")
    (root / "src").mkdir()
    (root / "src/run.py").write_text(SAYS)
    return root


@pytest.fixture(scope="module")
def pushed(host: str, home: Path, project: Path) -> str:
    """Our image in the registry: its reference there."""
    name = f"{host}/lab/seg:1"
    bareboat(home, "build", "-t", name, cwd=project)
    bareboat(home, "push", name, cwd=project)
    return name


@pytest.fixture(scope="module")
def says(home: Path, project: Path, pushed: str) -> str:
    """What the program says in our own run."""
    return bareboat(home, "run", "--", "python", "src/run.py", cwd=project)


@pytest.fixture(scope="module")
def old_docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Debian bookworm's own Docker, with a daemon of its own."""
    with debian_docker(tmp_path_factory.mktemp("dockerd")) as host:

        def docker(*words: str) -> str:
            done = call(CLIENT, *words, env={"DOCKER_HOST": host})
            assert done.returncode == 0, done.stderr
            return done.stdout

        yield docker


# what we push


def test_docker_28_runs_it(pushed: str, says: str) -> None:
    assert peer("docker", "run", "--rm", "--network", "host", pushed, "python", "-c", SAYS).strip() == says
    peer("docker", "rmi", "-f", pushed)


def test_docker_20_runs_it(old_docker: Callable[..., str], pushed: str, says: str) -> None:
    assert old_docker("run", "--rm", "--network", "host", pushed, "python", "-c", SAYS).strip() == says


def test_podman_runs_it(pushed: str, says: str) -> None:
    run = ("run", "--tls-verify=false", "--rm", "--network", "host", pushed)
    assert peer("podman", *run, "python", "-c", SAYS).strip() == says
    assert peer("podman", *run, "id", "-u").strip() == "1000"
    peer("podman", "rmi", "-f", pushed)


def test_apptainer_builds_its_box_of_it(pushed: str, tmp_path: Path) -> None:
    """It does not run in the peers' own chroot, so what it made is looked at."""
    peer("apptainer", "build", "--sandbox", "--no-https", str(tmp_path / "box"), f"docker://{pushed}")
    assert list((tmp_path / "box/opt/venv/lib").glob("python3*/site-packages/numpy/__init__.py"))
    assert "/opt/venv/bin" in (tmp_path / "box/.singularity.d/env/10-docker2singularity.sh").read_text()


def test_umoci_unpacks_it(pushed: str, tmp_path: Path) -> None:
    peer("skopeo", "copy", "--src-tls-verify=false", f"docker://{pushed}", f"oci:{tmp_path}/layout:1")
    peer("umoci", "unpack", "--image", f"{tmp_path}/layout:1", str(tmp_path / "bundle"))
    assert list((tmp_path / "bundle/rootfs/opt/venv/lib").glob("python3*/site-packages/numpy/__init__.py"))


def test_skopeo_and_crane_see_the_digest_that_we_said(pushed: str, home: Path, project: Path) -> None:
    digest = bareboat(home, "push", pushed, cwd=project)
    found = json.loads(peer("skopeo", "inspect", "--tls-verify=false", f"docker://{pushed}"))
    assert found["Digest"] == digest
    assert peer("crane", "digest", "--insecure", pushed).strip() == digest
    peer("crane", "validate", "--insecure", "--remote", pushed)


def test_bookworm_s_skopeo_copies_it(pushed: str, tmp_path: Path) -> None:
    need("/usr/bin/skopeo")
    done = call("/usr/bin/skopeo", "copy", "--src-tls-verify=false", f"docker://{pushed}", f"dir:{tmp_path}/copy")
    assert done.returncode == 0, done.stderr


# what they push


DOCKERFILE = """\
FROM {base}
USER root
RUN mkdir -p /made/deep && echo gone > /made/deep/old && echo kept > /made/kept && ln -s /made/kept /made/link
RUN rm -rf /made/deep && mkdir /made/deep && echo new > /made/deep/new && rm /etc/debian_version
ENV MADE=yes
WORKDIR /made
ENTRYPOINT ["python"]
CMD ["-c", "import os, numpy; print(os.environ['MADE'], sorted(os.listdir('deep')), open('link').read().strip(), \
os.path.exists('/etc/debian_version'), numpy.arange(7).sum())"]
"""
MADE = "yes ['new'] kept False 21"


@pytest.fixture(scope="module")
def context(pushed: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=pushed))
    return folder


@pytest.fixture(scope="module")
def by_docker(context: Path, host: str) -> str:
    name = f"{host}/theirs/docker:1"
    peer("docker", "build", "-q", "--network", "host", "-t", name, str(context))
    peer("docker", "push", "-q", name)
    return name


def ours(reference: str, home: Path, *words: str) -> str:
    """What an image says when we pull and run it."""
    bareboat(home, "pull", reference)
    return bareboat(home, "run", *words, reference)


def test_docker_28_s_image_runs_here(by_docker: str, home: Path) -> None:
    assert ours(by_docker, home) == MADE


def test_docker_20_s_image_runs_here(old_docker: Callable[..., str], context: Path, host: str, home: Path) -> None:
    name = f"{host}/theirs/docker20:1"
    old_docker("build", "-q", "--network", "host", "-t", name, str(context))
    old_docker("push", "-q", name)
    assert ours(name, home) == MADE


@pytest.mark.parametrize("words", [
    (), ("--format", "v2s2"), ("--compression-format", "zstd"), ("--compression-format", "zstd:chunked")])
def test_podman_s_and_buildah_s_images_run_here(words: tuple[str, ...], context: Path, host: str, home: Path) -> None:
    name = f"{host}/theirs/podman:{len(words)}{(words or ('oci',))[-1].replace(':', '-')}"
    program = "buildah" if not words else "podman"
    peer(program, "build", "-q", "--tls-verify=false", "--isolation", "chroot", "--network", "host", "-t", name,
         str(context))
    peer(program, "push", "-q", "--tls-verify=false", *words, name)
    assert ours(name, home) == MADE


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_skopeo_s_copies_run_here(form: str, by_docker: str, host: str, home: Path) -> None:
    name = f"{host}/theirs/skopeo:{form}"
    peer("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", form,
         f"docker://{by_docker}", f"docker://{name}")
    assert ours(name, home) == MADE


def test_crane_s_changed_image_runs_here(by_docker: str, host: str, home: Path) -> None:
    name = f"{host}/theirs/crane:1"
    peer("crane", "mutate", "--insecure", by_docker, "-t", name, "--label", "a=b")
    assert ours(name, home) == MADE


def test_what_docker_saves_is_loaded(by_docker: str, home: Path, tmp_path: Path) -> None:
    peer("docker", "pull", "-q", by_docker)
    peer("docker", "save", "-o", str(tmp_path / "theirs.tar"), by_docker)
    assert bareboat(home, "load", "-i", str(tmp_path / "theirs.tar")) == by_docker
    assert bareboat(home, "run", by_docker) == MADE


def test_what_old_docker_saves_is_loaded(old_docker: Callable[..., str], by_docker: str, home: Path,
                                         tmp_path: Path) -> None:
    old_docker("pull", "-q", by_docker)
    old_docker("save", "-o", str(tmp_path / "theirs.tar"), by_docker)
    bareboat(home, "load", "-i", str(tmp_path / "theirs.tar"))
    assert bareboat(home, "run", by_docker) == MADE


def test_through_docker_s_daemon_and_back(pushed: str, home: Path, says: str) -> None:
    if not PEERS:
        need("docker")
    path = {"PATH": f"{PEERS}:{os.environ['PATH']}"} if PEERS else {}
    name = "bareboat-test/daemon:1"
    bareboat(home, "push", pushed, f"docker-daemon:{name}", env=path)
    assert peer("docker", "run", "--rm", "--network", "host", name, "python", "-c", SAYS).strip() == says
    bareboat(home, "pull", f"docker-daemon:{name}", env=path)
    assert bareboat(home, "run", name, "python", "-c", SAYS) == says
    peer("docker", "rmi", "-f", name)


def test_copied_on_byte_for_byte(by_docker: str, host: str, home: Path) -> None:
    """What was pulled goes to another repository with the digest it had (trap 43)."""
    bareboat(home, "pull", by_docker)
    digest = bareboat(home, "push", by_docker, f"{host}/ours/copy:1")
    assert digest == peer("crane", "digest", "--insecure", by_docker).strip()


def test_another_user_s_empty_store(pushed: str, says: str, tmp_path: Path) -> None:
    """As an ordinary user with an empty home, where this test may become one."""
    if os.getuid():
        pytest.skip("only root can become somebody else")
    need("setpriv")
    home = tmp_path / "home"
    home.mkdir()
    for folder in (home, *list(home.parents)[:-2]):
        folder.chmod(folder.stat().st_mode | 0o755)
    os.chown(home, 54321, 54321)
    done = call("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", sys.executable, "-m", "bareboat",
                "pull", pushed, cwd=home, env={"HOME": str(home), "BAREBOAT_HOME": str(home / "store")})
    assert done.returncode == 0, done.stderr
    done = call("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", sys.executable, "-m", "bareboat",
                "run", pushed, "python", "-c", SAYS, cwd=home,
                env={"HOME": str(home), "BAREBOAT_HOME": str(home / "store")})
    assert done.stdout.strip() == says, done.stderr
