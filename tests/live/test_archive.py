"""A real project's archive in a network namespace with nothing in it, under another home, and in other tools' hands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live.test_save import bareboat, call, peer

pytestmark = pytest.mark.live
PROGRAM = """\
import json, pathlib, socket, sys
import numpy
pathlib.Path("results/sum.json").write_text(json.dumps([numpy.__version__, sys.version, int(numpy.arange(9).sum())]))
try:
    socket.create_connection(("192.0.2.1", 9), 0.2)
except OSError as e:
    print(type(e).__name__, len(open("/proc/net/dev").readlines()) - 2)
"""
NAME = "bareboat-test/archive:1"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world") / "project"
    (root / "src").mkdir(parents=True)
    (root / "results").mkdir()
    (root / "requirements.txt").write_text("numpy\n")
    (root / "bareboat.toml").write_text('apt = ["jq"]\n')
    (root / "src/run.py").write_text(PROGRAM)
    return root


@pytest.fixture(scope="module")
def home(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("store") / "home"
    bareboat(place, "build", "-t", NAME, cwd=project)
    bareboat(place, "run", "--", "python", "src/run.py", cwd=project)
    yield place


@pytest.fixture(scope="module", params=["archive.tar", "archive/"])
def archived(request: pytest.FixtureRequest, home: Path, project: Path) -> Path:
    bareboat(home, "archive", "-o", f"../{request.param}", ".", NAME, cwd=project)
    return project.parent / str(request.param).rstrip("/")


PYTHON = os.environ.get("BAREBOAT_TEST_PYTHON", sys.executable)  # one that other users may start, with bareboat


def become(user: int) -> list[str]:
    """The words before a command that make it that user's."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.getuid() == 0 and user else []


