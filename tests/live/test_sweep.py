"""The example of docs/sweeps.md by its own commands: locked, assembled, queued, carried out, looked at."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import sandbox_kit
from tests.life_kit import until

from bareboat.queue import door

pytestmark = pytest.mark.live
EXAMPLE = Path(__file__).parents[2] / "examples/sweep"
COMMANDS = [shlex.split(line)[1:] for line in (EXAMPLE / "README.md").read_text().splitlines()
            if line.startswith("    bareboat ")]


class Folder:
    """A copy of the example, a store and leases of its own, and a worker in the foreground that goes with it."""

    def __init__(self, base: Path) -> None:
        self.root = base / "example"
        shutil.copytree(EXAMPLE, self.root, ignore=shutil.ignore_patterns("results"))
        self.env = {**os.environ, "BAREBOAT_HOME": str(base / "home"), "BAREBOAT_LEASES_PATH": str(base / "leases")}
        self.worker: subprocess.Popen[bytes] | None = None

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "bareboat", *words], cwd=self.root, env=self.env, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300)

    def close(self) -> None:
        if self.worker is not None:
            self.worker.terminate()
            self.worker.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    sandbox_kit.need_sandbox()
    made = Folder(tmp_path)
    done = made("run", "--", "true")
    if done.returncode and any(c in done.stderr for c in ("unreachable", "network")) and not os.environ.get("CI"):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    made.worker = subprocess.Popen([sys.executable, "-m", "bareboat", "queue", "worker"], env=made.env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: door.is_held(tmp_path / "home/queue"))  # or `train` would start another, which outlives the test
    yield made
    made.close()


def test_the_example(folder: Folder) -> None:
    train, wait, listing, smaller, of_file = COMMANDS
    done = folder(*train)
    assert done.returncode == 0 and "line · 12 runs" in done.stdout, done.stderr
    assert folder(*wait).stdout == "1\n"
    done = folder(*listing)
    assert done.stdout.startswith("line: 12 runs: 9 succeeded, 3 failed\n"), done.stdout + done.stderr
    best = list(csv.DictReader(folder("queue", "line", "--csv", "--sort", "loss").stdout.splitlines()))
    assert len(best) == 12 and best[0]["lr"] == "0.1" and float(best[0]["loss"]) < 0.05
    assert {row["lr"] for row in best if row["state"] == "failed"} == {"1"}
    assert "it does not converge" in "".join(folder("logs", row["run"]).stderr for row in best[-3:])
    for words, name in ((smaller, "line-small"), (of_file, "some")):
        assert folder(*words).returncode == 0 and folder("wait", name).stdout == "0\n"
    told = json.loads(folder("queue", "some", "--json").stdout)
    assert [run["parameters"] for run in told["runs"]] == [{"lr": "0.01", "seed": "1"}, {"lr": "0.1", "seed": "2"}]
    assert sorted(p.name for p in (folder.root / "results").iterdir()) == ["line", "line-small", "some"]
    assert folder("resume", "--failed", "line").stdout == "line: 3 runs\n"
    assert folder("wait", "line").stdout == "1\n"
    assert {row["attempt"] for row in json.loads(folder("queue", "line", "--json").stdout)["runs"]} == {1, 2}


def test_results_and_data_within_the_codes_folder(folder: Folder) -> None:
    """Without src/ the whole folder is the code; results and data lie in it, and are in no snapshot of it."""
    shutil.rmtree(folder.root / "src")
    (folder.root / "data").mkdir()
    (folder.root / "data/x").write_text("1")
    (folder.root / "train.py").write_text("open('results/out', 'w').write(open('data/x').read())")
    assert folder("train", "--name", "flat", "--", "python", "train.py").returncode == 0
    assert folder("wait", "flat").stdout == "0\n", folder("show", "flat").stdout
    assert (folder.root / "results/flat/out").read_text() == "1"
    done = folder("rerun", "flat")
    assert done.returncode == 0 and "identical" in done.stdout, done.stderr
