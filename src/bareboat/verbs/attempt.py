"""One attempt of an unattended run: what it is started with, and how it ended. The same on every scheduler's node.

    BAREBOAT_RUN          the run's id, the same for all of its attempts
    BAREBOAT_ATTEMPT      1, 2, …
    BAREBOAT_FENCE        RUN.ATTEMPT: larger in every attempt, for whatever outside takes writes from the newest only
    BAREBOAT_CHECKPOINTS  a folder of the run's own that its attempts share, below its results where it has any
    BAREBOAT_RESUME       the newest complete checkpoint in there, "" where there is none
    BAREBOAT_DEADLINE     when the attempt must have ended, in seconds since the epoch; not set where it need not
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from bareboat.errors import BareboatError, ProgramError, RecordError
from bareboat.record.secrets import withhold
from bareboat.record.states import again
from bareboat.record.values import RunRecord, timestamp
from bareboat.store import checkpoints
from bareboat.store.disk_errors import disk_error
from bareboat.supervisor.keeper import IDLE, TIME, Keeper
from bareboat.supervisor.rules import Rules
from bareboat.training.checkpoints import newest
from bareboat.training.values import FOLDER, PREEMPTED, Ending, Point, Training
from bareboat.values import dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.execute import Prepared, execute
from bareboat.verbs.launch import Kept
from bareboat.workload import Mount, Workload

PASSING = ("store.full", "store.quota", "store.descriptors", "io.full", "gpu.gone")
ROOM = 1 << 20  # bytes; a file system keeps some of its own
RESULTS = "/results"
WITHOUT_RESULTS = "/run/bareboat"  # where the checkpoint folder is inside of a run that has no results folder


@dataclass(frozen=True)
class Task:
    """An attempt that is to be made. kept: of the submission, its record with the run's own id, name and argv; number:
    which attempt; units: the GPUs leased for it, as lease.values.Holding.units; granted: the same from a scheduler that
    leases by itself, as --gpus has it.
    """

    kept: Kept
    training: Training
    point: Point
    number: int
    units: tuple[tuple[str, int], ...] = ()
    granted: str = ""


def rules_of(training: Training) -> Rules:
    """What the process beside an attempt keeps to."""
    ends = training.interrupt
    return Rules(stop_seconds=ends.kill, max_time=training.need.seconds, warning=ends.warning, grace=ends.grace)


def ready(task: Task, work: Work) -> Prepared:
    """All that is needed to start it. Code and environment are those that were submitted; results and checkpoints are
    the run's own.

    Raises RecordError "run.results-folder", "checkpoints.folder", "record.code-gone", EngineError "gpu.*", StoreError.
    """
    kept, point = task.kept, task.point
    record = _record(task, work)
    mounts, code_keys = _with_code(kept, work)
    load = replace(kept.workload, argv=record.argv, mounts=mounts)
    results = Path(point.results) if point.results else None
    own = {"RUN": record.id, "ATTEMPT": str(task.number), "FENCE": f"{record.id}.{task.number}"}
    if task.training.need.seconds:
        own["DEADLINE"] = f"{time.time() + task.training.need.seconds:.0f}"
    if results is not None:
        folder = _made(results)
        targets = [m.target for m in load.mounts if m.source == kept.results]
        mounts = tuple(replace(m, source=results) if m.source == kept.results else m for m in load.mounts)
        inside = f"{RESULTS if RESULTS in targets or not targets else targets[0]}/{FOLDER}"
    else:
        folder, inside = checkpoints.prepared(work.store.runs.path(record.id)), f"{WITHOUT_RESULTS}/{FOLDER}"
        mounts = (*load.mounts, Mount(folder, inside))
    load = replace(load, mounts=mounts)
    last = checkpoints.resume_from(folder, task.training.checkpoints.complete)
    if task.number > 1:
        work.tell.say(f"goes on from {last}" if last else "there is no complete checkpoint: it begins anew")
    own["CHECKPOINTS"], own["RESUME"] = inside, f"{inside}/{last}" if last else ""
    env = {**dict(load.env), **{f"BAREBOAT_{name}": value for name, value in own.items()}, **dict(point.env)}
    load = _with_gpus(replace(load, env=tuple(sorted(env.items()))), task, work)
    record = replace(record, env=_recorded(record, point, own), gpus=load.driver.granted or record.gpus, resumed=last)
    return replace(kept.prepared(), workload=load, record=record, results=results, keys=(*kept.keys, *code_keys),
                   shared=True)


def carry_out(prepared: Prepared, training: Training, work: Work, keeper: Keeper) -> tuple[RunRecord, Ending]:
    """Run it to its end. Old checkpoints are removed as the training has it. Raises what makes a start impossible."""
    rules, run = training.checkpoints, prepared.record.id
    folder = checkpoints.place(os.fspath(prepared.results or ""), work.store.runs.path(run))
    before = newest(checkpoints.found(folder, rules.complete))
    record = execute(prepared, work, keeper)
    after = newest(checkpoints.found(folder, rules.complete))
    for name in checkpoints.prune(folder, rules.keep, rules.complete):
        work.tell.say(f"removed the checkpoint {name}: the newest {rules.keep} are kept")
    ending = ending_of(record, keeper.ending)
    full = full_disk(folder, work.store.home) if ending.cause == "exit" and ending.code else ""
    if full:  # its program may have said so in its own way, or not at all
        ending = replace(ending, reason=f"exit {ending.code}; the disk is full: {full}")
    return record, replace(ending, progressed=after is not None and after != before)


def full_disk(*places: Path) -> str:
    """The first of them on whose disk there is no room for this user any more; "" where there is none."""
    for place in places:
        try:
            about = os.statvfs(place)
        except OSError:
            continue
        if about.f_bavail * about.f_frsize < ROOM or (about.f_files and not about.f_favail):
            return os.fspath(place)
    return ""


def ending_of(record: RunRecord, asked: str) -> Ending:
    """How an attempt ended. asked: why somebody wanted its end, "" where nobody did: an exit code is no success then,
    since a program that is interrupted and has saved its state ends with 0 as well.
    """
    causes = {PREEMPTED: "preempted", TIME: "limit", IDLE: "stopped", "reboot": "reboot"}
    if asked:
        return Ending(causes.get(asked, "stopped"), record.exit_code, asked)
    if record.reason == "out of memory":
        return Ending("memory", record.exit_code, record.reason)
    return Ending("exit", record.exit_code, record.reason)


def failed_start(error: BareboatError) -> Ending:
    """How an attempt ended that never began. What is not its fault is no failure: it is tried again, elsewhere or when
    there may be room.
    """
    if error.code in PASSING:
        return Ending("lost", None, f"{error.code}: {error.what}")
    code = error.exit_code if isinstance(error, ProgramError) else 125
    return Ending("start", code, f"{error.code}: {f'{error.where}: ' if error.where else ''}{error.what}")


def _record(task: Task, work: Work) -> RunRecord:
    """Pending, with the attempts before it."""
    from bareboat.verbs.runs import load

    fresh = task.kept.record
    if task.number > 1:
        try:
            before = load(work.store, fresh.id)
        except BareboatError:
            before = fresh  # no attempt came as far as a record
        if before.state != "pending":
            before = again(before, at=timestamp(time.time()))
        fresh = before.with_(argv=fresh.argv, name=fresh.name)
    return replace(fresh, attempt=task.number)


def _recorded(record: RunRecord, point: Point, own: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The variables as a repetition is to have them: it begins from nothing, whatever this attempt goes on from."""
    kept = {"BAREBOAT_ATTEMPT": "1", "BAREBOAT_RESUME": ""}
    if "CHECKPOINTS" in own:
        kept["BAREBOAT_CHECKPOINTS"] = own["CHECKPOINTS"]
    env, _ = withhold(point.env)
    return tuple(sorted({**dict(record.env), **kept, **dict(env)}.items()))


