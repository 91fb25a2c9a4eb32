"""One of the other nodes of an attempt: its program, beside that of the first, which has the run and its record."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.engine.base import Live, Streams
from bareboat.engine.slurm import notes
from bareboat.engine.slurm.allocation import Allocation, port_of, rendezvous
from bareboat.host.loop import Loop
from bareboat.store.runlog import ERR, OUT, Bounds, LogWriter
from bareboat.supervisor.keeper import TIME, Keeper
from bareboat.values import replace
from bareboat.verbs.attempt import Task as Attempt
from bareboat.verbs.attempt import ready, rules_of
from bareboat.verbs.collaborators import Work
from bareboat.verbs.foreground import facts_of
from bareboat.verbs.nearby import brought
from bareboat.verbs.nodes import Task, check
from bareboat.verbs.pyxis import with_pyxis
from bareboat.verbs.submission import record_of, restored

LOOK = 1.0  # seconds between two looks at what the first node has written down


def follow_chief(folder: Path, task: Task, place: Allocation, address: str, work: Work) -> int:
    """Run the attempt's program here as well; its exit code. Its log is in the run's folder, below node-RANK.

    It is told to end when the first node has written down that the attempt must end, or that it is over. Raises what
    makes a start impossible.
    """
    check(task, folder, work.store.home)
    number = (notes.read(folder, task.point.run) or notes.Note("")).attempt
    template = restored(task.template, work.store.queue, folder.name)
    kept = replace(template.kept, record=record_of(task.template, task.point))
    point = replace(task.point, env=(*rendezvous(place, address, port_of(place.job)), *task.point.env))
    training = replace(task.template.training, need=replace(task.template.training.need, seconds=0.0))  # by the first
    prepared = ready(Attempt(kept, training, point, number, granted=place.gpus), work)
    own = work.store.runs.path(task.point.run) / f"node-{place.rank}"
    own.mkdir(mode=0o700, exist_ok=True)
    log = LogWriter(own, Bounds(work.settings.log_size, work.settings.log_files))
    keeper = Keeper(os.fspath(own), facts_of(prepared.workload, work), rules_of(training))

    def look(loop: Loop) -> None:
        note = notes.read(folder, task.point.run)
        why = "" if note is None else note.cause if note.state == "running" and note.attempt == number else "stopped"
        if why and not keeper.ending:
            keeper.end(TIME if why == "limit" else why)
        loop.after(LOOK, lambda: look(loop))

    def live(loop: Loop, container: Live) -> None:
        keeper.started(loop, container)
        loop.after(LOOK, lambda: look(loop))

    streams = Streams(lambda chunk: log.write(chunk, OUT), lambda chunk: log.write(chunk, ERR), live=live)
    code, work = 125, with_pyxis(training, folder, own, work)
    try:
        with work.store.lease((*prepared.keys, *(tree.parent.name for tree in prepared.workload.root.trees))), \
                brought(prepared.workload, work) as load:
            code = work.engine.run(replace(load, run=task.point.run), streams).code
    finally:
        keeper.left()
        log.close()
        keeper.over(code)
    return code
