"""A real project, saved, in the hands of real programs; and built twice, by two users, to the same digests.

BAREBOAT_PEERS: a directory of docker, podman, skopeo, umoci (DOCKER_HOST as those need it); where it is set their
absence is a failure, else what is not on PATH is skipped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.live
PEERS = os.environ.get("BAREBOAT_PEERS", "")
NAME = "bareboat-test/live:1"
CHECK = "import numpy, sys; print(numpy.__version__, sys.version.split()[0], numpy.arange(5).sum(), numpy.__file__)"


def peer(name: str, *argv: str) -> str:
    """What a peer prints; skipped where it is not here and nobody promised it."""
    program = shutil.which(name, path=f"{PEERS}:{os.environ['PATH']}" if PEERS else None)
    if program is None or (not PEERS and name == "docker" and call(program, "info").returncode):
        if PEERS:
            pytest.fail(f"BAREBOAT_PEERS has no {name}")
        pytest.skip(f"needs {name}")
    done = call(program, *argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


def call(*argv: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False, cwd=cwd,
                          env={**os.environ, **(env or {})})


def bareboat(home: Path, *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    done = call(sys.executable, "-m", "bareboat", *words, cwd=cwd, env={"BAREBOAT_HOME": str(home), **(env or {})})
    if done.returncode and not os.environ.get("CI") and any(
            code in done.stderr for code in ("unreachable", "no-mirror", "download.", "uv.")):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "requirements.txt").write_text("numpy\n")
    (root / "src").mkdir()
    (root / "src/run.py").write_text(CHECK)
    return root


@pytest.fixture(scope="module")
def home(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("store") / "home"
    bareboat(place, "build", "-t", NAME, cwd=project)
    yield place


@pytest.fixture(scope="module")
def archive(home: Path, project: Path) -> Path:
    bareboat(home, "save", NAME, "-o", "image.tar", cwd=project)
    return project / "image.tar"


@pytest.fixture(scope="module")
def layout(home: Path, project: Path) -> Path:
    bareboat(home, "save", NAME, "-o", "image/", cwd=project)
    return project / "image"


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_engines_run_it_as_bareboat_does(engine: str, archive: Path, home: Path, project: Path) -> None:
    assert NAME in peer(engine, "load", "-i", str(archive))
    try:
        mount = f"{project}/src:/app/src:ro"
        there = peer(engine, "run", "--rm", "--network", "host", "-v", mount, NAME, "python", "src/run.py")
        assert there == bareboat(home, "run", "--", "python", "src/run.py", cwd=project) + "\n"
        assert peer(engine, "run", "--rm", "--network", "host", NAME, "id", "-u") == "1000\n"
    finally:
        peer(engine, "rmi", NAME)


def test_skopeo_reads_and_copies_it_unchanged(layout: Path, home: Path, tmp_path: Path) -> None:
    found = json.loads(peer("skopeo", "inspect", f"oci:{layout}:1"))
    digest = json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
    assert found["Digest"] == digest and found["Architecture"] in ("amd64", "arm64")
    peer("skopeo", "copy", f"oci:{layout}:1", f"dir:{tmp_path}/copy")
    assert "sha256:" + hashlib.sha256((tmp_path / "copy/manifest.json").read_bytes()).hexdigest() == digest


def test_umoci_unpacks_what_the_trees_are(layout: Path, home: Path, tmp_path: Path) -> None:
    from tests.reproducible.building import tree_digest

    from bareboat.store import Store

    rootless = ["--rootless"] if os.getuid() else []
    peer("umoci", "unpack", *rootless, "--image", f"{layout}:1", str(tmp_path / "bundle"))
    store = Store.open(home)
    document = store.get_json("plans", store.tags()[NAME])
    assert isinstance(document, dict)
    merged = tmp_path / "merged"
    for key in (*document["trees"], *document["bytecode"]):
        assert call("cp", "-a", f"{store.tree(key)}/.", str(merged)).returncode == 0
    for folder in ("usr", "etc", "opt", "var", "home"):
        assert tree_digest(tmp_path / "bundle/rootfs" / folder) == tree_digest(merged / folder)
    store.close()


def test_two_stores_two_places_one_digest(home: Path, project: Path, layout: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "ü elsewhere"
    shutil.copytree(project, elsewhere, ignore=shutil.ignore_patterns("image*"))
    other = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "77"}
    old = os.umask(0o077)
    try:
        bareboat(tmp_path / "home", "build", "--locked", "-t", NAME, cwd=elsewhere, env=other)
        digest = bareboat(tmp_path / "home", "save", NAME, "-o", "image/", cwd=elsewhere, env=other)
    finally:
        os.umask(old)
    assert digest == json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
    for path in (layout / "blobs/sha256").iterdir():
        assert (elsewhere / "image/blobs/sha256" / path.name).read_bytes() == path.read_bytes()
