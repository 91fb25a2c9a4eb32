"""The examples of docs/resuming.md by the real queue: interrupted, resumed, and the loss of an undisturbed run.

Their checkpoints are real files of their frameworks: what is cut off of them must not count.

BAREBOAT_EXAMPLES=all runs all of them, each interrupted three times. Those with PyTorch are only run so, and need a
build of it for the CPU and Python 3.11, a wheel in a folder that PIP_FIND_LINKS names: what the usual index has is some
gigabytes. Otherwise the quickest is interrupted three times and the others once, which is a matter of seconds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import sandbox_kit
from tests.life_kit import until

from bareboat.queue import door
from bareboat.store.checkpoints import found, resume_from

pytestmark = pytest.mark.live
EXAMPLES = Path(__file__).parents[2] / "examples"
ALL = os.environ.get("BAREBOAT_EXAMPLES") == "all"
WHEELS = [wheel for folder in os.environ.get("PIP_FIND_LINKS", "").split()
          for wheel in sorted(Path(folder).glob("torch-*+cpu-cp311-*_x86_64.whl"))]
TORCH = ("torch", "lightning", "transformers")
RUNS = {  # its words, how long for each interruption, and how often where not all is asked for
    "sklearn": ("--every 100 --steps", 500, 3),
    "jax": ("--every 1000 --steps", 8000, 1),
    "keras": ("--epochs", 25, 1),
    "torch": ("--every 100 --epochs", 40, 0),
    "lightning": ("--every 100 --epochs", 40, 0),
    "transformers": ("--every 15 --steps", 90, 0),
}


class Project:
    """Copies of the examples, with one store and one worker, in the foreground."""

    def __init__(self, base: Path) -> None:
        self.base, self.root = base, base
        self.env = {**os.environ, "BAREBOAT_HOME": str(base / "home"), "BAREBOAT_LEASES_PATH": str(base / "leases")}
        self.worker = subprocess.Popen([sys.executable, "-m", "bareboat", "queue", "worker"], env=self.env,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: door.is_held(base / "home/queue"))  # or `train` would start another, which outlives the test

    def enter(self, name: str) -> None:
        self.root = self.base / name
        shutil.copytree(EXAMPLES / f"resume-{name}", self.root, ignore=shutil.ignore_patterns("results", "*.lock"))
        if name in TORCH:
            wheel = WHEELS[-1]
            needed = (self.root / "requirements.txt").read_text().replace("torch\n", "")
            version = wheel.name.split("-")[1].partition("+")[0]
            (self.root / "requirements.txt").write_text(f"--find-links {wheel.parent}\n{needed}torch=={version}\n")
            settings = self.root / "bareboat.toml"
            settings.write_text('python = "3.11"\n\n' + settings.read_text())

    def __call__(self, *words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "bareboat", *words], cwd=self.root, env=self.env, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=600)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def loss(self, name: str) -> str:
        return str(json.loads((self.root / f"results/{name}/final.json").read_text())["loss"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    sandbox_kit.need_sandbox()
    made = Project(tmp_path_factory.mktemp("examples"))
    yield made
    made.worker.terminate()
    made.worker.wait()


@pytest.mark.parametrize("name", RUNS)
def test_interrupted_and_resumed_it_ends_with_the_same_loss(project: Project, name: str) -> None:
    words, length, times = RUNS[name]
    times = 3 if ALL else times
    if not times:
        pytest.skip("on request: BAREBOAT_EXAMPLES=all")
    if name in TORCH and not WHEELS:
        pytest.skip("no build of PyTorch for the CPU in PIP_FIND_LINKS")
    project.enter(name)
    project("lock")
    for run in ("whole", "cut"):
        project("train", "--name", f"{name}-{run}", "--", "python", "src/train.py", *words.split(), str(length * times))
    folder = project.root / f"results/{name}-cut/checkpoints"
    for _ in range(times):
        before = resume_from(folder)
        until(lambda before=before: resume_from(folder) != before, seconds=120)  # type: ignore[misc]
        project("stop", f"{name}-cut")
        project("resume", f"{name}-cut")
    assert project("wait", f"{name}-cut", f"{name}-whole").split() == ["0", "0"], project("logs", f"{name}-cut")
    row = next(r for r in json.loads(project("queue", "--all", "--json")) if r["name"] == f"{name}-cut")
    assert row["attempt"] == times + 1
    log = project("logs", f"{name}-cut")
    assert [log.count(f"attempt {number}, from ") for number in range(1, times + 2)] == [1] * (times + 1), log
    assert sum(log.count(f", from {begin}\n") for begin in ("step 0", "epoch 0", "nothing")) == 1, log
    assert project.loss(f"{name}-cut") == project.loss(f"{name}-whole")
    judge(folder)


def judge(folder: Path) -> None:
    """Cut each of a framework's own files in turn: what it belongs to must not count then, and does again after."""
    chance = random.Random(1)
    entries = [entry.name for entry in found(folder)]
    assert entries and all(entry.complete for entry in found(folder)) and len(entries) <= 3
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        name, content = file.relative_to(folder).parts[0], file.read_bytes()
        if not (file.parent == folder or file.suffix in (".pt", ".pth", ".safetensors")):
            continue  # of another format, or further down
        for cut in sorted({0, 1, len(content) - 1, *(chance.randrange(len(content)) for _ in range(20))}):
            if file.suffix == ".joblib" and content[:cut].endswith(b"."):
                continue  # a pickle's own end mark, by chance
            file.write_bytes(content[:cut])
            assert name not in [entry.name for entry in found(folder) if entry.complete], (name, file.name, cut)
        file.write_bytes(content)
        assert name in [entry.name for entry in found(folder) if entry.complete]
    for marker in ("trainer_state.json", "commit_success.txt"):
        for made in folder.glob(f"*/{marker}"):
            made.unlink()
            (made.parent / "_CHECKPOINT_METADATA").unlink(missing_ok=True)
            assert made.parent.name not in [entry.name for entry in found(folder) if entry.complete]
