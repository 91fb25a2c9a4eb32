"""An ordinary user trains on a real Slurm cluster by the command line: preempted three times, the same loss."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.live.test_archive import remove
from tests.slurm_kit import need_cluster, slurm, until

pytestmark = pytest.mark.live
PYTHON = os.environ.get("BAREBOAT_TEST_PYTHON", sys.executable)  # one that other users may start, with bareboat
EXAMPLE = Path(__file__).parents[2] / "examples/resume-numpy"
WHO = "www-data"  # Slurm starts jobs of users that the nodes know; this one is everywhere
TRAIN = ("--", "python", "/app/src/train.py", "--steps", "40000", "--every", "20000")


class User:
    """The command line of an ordinary user with a project, a store and a home of their own."""

    def __init__(self, base: Path) -> None:
        user = pwd.getpwnam(WHO)
        self.base, self.root, self.uid, self.gid = base, base / "project", user.pw_uid, user.pw_gid
        base.chmod(0o755)
        shutil.copytree(EXAMPLE, self.root)
        for path in (base, self.root, *self.root.rglob("*")):
            os.chown(path, self.uid, self.gid)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(base / "home"), "BAREBOAT_HOME": str(base / "store"),
                    "USER": WHO, "LANG": "C.UTF-8", "SLURM_CONF": os.environ["SLURM_CONF"],
                    "PYTHONDONTWRITEBYTECODE": "1"}
        self.env |= {name: value for name, value in os.environ.items()
                     if name in ("PYTHONPATH", "SSL_CERT_FILE") or name.startswith(("UV_", "PIP_"))}

    def __call__(self, *words: str) -> str:
        done = subprocess.run([PYTHON, "-m", "bareboat", *words], cwd=self.root, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False, timeout=300, env=self.env, user=self.uid,
                              group=self.gid, extra_groups=())
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def row(self, name: str) -> dict[str, Any]:
        """The run as `queue` shows it, which asks Slurm."""
        return next(row for row in json.loads(self("queue", "--all", "--json")) if row["name"] == name)

    def loss(self, name: str) -> str:
        return str(json.loads((self.root / f"results/{name}/final.json").read_text())["loss"])


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    need_cluster()
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    base = Path(tempfile.mkdtemp(prefix="bareboat-slurm-", dir="/var/tmp"))
    made = User(base)
    try:
        if subprocess.run([PYTHON, "-c", "import bareboat"], user=made.uid, group=made.gid, extra_groups=(),
                          env=made.env, check=False, capture_output=True, cwd="/").returncode:
            if os.environ.get("CI"):
                pytest.fail(f"{PYTHON} cannot be started by {WHO}")
            pytest.skip("this Python cannot be started by other users: set BAREBOAT_TEST_PYTHON to one that can")
        yield made
    finally:
        slurm("scancel", f"--user={WHO}", check=False)
        until(lambda: not slurm("squeue", "-h", f"--user={WHO}"))
        remove(base)


def preempted(user: User, name: str) -> None:
    """Have the node of a run taken by a job of a partition above, for a moment."""
    row = user.row(name)
    node, number = row["where"], str(row["job"]).partition("@")[0]
    other = slurm("sbatch", "--parsable", "--partition=urgent", f"--nodelist={node}", "--exclusive",
                  "--output=/dev/null", "--wrap=true")
    until(lambda: slurm("squeue", "-h", "--states=all", "-o", "%T", "-j", other) == "COMPLETED")
    until(lambda: slurm("squeue", "-h", "-o", "%T", "-j", number) != "COMPLETING")


def test_preempted_three_times_ends_with_the_same_loss(user: User) -> None:
    user("lock")
    for name, node in (("whole", "n1"), ("cut", "n2")):
        user("train", "--engine", "slurm", "--partition", "batch", "--memory", "500m",
             f"--sbatch=--nodelist={node}", "--name", name, *TRAIN)
    for attempt in (1, 2, 3):
        until(lambda attempt=attempt: f"attempt {attempt}," in user("logs", "cut"))  # type: ignore[misc]
        until(lambda attempt=attempt: user.row("cut")["attempt"] == attempt)  # type: ignore[misc]
        preempted(user, "cut")
        until(lambda attempt=attempt: user.row("cut")["attempt"] > attempt, pause=0.3)  # type: ignore[misc]
    assert user("wait", "cut").strip() == user("wait", "whole").strip() == "0"
    assert user.row("cut")["attempt"] == 4 and user.row("whole")["attempt"] == 1
    log = user("logs", "cut")
    assert log.count("interrupted: saved") == 3 and log.count(", from step 0\n") == 1
    assert user.loss("cut") == user.loss("whole")
