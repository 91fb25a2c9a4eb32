"""A disk that fills up under queued runs: log, record, ledger, what is withheld, a checkpoint. Nothing is lost for it,
and all goes on when there is room.
"""

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
from bareboat.errors import BareboatError
from bareboat.queue.base import Added
from bareboat.training.values import Point
from bareboat.verbs.submission import enter

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
before = [entry.run for entry in yard.ledger.entries()]
many = Added("a" * 12, b"x" * 100000, (Point("b" * 12, argv=("true",)),))
for what in (lambda: yard.submit("echo never"), lambda: yard.ledger.add(many),
             lambda: enter(many, {"API_KEY": "secret"}, yard.queue)):
    try:
        what()
        raise AssertionError("it was taken")
    except BareboatError as error:
        assert error.code in ("queue.full", "store.full") and error.where and error.hint, error.code
assert [entry.run for entry in yard.ledger.entries()] == before
assert list((yard.store.queue / "withheld").glob("[!.]*")) == []
(outside / "results" / run / "go").touch()
until(lambda: (outside / "results" / run / "through").exists())
until(lambda: not yard.store.runs.is_alive(run) or yard.entry(run).attempt > 1)
os.truncate(disk / "ballast", 0)
entry = yard.until(run, lambda entry: entry.state not in ("pending", "running"))
print(entry.state, entry.attempt >= 1, yard.ledger.check(), yard.store.runs.read(run)["state"])
yard.close()
"""


CHECKPOINT = """
import os, shutil, sys
from pathlib import Path
from tests.life_kit import until
from tests.queue_kit import Yard
from bareboat.training.values import Retry, Training
from bareboat.verbs import queued

disk, outside = Path(sys.argv[1]), Path(sys.argv[2])
yard = Yard(outside, results=disk)
run, = yard.submit('''
    c=$BAREBOAT_CHECKPOINTS; echo "from ${BAREBOAT_RESUME##*/}"
    save() { mkdir $c/.$1 && echo $1 > $c/.$1/state && : > $c/.$1/.complete && mv $c/.$1 $c/$1; }
    [ -n "$BAREBOAT_RESUME" ] || save step-1
    mkdir -p $c/step-2                       # in place, as it should not be done
    head -c $((1024 * $(cat /results/size))) /dev/zero > $c/step-2/state || exit 9
    mv $c/step-2 $c/.step-2 && : > $c/.step-2/.complete && mv $c/.step-2 $c/step-2
''', name="fills", training=Training(retry=Retry(retries=1)))
results = disk / "fills"
results.mkdir()
(results / "size").write_text("20000")
yard.wake()
entry = yard.over(run)
print(entry.state, entry.attempt, entry.reason)
assert (entry.state, entry.exit_code) == ("failed", 9)
assert entry.reason == f"exit 9; the disk is full: {results}/checkpoints", entry.reason
(results / "checkpoints/step-2/state").unlink()
(results / "size").write_text("100")
queued.resume("fills", yard.queue)
entry = yard.over(run)
assert (entry.state, entry.attempt) == ("succeeded", 3), entry
said = [line for line in yard.said(run).splitlines() if line.startswith("from")]
assert said == ["from ", "from step-1", "from step-1"], said
assert sorted(os.listdir(results / "checkpoints")) == ["step-1", "step-2"]
yard.close()
"""


def test_a_checkpoint_that_did_not_fit_is_none_and_the_end_says_why(tmp_path: Path) -> None:
    done = on_a_small_disk(CHECKPOINT, tmp_path)
    assert done.returncode == 0, (done.stdout, done.stderr)


def test_a_full_disk_loses_no_run(tmp_path: Path) -> None:
    done = on_a_small_disk(SCRIPT, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["succeeded", "True", "ok", "succeeded"]


def on_a_small_disk(script: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A script with a folder of 8 MB and one with room."""
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    root = Path(__file__).parents[2]
    (tmp_path / "disk").mkdir()
    env = {**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"}
    return subprocess.run(["unshare", "-Urm", "sh", "-c", MOUNT, "sh", str(tmp_path / "disk"), sys.executable, script,
                           str(tmp_path)], env=env, cwd=root, capture_output=True, text=True, timeout=90)
