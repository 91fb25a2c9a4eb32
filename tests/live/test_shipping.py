"""What is shipped, in the hands of real programs: with the project's code and its bytecode, by gzip and by zstd."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.image_schemas import check_image, check_index
from tests.live.test_save import bareboat, peer

pytestmark = pytest.mark.live
NAME = "bareboat-test/shipped:1"
# numpy and the standard library come from bytecode that is never checked (PEP 552: flags 1), and nothing is written.
CODE = """import json, numpy, struct
from part import word
flags = [struct.unpack("<L", open(m.__cached__, "rb").read(8)[4:])[0] for m in (numpy, json)]
print(word, numpy.arange(5).sum(), flags)
"""
SAYS = "from a part 10 [1, 1]\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "requirements.txt").write_text("numpy\n")
    (root / "src").mkdir()
    (root / "src/run.py").write_text(CODE)
    (root / "src/part.py").write_text("word = 'from a part'\n")
    return root


@pytest.fixture(scope="module")
def home(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("store") / "home"
    bareboat(place, "build", "-t", NAME, cwd=project)
    yield place


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_engines_run_the_projects_code_from_its_bytecode(compression: str, home: Path, project: Path) -> None:
    bareboat(home, "save", NAME, "--compression", compression, "-o", f"{compression}.tar", cwd=project)
    for engine in ("docker", "podman"):
        peer(engine, "load", "-i", str(project / f"{compression}.tar"))
        try:
            assert peer(engine, "run", "--rm", "--network", "host", NAME, "python", "/app/src/run.py") == SAYS
        finally:
            peer(engine, "rmi", NAME)
    assert bareboat(home, "run", NAME, "python", "/app/src/run.py", cwd=home) == SAYS.strip()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_its_documents_are_valid_and_layers_unpack_to_the_same(compression: str, home: Path, project: Path,
                                                               tmp_path: Path) -> None:
    bareboat(home, "save", NAME, "--compression", compression, "-o", f"{tmp_path}/image/", cwd=project)
    index = (tmp_path / "image/index.json").read_bytes()
    check_index(index)

    def blob(digest: str) -> bytes:
        return (tmp_path / "image/blobs" / digest.replace(":", "/")).read_bytes()

    manifest = blob(json.loads(index)["manifests"][0]["digest"])
    check_image(manifest, blob(json.loads(manifest)["config"]["digest"]))
    peer("skopeo", "inspect", f"oci:{tmp_path}/image:1")
    peer("umoci", "unpack", *(["--rootless"] if os.getuid() else []), "--image", f"{tmp_path}/image:1",
         str(tmp_path / "bundle"))
    root = tmp_path / "bundle/rootfs"
    assert (root / "app/src/run.py").read_text() == CODE
    assert list(root.glob("opt/venv/lib/python3*/site-packages/numpy/__pycache__/__init__.*.pyc"))
    assert (root / "results").stat().st_mode & 0o7777 == 0o1777  # anybody's to write
