"""GPUs by the command line, on a machine whose GPUs are made of files: a run, a container, its exec and its end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests import gpu_kit, sandbox_kit

pytestmark = pytest.mark.live
PEERS = os.environ.get("BAREBOAT_PEERS", "")
NODES = "cd /dev && for n in nvidia*; do stat -L -c '%n %t:%T' $n; done; echo $NVIDIA_VISIBLE_DEVICES"
SEES = """\
import ctypes, glob, os, sys
print(*sorted(os.path.basename(p) for p in glob.glob("/dev/nvidia*")), ctypes.CDLL("libcuda.so.1").answer(), flush=True)
sys.stdin.read() if sys.argv[1:] else None
"""


class User:
    """A project, a store of its own, and the command line on a machine with two GPUs."""

    def __init__(self, base: Path) -> None:
        self.root = base / "project"
        (self.root / "src").mkdir(parents=True)
        (self.root / "src/sees.py").write_text(SEES)
        gpu_kit.cdi_yaml(base / "cdi", gpu_kit.library(base / "libcuda.so.999.88", "libcuda.so.1"))
        (base / "nvml.txt").write_text(gpu_kit.TWO)
        with pytest.MonkeyPatch.context() as patch:
            library = gpu_kit.nvml(gpu_kit.TWO, base, patch)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("BAREBOAT_")}
        self.env = {**environ, "BAREBOAT_HOME": str(base / "store"), "BAREBOAT_GPU_CDI": str(base / "cdi"),
                    "BAREBOAT_GPU_NVML": str(library), "FAKE_NVML": str(base / "nvml.txt")}
        self.env.pop("CUDA_VISIBLE_DEVICES", None)

    def __call__(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "bareboat", *words], cwd=self.root, text=True, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300, env={**self.env, **env})


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    sandbox_kit.need_sandbox()
    made = User(tmp_path_factory.mktemp("gpus"))
    done = made("run", "--", "true")
    if done.returncode and any(c in done.stderr for c in ("unreachable", "network")) and not os.environ.get("CI"):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return made


def test_a_run_says_which_sees_them_alone_and_records_it(user: User) -> None:
    done = user("run", "-g", "1", "--", "python", "src/sees.py")
    assert (done.returncode, done.stdout) == (0, "nvidia-uvm nvidia1 nvidiactl 42\n"), done.stderr
    assert done.stderr.startswith("bareboat GPU 1 NVIDIA H100 80GB HBM3 (86 GB); driver 550.54.14\n")
    run = done.stderr.split()[-1]
    assert [r["gpus"] for r in json.loads(user("runs", "--json").stdout) if r["id"].startswith(run)] == ["device=1"]
    assert ", GPUs 1\n" in user("show", run).stdout
    again = user("rerun", run, "--in", str(user.root.parent / "again"))
    assert again.returncode == 0 and "nvidia1 nvidiactl 42" in again.stdout, again.stderr


def test_without_one_there_is_none(user: User) -> None:
    done = user("run", "--", "sh", "-c", "ls -d /dev/nvidia* /dev/dri /dev/kfd /run/bareboat/driver")
    assert done.returncode != 0 and done.stdout == ""


@pytest.mark.parametrize(("gpus", "code"), [("3", "gpu.too-few"), ("device=9", "gpu.unknown"), ("x", "usage.gpus")])
def test_what_cannot_be_met_starts_nothing(user: User, gpus: str, code: str) -> None:
    before = user("runs", "--json").stdout
    done = user("run", "--gpus", gpus, "--", "python", "src/sees.py")
    assert done.returncode == 125 and f"[{code}]" in done.stderr and done.stdout == ""
    assert user("runs", "--json").stdout == before


def test_optional_goes_on_and_says_so(user: User) -> None:
    (user.root / "bareboat.toml").write_text('gpu = "optional"\n')
    try:
        done = user("run", "--", "true", BAREBOAT_GPU_CDI="/none", BAREBOAT_GPU_NVML="/none/libnvidia-ml.so.1")
        assert done.returncode == 0 and "without a GPU: there is no GPU here" in done.stderr
        refused = user("run", "--gpus", "all", "--", "true", BAREBOAT_GPU_CDI="/none", BAREBOAT_GPU_NVML="/none/x.so")
        assert refused.returncode == 125 and "[gpu.none]" in refused.stderr
    finally:
        (user.root / "bareboat.toml").unlink()


def test_a_containers_exec_has_them_and_the_listing_names_it(user: User) -> None:
    done = user("run", "-d", "-i", "--name", "sweep", "--gpus", "device=0", "--", "python", "src/sees.py", "stay")
    assert done.returncode == 0, done.stderr
    try:
        inside = user("exec", "sweep", "sh", "-c", "cd /dev && echo nvidia* $NVIDIA_VISIBLE_DEVICES")
        assert inside.stdout == "nvidia-uvm nvidia0 nvidiactl void\n"
        listed = json.loads(user("gpus", "--json").stdout)
        assert [[c["name"] for c in gpu["containers"]] for gpu in listed["gpus"]] == [["sweep"], []]
        assert "session sweep, since" in user("gpus").stdout
    finally:
        user("rm", "-f", "sweep")
    assert json.loads(user("gpus", "--json").stdout)["gpus"][0]["containers"] == []


def peer(name: str) -> str:
    """The folder of a real docker or podman for PATH; skip where there is none, but never in CI."""
    folder = PEERS or os.path.dirname(shutil.which(name) or "")
    if not folder or not os.access(f"{folder}/{name}", os.X_OK):
        if os.environ.get("CI"):
            pytest.fail(f"there is no {name}")
        pytest.skip(f"there is no {name}")
    return f"{folder}:{os.environ['PATH']}"


def test_podman_reads_the_same_of_a_specification(user: User, tmp_path: Path) -> None:
    """Podman's own CDI beside ours, on a file without hooks: the same nodes and variables."""
    path = peer("podman")

    def edits(n: int) -> dict[str, object]:
        return {"deviceNodes": [{"path": f"/dev/nvidia{n}", "hostPath": gpu_kit.NODES[f"/dev/nvidia{n}"]}]}

    (tmp_path / "gpu.json").write_text(json.dumps({
        "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
        "devices": [{"name": str(n), "containerEdits": edits(n)} for n in range(2)],
        "containerEdits": {"env": ["NVIDIA_VISIBLE_DEVICES=void"], "deviceNodes": [
            {"path": "/dev/nvidiactl", "hostPath": "/dev/null"}]}}))
    (tmp_path / "containers.conf").write_text(f'[engine]\ncdi_spec_dirs=["{tmp_path}"]\n')
    env = {"PATH": path, "BAREBOAT_GPU_CDI": str(tmp_path),
           "CONTAINERS_CONF_OVERRIDE": str(tmp_path / "containers.conf")}
    ours, theirs = (user("run", "--engine", engine, "-g", "1", "--", "sh", "-c", NODES, **env)
                    for engine in ("bubblewrap", "podman"))
    assert (ours.returncode, theirs.returncode) == (0, 0), theirs.stderr
    assert ours.stdout == theirs.stdout == "nvidia1 1:7\nnvidiactl 1:3\nvoid\n"


def test_an_engine_that_has_no_way_to_its_gpus_says_what_to_do(user: User) -> None:
    path = peer("docker")
    done = user("run", "--engine", "docker", "-g", "1", "--", "true", PATH=path)
    if "[docker.down]" in done.stderr and not os.environ.get("CI"):
        pytest.skip("no daemon of docker's answers")
    assert done.returncode == 125 and "[docker.gpu]" in done.stderr and "nvidia-ctk runtime configure" in done.stderr
