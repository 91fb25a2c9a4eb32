"""An index for two architectures made on one machine, and the other one's Python, numpy and scripts really run.

Emulation needs qemu-user-static and Linux 6.7; where CI is set their absence is a failure.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live.test_save import bareboat, call, peer

from bareboat.errors import EngineError
from bareboat.host.kernel import platform
from bareboat.sandbox.emulation import SINCE, find

pytestmark = pytest.mark.live
OTHER, MACHINE = {"linux/amd64": ("linux/arm64", "aarch64")}.get(platform(), ("linux/amd64", "x86_64"))
NAME = "bareboat-test/two:1"
PROGRAM = """
import os, platform, subprocess, sys, numpy
child = subprocess.run([sys.executable, "-c", "import os; print(os.uname().machine)"], capture_output=True, text=True)
script = subprocess.run(["f2py", "-v"], capture_output=True, text=True)
print(platform.machine(), child.stdout.strip(), script.stdout.strip() == numpy.__version__, numpy.arange(5).sum(),
      sys.executable)
try:
    os.chmod("/tmp", 0o4755)
except PermissionError:
    print("filtered")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "requirements.txt").write_text("numpy\n")
    (root / "src").mkdir()
    (root / "src/run.py").write_text(PROGRAM)
    return root


@pytest.fixture(scope="module")
def home(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("store") / "home"
    plans = bareboat(place, "build", "-t", NAME, "--platform", f"{platform()},{OTHER}", cwd=project)
    assert len(plans.splitlines()) == 2
    yield place


def need_emulation() -> None:
    try:
        find(OTHER)
    except EngineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(error.what)
    if tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2]) < SINCE and not os.environ.get("CI"):
        pytest.skip("needs Linux 6.7")


def test_the_other_machines_programs_and_their_children_run_and_are_filtered(home: Path, project: Path) -> None:
    need_emulation()
    said = bareboat(home, "run", "--platform", OTHER, "--", "python", "src/run.py", cwd=project)
    assert said.splitlines() == [f"{MACHINE} {MACHINE} True 10 /opt/venv/bin/python", "filtered"]
    [record] = json.loads(bareboat(home, "runs", "--json"))
    assert record["platform"] == OTHER
    assert f"{OTHER}, emulated" in bareboat(home, "show", "last")


def test_others_read_the_index_and_what_is_pulled_out_of_it_runs(home: Path, project: Path, tmp_path: Path) -> None:
    digest = bareboat(home, "save", NAME, "-o", f"{tmp_path}/two/")
    index = json.loads(peer("skopeo", "inspect", "--raw", f"oci:{tmp_path}/two:1"))
    assert [m["platform"]["architecture"] for m in index["manifests"]] == [platform()[6:], OTHER[6:]]
    assert digest.startswith("sha256:")
    other = tmp_path / "other"
    bareboat(other, "pull", f"oci:{tmp_path}/two:1", "--platform", OTHER, "-t", "two:1")
    need_emulation()
    assert bareboat(other, "run", "two:1", "uname", "-m") == MACHINE  # as Docker does, with a line that says so
    refused = call(sys.executable, "-m", "bareboat", "run", "--platform", platform(), "two:1", "uname",
                   env={"BAREBOAT_HOME": str(other)})
    assert refused.returncode == 125 and f"is not here for {platform()}" in refused.stderr