def _made(results: Path) -> Path:
    """The checkpoint folder in the run's results, both made."""
    try:
        os.makedirs(results, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_error(error, os.fspath(results)) from None
        raise RecordError("run.results-folder", f"the results folder cannot be made: {error.strerror}",
                          where=os.fspath(results), hint="make room or put the folder back, then: bareboat resume"
                          ) from None
    return checkpoints.prepared(results)


def _with_code(kept: Kept, work: Work) -> tuple[tuple[Mount, ...], tuple[str, ...]]:
    """The mounts, the code among them from its snapshot, and the key of its tree: what the folder has become since is
    not looked at.
    """
    record, load = kept.record, kept.workload
    if record.code is None:
        return load.mounts, ()
    from bareboat.store.codetree import materialise
    from bareboat.verbs.mounting import points_in

    within = {mount.target: mount.within for mount in record.mounts
              if mount.kind == "code" and (mount.within or mount.source == record.root)}  # -v from elsewhere is in none
    made = (*(memory.target for memory in load.tmpfs), *(target for target, _ in kept.anonymous))
    tree = materialise(work.store, record.code, points_in(within, load.mounts, made))
    found = []
    for mount in load.mounts:
        if mount.target in within:
            source = tree / within[mount.target] if within[mount.target] else tree
            if not source.exists():
                raise RecordError("record.code-gone", f"the snapshot of the code has no {within[mount.target]}",
                                  where=f"run {record.id}", hint="it was empty or ignored when the run was sent")
            mount = replace(mount, source=source, read_only=True)
        found.append(mount)
    return tuple(found), (tree.parent.name,)


def _with_gpus(load: Workload, task: Task, work: Work) -> Workload:
    if task.units:
        from bareboat.verbs.grant import granted_to

        return granted_to(load, task.units, work)
    if task.granted:
        from bareboat.verbs.grant import granted_by_others

        return granted_by_others(load, task.granted, work)
    return load