def alone(user: int, home: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """bareboat in a network namespace of its own, where there is no device but an idle loopback."""
    own = ["unshare", "-n"] if os.getuid() == 0 else ["unshare", "-rn"]
    env = {"BAREBOAT_HOME": str(home), "HOME": str(home.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = call(*own, *become(user), PYTHON, "-m", "bareboat", *words, cwd=cwd, env=env)
    if done.returncode and "unshare" in done.stderr and not os.environ.get("CI"):
        pytest.skip(done.stderr)
    return done


def remove(folder: Path) -> None:
    """A run leaves a process behind that compiles bytecode into the store for some seconds."""
    from bareboat.host.files import remove_tree

    for _ in range(100):
        try:
            return remove_tree(folder)
        except OSError:
            time.sleep(0.3)
    return remove_tree(folder)


@pytest.mark.parametrize("user", [0, 1234])
def test_it_runs_without_a_network_from_an_empty_store(user: int, archived: Path, home: Path, project: Path) -> None:
    again = f"import subprocess; subprocess.run([{PYTHON!r}, '-c', 'import bareboat'], check=True)"
    if call(*become(user), PYTHON, "-c", again, cwd=Path("/")).returncode:
        pytest.skip("this Python cannot be started by other users: set BAREBOAT_TEST_PYTHON to one that can")
    base = Path("/var/tmp") / f"bareboat-test-{os.getpid()}-{user}"  # where the other user can get at
    base.mkdir(mode=0o755)
    try:
        clone, copy = base / "clone", base / archived.name
        shutil.copytree(project, clone, ignore=shutil.ignore_patterns("results"))
        (clone / "results").mkdir()
        (shutil.copytree if archived.is_dir() else shutil.copy)(archived, copy)  # type: ignore[operator]
        if os.getuid() == 0:
            for path in (base, *base.rglob("*")):
                os.chown(path, user, user)
        refused = alone(user, base / "home", "run", "--offline", "--locked", "--", "true", cwd=clone)
        assert refused.returncode == 125  # the broken control: an empty store has nothing to run
        restored = alone(user, base / "home", "archive", "--restore", str(copy), "--json", cwd=clone)
        assert restored.returncode == 0, restored.stderr
        [[_, plan, names], [_, with_code, named]] = json.loads(restored.stdout)["images"]
        assert (names, named) == ([], [NAME])
        done = alone(user, base / "home", "run", "--offline", "--locked", "--", "python", "src/run.py", cwd=clone)
        assert (done.returncode, done.stdout) == (0, "OSError 1\n"), done.stderr
        assert (clone / "results/sum.json").read_bytes() == (project / "results/sum.json").read_bytes()
        by_name = alone(user, base / "home", "run", NAME, "jq", "--version", cwd=clone)
        assert by_name.stdout.startswith("jq-"), by_name.stderr
        itself = alone(user, base / "home", "run", NAME, "python", "-c", "import os; print(os.listdir('/app/src'))",
                       cwd=clone)
        assert itself.stdout == "['run.py']\n", itself.stderr
        assert plan == bareboat(home, "build", "--no-code", "--locked", "--offline", cwd=project)
        assert with_code == bareboat(home, "build", "--locked", "--offline", cwd=project)
        assert (clone / "bareboat.lock").read_bytes() == (project / "bareboat.lock").read_bytes()
    finally:
        remove(base)


def test_other_tools_take_the_image_out_of_it(archived: Path, home: Path, project: Path) -> None:
    bareboat(home, "save", NAME, "-o", "../saved/", cwd=project)
    digest = json.loads((project.parent / "saved/index.json").read_bytes())["manifests"][0]["digest"]
    shutil.rmtree(project.parent / "saved")
    kind = "oci" if archived.is_dir() else "oci-archive"
    assert json.loads(peer("skopeo", "inspect", f"{kind}:{archived}:1"))["Digest"] == digest
    if archived.is_dir():
        return
    for engine in ("docker", "podman"):
        assert NAME in peer(engine, "load", "-i", str(archived))
        try:
            assert peer(engine, "run", "--rm", "--network", "none", NAME, "jq", "--version").startswith("jq-")
        finally:
            peer(engine, "rmi", NAME)


def test_a_full_disk_leaves_nothing(archived: Path, home: Path, project: Path, tmp_path: Path) -> None:
    """Writing to, and restoring onto, a disk that is too small ends with one clear error."""
    if os.getuid():
        pytest.skip("mounts a tmpfs")
    small = tmp_path / "small"
    small.mkdir()
    script = (f'mount -t tmpfs -o size=20m none "{small}" && cd "{project}" && '
              f'BAREBOAT_HOME="{home}" "{sys.executable}" -m bareboat archive -o "{small}/a.tar"; echo "rc $?"; '
              f'BAREBOAT_HOME="{home}" "{sys.executable}" -m bareboat archive -o "{small}/a/"; echo "rc $?"; '
              f'ls -A "{small}"; echo "--"; '
              f'BAREBOAT_HOME="{small}/home" "{sys.executable}" -m bareboat archive --restore "{archived}"; '
              'echo "rc $?"')
    done = call("unshare", "-m", "sh", "-c", script)
    lines = done.stdout.splitlines()
    assert lines == ["rc 125", "rc 125", "--", "rc 125"], done.stderr
    assert done.stderr.count("[io.full]") == 2 and "[store.full]" in done.stderr and "Traceback" not in done.stderr


def test_a_project_on_an_image_of_others(home: Path, project: Path, tmp_path: Path) -> None:
    """The base goes along; where it was found need not exist any more."""
    bareboat(home, "save", NAME, "-o", f"{tmp_path}/base/", cwd=project)
    mine = tmp_path / "mine"
    (mine / "src").mkdir(parents=True)
    (mine / "bareboat.toml").write_text(f'base = "oci:{tmp_path}/base:1"\n')
    (mine / "requirements.txt").write_text("packaging\nnumpy\n")
    code = "import numpy, packaging; print(numpy.__version__, numpy.__file__, packaging.__file__)"
    there = bareboat(home, "run", "--", "python", "-c", code, cwd=mine)
    bareboat(home, "archive", "-o", f"{tmp_path}/mine.tar", cwd=mine)
    sbom = json.loads(bareboat(home, "sbom", "--format", "cyclonedx", cwd=mine))
    assert {"numpy", "packaging", "jq"} <= {c["name"] for c in sbom["components"]}
    shutil.rmtree(tmp_path / "base")
    empty = tmp_path / "empty"
    assert alone(0, empty, "run", "--offline", "--locked", "--", "true", cwd=mine).returncode == 125
    restored = alone(0, empty, "archive", "--restore", f"{tmp_path}/mine.tar", cwd=mine)
    assert restored.returncode == 0, restored.stderr
    done = alone(0, empty, "run", "--offline", "--locked", "--", "python", "-c", code, cwd=mine)
    assert done.stdout.strip() == there, done.stderr


def test_a_run_repeats_the_same_without_a_network(home: Path, project: Path, tmp_path: Path) -> None:
    bareboat(home, "archive", "--run", "last", "-o", f"{tmp_path}/run.tar", cwd=project)
    restored = alone(0, tmp_path / "empty", "archive", "--restore", f"{tmp_path}/run.tar", "--json", cwd=tmp_path)
    assert restored.returncode == 0, restored.stderr
    [run] = json.loads(restored.stdout)["runs"]
    again = alone(0, tmp_path / "empty", "rerun", run, cwd=tmp_path)
    assert again.returncode == 0 and "identical" in again.stdout, again.stderr
