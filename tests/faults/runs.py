"""Queued runs while workers, the processes of attempts, what forks them, and programs are killed at random.

A program holds a lock of its run's while it lives, so that a second attempt at the same time is seen; and it writes
down that it came to its end. The control has one lock for all, as if they were attempts of one run: it is seen at once.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.kit import Figures

SCRIPT = """
exec 9> "/witness/%s"; flock -n 9 || echo >> /witness/$BAREBOAT_FENCE.overlaps
sleep %.3f 9>&-
echo >> /witness/$BAREBOAT_RUN.ends
"""
AT_ONCE = 40
KINDS = (("workers", b"entry.worker"), ("forkers", b"entry.forker"), ("attempts", b"entry.attempt"),
         ("attempts", b"entry.attempt"), ("programs", b"exec 9>"))


def runs(count: int, seed: int = 1, *, witness_of: str = "$BAREBOAT_RUN") -> Figures:
    """count: runs, of which as many are under way as the machine has room for."""
    from tests.queue_kit import Yard

    from bareboat.queue import door
    from bareboat.record.states import final
    from bareboat.training.values import Need, Retry, Training

    figures, dice = Figures(15, "runs among kills"), random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        witness = base / "witness"
        witness.mkdir()
        yard = Yard(base, mounts=(witness,))
        ids: list[str] = []
        end = time.monotonic() + 60 + count * 3.0
        try:
            while time.monotonic() < end:
                waiting = yard.ledger.counts()
                live = sum(n for state, n in waiting.items() if not final(state))
                if not live and len(ids) >= count:
                    break
                if live < AT_ONCE and len(ids) < count:
                    more = min(count - len(ids), AT_ONCE)
                    scripts = [SCRIPT % (witness_of, dice.uniform(0.0, 0.1)) for _ in range(more)]
                    ids += yard.submit(*scripts, training=Training(Need(cpus=0.25), retry=Retry(retries=20)))
                if not (door.is_held(yard.store.queue) and door.ring(yard.store.queue)):
                    yard.wake()
                time.sleep(dice.uniform(0.0, 0.15))
                if live:
                    _kill(yard, dice, figures)
        finally:
            entries = [yard.entry(run) for run in ids]
            yard.close()
        ends = Counter(path.name.removesuffix(".ends") for path in witness.glob("*.ends"))
        overlaps = [path.name for path in witness.glob("*.overlaps")]
        written = (yard.store.queue / "worker.log").read_text(errors="replace")
    commits = Counter(line.split()[1] for line in written.splitlines() if line.endswith(": succeeded"))
    unfinished = [f"{e.run} is {e.state}: {e.reason}" for e in entries if e.state != "succeeded"]
    silent = [f"{e.run} succeeded, and its program never came to its end" for e in entries
              if e.state == "succeeded" and not ends[e.run]]
    double = [f"{run} was written down {times} times" for run, times in commits.items() if times > 1]
    figures.bad += unfinished + silent + double + [f"two at a time: {name}" for name in overlaps]
    figures.add("runs", len(ids))
    figures.add("attempts", sum(e.attempt for e in entries))
    for what, found in (("lost", unfinished + silent), ("overlapping", overlaps), ("committed twice", double)):
        figures.add(what, len(found))
    return figures


def _kill(yard: object, dice: random.Random, figures: Figures) -> None:
    """One process of those that carry the queue out: found by the home in their environment, in a word of theirs."""
    kind, word = dice.choice(KINDS)
    home = b"BAREBOAT_HOME=" + os.fsencode(yard.home)  # type: ignore[attr-defined]
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes()
            program = b"exec 9>" in argv and b"/witness/" in argv and b"bwrap" not in argv
            if program if kind == "programs" else home in Path(f"/proc/{pid}/environ").read_bytes() and (
                    word in argv or (kind == "attempts" and b"entry.forker" in argv and _forked(pid))):
                found.append(int(pid))
        except OSError:
            continue
    if not found:
        return
    try:
        os.kill(dice.choice(found), signal.SIGKILL)
        figures.add(f"{kind} killed")
    except ProcessLookupError:
        pass


def _forked(pid: str) -> bool:
    """Whether it is an attempt that the forker forked: its parent is none of init's, or it has another."""
    status = Path(f"/proc/{pid}/status").read_text()
    parent = next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:"))
    return b"entry.forker" in Path(f"/proc/{parent}/cmdline").read_bytes()
