"""python -m bench --peers DIR: every figure, side by side with the peer, into docs/figures.md and docs/figures.svg."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.added import added
from bench.cold import cold
from bench.environments import BY_NAME
from bench.imports import imports
from bench.life import life
from bench.measure import Figure
from bench.memory import memory
from bench.metal import metal
from bench.notebook import notebook
from bench.peer import connect
from bench.place import Place
from bench.report import machine, plot, table
from bench.room import room
from bench.slurm import slurm
from bench.start import start
from bench.subject import REPOSITORY, install, remove
from bench.travel import pull, push
from bench.unattended import unattended

ALONE = ("queue", "slurm")  # figures without a peer


def main() -> int:
    """0 when every goal is met, 1 when one is missed."""
    options = _options()
    work = options.work or Path(tempfile.mkdtemp(prefix="bareboat-bench-", dir="/var/tmp"))
    work.mkdir(parents=True, exist_ok=True)
    environments = tuple(BY_NAME[name] for name in options.environments.split(","))
    docker = connect(options.peers.resolve(), work) if options.peers else None
    place = Place(work, install(work), docker)  # type: ignore[arg-type]  # the figures of ALONE do not ask for it
    if options.rounds:
        place = replace(place, rounds=options.rounds)
    if options.pairs:
        place = replace(place, pairs=options.pairs, starts=options.pairs)
    known: dict[str, Callable[[], Figure]] = {
        "start": lambda: start(place),
        "life": lambda: life(place),
        "metal": lambda: metal(place),
        "added": lambda: added(place, environments),
        "imports": lambda: imports(place, environments),
        "room": lambda: room(place),
        "memory": lambda: memory(place),
        "notebook": lambda: notebook(place),
        "queue": lambda: unattended(place),
        "slurm": lambda: slurm(place),
        "pull": lambda: pull(place),
        "push": lambda: push(place),
        "cold": lambda: cold(place, environments),  # last: it empties the caches that builds mount
    }
    wanted = options.only.split(",") if options.only else list(known)
    figures: list[Figure] = []
    failed = False
    try:
        for name in wanted:
            began = time.monotonic()
            try:
                figures.append(known[name]())
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:  # an hour's other figures stay
                figures.append(Figure(name, name, (), (f"Could not be taken: {error}",)))
                failed = True
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            (work / "figures.md").write_text(table(figures, machine(place)))
        text = table(figures, machine(place))
        print(text)
        if not options.only or options.out:
            out = options.out or REPOSITORY / "docs"
            (out / "figures.md").write_text(text)
            (out / "figures.svg").write_text(plot(figures))
    finally:
        if docker is not None:
            docker.forget_everything("bench-base-uv", "bench-base-pip", "bench-base", "bench-small-uv",
                                     "bench-small-pip", "bench-real-uv", "bench-real-pip", "bench-warmer")
        if not options.work:
            remove(work)
    return 0 if not failed and all(g.met for f in figures for r in f.rows for g in r.goals) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--peers", type=Path,
                        help="the folder of a running Docker: DIR/docker.sock, DIR/root/usr/bin/docker; not for --only "
                        + ",".join(ALONE))
    parser.add_argument("--only", default="", help="figures, with commas: start, metal, added, imports, room, memory, "
                        "notebook, queue, slurm, pull, push, cold; then nothing is written to docs/ unless --out says "
                        "where")
    parser.add_argument("--environments", default="small,real", help="small, real (about 1 GB of downloads a round)")
    parser.add_argument("--rounds", type=int, help="rounds of the long figures; 5 unless told, 12 at most")
    parser.add_argument("--pairs", type=int, help="pairs of the short figures; 21 and 31 unless told")
    parser.add_argument("--work", type=Path, help="keep and reuse this folder for stores; else a new one, removed "
                        "at the end; needs 30 GB")
    parser.add_argument("--out", type=Path, help="where figures.md and figures.svg go")
    options = parser.parse_args()
    if options.peers is None and (not options.only or set(options.only.split(",")) - set(ALONE)):
        parser.error("--peers is needed")
    return options


if __name__ == "__main__":
    sys.exit(main())
