"""Docker runs containers for a process that has nothing of Linux's own: the nearest there is to a Mac in CI.

BAREBOAT_PEERS: a directory with docker (DOCKER_HOST as it needs it); where it is set its absence is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.builder.layer_factory import E, d, tar
from tests.live.layout_kit import write_layout

import bareboat

pytestmark = pytest.mark.live
PEERS = os.environ.get("BAREBOAT_PEERS", "")
BEGIN = ("import pytest, sys\nfrom tests.portability.elsewhere import leave_linux\nleave_linux()\n"
         "from bareboat.cli import main\nsys.exit(main(sys.argv[1:]))\n")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = os.pathsep.join(p for p in (PEERS, os.environ["PATH"]) if p)
    docker, busybox = shutil.which("docker", path=path), shutil.which("busybox")
    if docker is None or subprocess.run([docker, "version"], capture_output=True).returncode:
        if PEERS:
            pytest.fail("BAREBOAT_PEERS has no docker that answers")
        pytest.skip("needs docker")
    if busybox is None:
        pytest.skip("needs busybox, statically linked")
    base = tmp_path_factory.mktemp("elsewhere")
    write_layout(base / "layout", [tar([
        d("bin"), E("bin/busybox", Path(busybox).read_bytes(), mode=0o755), d("tmp", mode=0o1777),
        *(E(f"bin/{tool}", kind=b"2", link="busybox") for tool in ("sh", "cat", "id"))])])
    ours = os.pathsep.join([str(Path(bareboat.__file__).parents[1]), *(p for p in sys.path if p)])
    return {**os.environ, "PATH": path, "PYTHONPATH": ours, "BAREBOAT_HOME": str(base / "home"), "HOME": str(base),
            "BAREBOAT_ENGINE": "docker", "LAYOUT": str(base / "layout")}


def elsewhere(environ: dict[str, str], *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BEGIN, *words], capture_output=True, text=True, env=environ,
                          input=stdin)  # fmt: skip


def test_an_image_is_pulled_and_run_by_docker(environ: dict[str, str], tmp_path: Path) -> None:
    pulled = elsewhere(environ, "pull", f"oci:{environ['LAYOUT']}:1")
    assert pulled.returncode == 0, pulled.stderr
    (tmp_path / "in").write_text("read\n")
    done = elsewhere(environ, "-q", "run", "-i", "-v", f"{tmp_path}:/here", "layout:1", "sh", "-c",
                     "cat /here/in -; echo written > /here/out; exit 3", stdin="said\n")
    assert (done.returncode, done.stdout) == (3, "read\nsaid\n"), done.stderr
    out = tmp_path / "out"
    assert out.read_text() == "written\n" and out.stat().st_uid == os.getuid()
    shown = elsewhere(environ, "show", "last")
    assert shown.returncode == 0 and "exit 3" in shown.stdout, shown.stdout
    own = elsewhere({**environ, "BAREBOAT_ENGINE": "bubblewrap"}, "run", "layout:1", "sh")
    assert own.returncode == 125 and "[engine.platform]" in own.stderr
