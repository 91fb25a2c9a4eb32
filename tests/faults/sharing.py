"""Two ordinary users share two pretend GPUs: thousands of random submissions, real workers, attempts and sandboxes.

Each program takes a directory for each GPU that it sees, which nobody else may have at that moment; without leases that
fails at once, which is the control. Shares are compared over the time in which both users had runs waiting.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.kit import Figures

USERS = (2001, 2002)  # uids that nobody has
FAIR = 0.1  # how far from one half a user's share may be
SCRIPT = """
for n in 0 1; do
  [ -e /dev/nvidia$n ] || continue
  mkdir /witness/$n || mkdir "/witness/double-$BAREBOAT_FENCE"
  taken="$taken $n"
done
sleep %.3f
for n in $taken; do rmdir /witness/$n; done
"""
CDI = """
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
  - name: "0"
    containerEdits: {deviceNodes: [{path: /dev/nvidia0, hostPath: /dev/zero}]}
  - name: "1"
    containerEdits: {deviceNodes: [{path: /dev/nvidia1, hostPath: /dev/full}]}
"""


@dataclass(frozen=True)
class Span:
    """An attempt: when it began and ended, on how many GPUs."""

    started: float
    ended: float
    gpus: float


def sharing(count: int, seed: int = 1, *, leased: bool = True, spans: Path | None = None) -> Figures:
    """count: submissions of both users together. leased False: each user in a lease directory of an own, the control.
    spans: where to write what ran when, for a plot.
    """
    figures = Figures(17, "two users, two GPUs")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        base = Path(name)
        base.chmod(0o755)
        (base / "cdi").mkdir()
        (base / "cdi" / "nvidia.yaml").write_text(CDI)
        for shared in ("witness", "leases"):
            (base / shared).mkdir()
            (base / shared).chmod(0o1777)
        begin = base / "begin"
        children = [_user(base, uid, count // 2, seed, leased) for uid in USERS]
        for child in children:
            assert child.stdout is not None
            if child.stdout.readline() != b"ready\n":
                figures.bad.append("a user did not come to the point")
        begin.touch()
        told = [child.communicate()[0] for child in children]
        found = [json.loads(text.splitlines()[-1]) if child.returncode == 0 else None
                 for text, child in zip(told, children, strict=True)]
        double = [path.name for path in (base / "witness").glob("double-*")]
    if None in found:
        figures.bad.append("a user's process failed")
        return figures
    ran = [[Span(*row) for row in rows["spans"]] for rows in found]
    figures.counts = {"submissions": count, "double use": len(double), "lost": sum(r["lost"] for r in found)}
    figures.bad += [f"a GPU that somebody had: {fence}" for fence in double]
    figures.bad += [f"{r['lost']} runs did not succeed" for r in found if r["lost"]]
    until = min(max(span.started for span in rows) for rows in ran)
    uses = [sum(s.gpus * (min(s.ended, until) - s.started) for s in rows if s.started < until) for rows in ran]
    share = uses[0] / sum(uses)
    figures.counts["share of the first, per mille"] = round(share * 1000)
    if count >= 200 and abs(share - 0.5) > FAIR:
        figures.bad.append(f"the shares are {share:.3f} and {1 - share:.3f}")
    if spans is not None:
        spans.write_text(json.dumps([[[s.started, s.ended, s.gpus] for s in rows] for rows in ran]))
    return figures


def _user(base: Path, uid: int, count: int, seed: int, leased: bool) -> subprocess.Popen[bytes]:
    home = base / str(uid)
    home.mkdir()
    os.chown(home, uid, uid)
    leases = base / "leases" if leased else home / "leases"
    top = Path(__file__).parents[2]
    env = {"PATH": os.environ["PATH"], "HOME": os.fspath(home), "PYTHONPATH": f"{top}/src:{top}",
           "BAREBOAT_GPU_CDI": os.fspath(base / "cdi"), "BAREBOAT_LEASES_PATH": os.fspath(leases)}
    python = os.environ.get("BAREBOAT_TEST_PYTHON", sys.executable)
    argv = (python, "-m", "tests.faults.sharing", os.fspath(base), str(count), str(seed + uid))
    return subprocess.Popen(argv, env=env, cwd=top, user=uid, group=uid, extra_groups=[], stdout=subprocess.PIPE)


def _submit_all(base: Path, count: int, seed: int) -> None:
    """One user: random submissions, all of them waited for. The second one's programs take twice as long."""
    from tests.queue_kit import Yard

    from bareboat.record.states import final
    from bareboat.training.values import Need, Training

    dice = random.Random(seed)
    yard = Yard(base / str(os.getuid()), mounts=(base / "witness",))
    yard.leases = Path(os.environ["BAREBOAT_LEASES_PATH"])
    print("ready", flush=True)
    while not (base / "begin").exists():
        time.sleep(0.01)
    left, slow, gpus = count, 1 + os.getuid() % 2, {}
    while left:
        batch = min(left, dice.randint(1, 40))
        need = Need(gpus=2.0 if dice.random() < 0.1 else 1.0, seconds=dice.choice((0.0, 60.0)))
        scripts = [SCRIPT % (slow * dice.uniform(0.02, 0.1)) for _ in range(batch)]
        gpus.update(dict.fromkeys(yard.submit(*scripts, training=Training(need)), need.gpus))
        left -= batch
        yard.wake()
        time.sleep(dice.uniform(0.0, 0.2))
    end = time.monotonic() + 60.0 + count * 2.0
    while yard.ledger.entries(("pending", "running"), most=1) and time.monotonic() < end:
        time.sleep(0.2)
    entries = [yard.entry(run) for run in gpus]
    for entry in entries:
        if entry.state != "succeeded":
            print(entry.state, entry.reason, entry.exit_code, yard.said(entry.run)[-300:], file=sys.stderr)
    lost = sum(not final(entry.state) or entry.state != "succeeded" for entry in entries)
    rows = [[entry.started, entry.ended, gpus[entry.run]] for entry in entries if entry.ended]
    yard.close()
    print(json.dumps({"lost": lost, "spans": rows}))


if __name__ == "__main__":
    _submit_all(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
