"""A disk that fills up under a queued run: its log ends, its record cannot be written; nothing is lost for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MOUNT = 'mount -t tmpfs -o size=8m none "$1" && exec "$2" -c "$3" "$1" "$4"'
SCRIPT = """
import errno, os, sys, time
from pathlib import Path
from tests.life_kit import until
from tests.queue_kit import Yard
from bareboat.store.store import Store

disk, outside = Path(sys.argv[1]), Path(sys.argv[2])
yard = Yard(disk, results=outside / "results")
run, = yard.submit("echo up; while [ ! -e /results/go ]; do sleep 0.05; done; "
                   "i=0; while [ $i -lt 2000 ]; do echo line after line after line; i=$((i+1)); done; "
                   "echo x >> /results/through")
yard.wake()
yard.until(run, lambda _: "up" in yard.said(run))
ballast = open(disk / "ballast", "wb")
try:
    while ballast.write(bytes(4096)):
        ballast.flush()
except OSError as error:
    assert error.errno == errno.ENOSPC
(outside / "results" / run / "go").touch()
until(lambda: (outside / "results" / run / "through").exists())
attempt = yard.store.runs.path(run) / "attempt.log"
until(lambda: not yard.store.runs.is_alive(run) or yard.entry(run).attempt > 1)
os.truncate(disk / "ballast", 0)
entry = yard.until(run, lambda entry: entry.state not in ("pending", "running"))
print(entry.state, entry.attempt >= 1, yard.ledger.check(), yard.store.runs.read(run)["state"])
yard.close()
"""


def test_a_full_disk_loses_no_run(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    root = Path(__file__).parents[2]
    (tmp_path / "disk").mkdir()
    env = {**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"}
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", MOUNT, "sh", str(tmp_path / "disk"), sys.executable, SCRIPT,
                           str(tmp_path)], env=env, cwd=root, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["succeeded", "True", "ok", "succeeded"]
