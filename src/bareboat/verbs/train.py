"""train: what was tried is sent to be carried out unattended: lock, image and code are fixed when it is sent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bareboat.errors import BareboatError, EngineError, UsageError
from bareboat.project.gpus import GpuRequest
from bareboat.queue.base import Added, Entry
from bareboat.queue.policy_values import Machine
from bareboat.training.values import Point, Training
from bareboat.values import TYPE_CHECKING, dataclass, replace
from bareboat.verbs import containers
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment
from bareboat.verbs.execute import Prepared
from bareboat.verbs.launch import Kept
from bareboat.verbs.machine import machine_of
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.submission import (
    Queue,
    Template,
    apart,
    enter,
    keep,
    let_go,
    packed,
    pinned,
    placed,
    submission_of,
    unpacked,
    whole,
)

if TYPE_CHECKING:
    from bareboat.engine.scheduler import Submission
    from bareboat.project.values import Project

ROOM = 32 << 20  # bytes without which a run is not worth a start
Spread = Callable[[Point], tuple[Point, ...]]  # a run to the points of a sweep; ids and folders are given later


@dataclass(frozen=True)
class TrainRequest:
    """What was asked of `train`. run: as for `run`, without its GPUs, which gpus says (None: as the project has it; a
    share below 1 of one as "0.5"); spread: the points of a sweep, None for a single run; again: the sweep whose failed
    points they are.
    """

    run: RunRequest
    training: Training = Training()
    gpus: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    spread: Spread | None = None
    again: str = ""


@dataclass(frozen=True)
class Sent:
    """What was sent. total: how many runs; entries: the first of them."""

    id: str
    name: str
    training: Training
    entries: tuple[Entry, ...]
    total: int = 1


def train(request: TrainRequest, work: Work, queue: Queue) -> Sent:
    """Lock, assemble, fix the code, and queue. Nothing of the project is looked at later.

    Raises what run does before its start; UsageError "train.*", "container.name-taken"; EngineError "gpu.*" and
    "train.*" for what cannot be had here; QueueError.
    """
    template, points, values = apart(*prepared(request, work, queue))
    id = os.urandom(6).hex()
    training = template.training
    for name in sorted(_withheld_before(request.again, queue) - set(template.withheld)):
        work.tell.say(f"{name} was given to the runs before, is in no record, and is not given now: -e {name}")
    name = request.run.name
    added = Added(id, packed(template), points, training.scheduler, training.priority, time.time(), name)
    keep(work.store, added, template)
    try:
        enter(added, values, queue)
    except BareboatError:
        pinned(work.store, id)
        with suppress(BareboatError):  # the first failure is the one to tell; gc takes what is left
            let_go(queue.folder, queue.ledger, [id])
        raise
    if training.scheduler == "local":
        queue.wake()
    else:
        try:
            hand_over(submission_of(id, template, points, name, queue.folder), queue)
        except BareboatError as error:
            if not error.code.endswith(".unreachable"):
                pinned(work.store, id)
                with suppress(BareboatError):
                    let_go(queue.folder, queue.ledger, [id])
            raise
    return Sent(id, name, training, tuple(queue.ledger.entries(submission=id, most=20)), len(points))


def _withheld_before(sweep: str, queue: Queue) -> set[str]:
    from bareboat.record.causes import HERE

    if not sweep:
        return set()
    template = queue.ledger.template(queue.ledger.called(sweep))
    return set(unpacked(template, sweep).withheld) - HERE


def explain(request: TrainRequest, work: Work, queue: Queue) -> str:
    """What would be sent, to the letter; sends nothing."""
    template, points, values = apart(*prepared(request, work, queue))
    template = whole(template, values, "dry-run")
    scheduler = queue.scheduler(template.training.scheduler)
    return scheduler.explain(submission_of("dry-run", template, points, request.run.name, queue.folder))


def hand_over(what: Submission, queue: Queue) -> None:
    """Give runs that are in the ledger to their scheduler; what it refuses is off the ledger again. Raises EngineError.
    """
    runs = [point.run for point in what.points]
    try:
        jobs = queue.scheduler(what.training.scheduler).submit(what)
    except BareboatError as error:
        if not error.code.endswith(".unreachable"):
            for run in runs:
                queue.ledger.move(run, ("pending", 0), state="failed", reason=f"{error.code}: {error.what}",
                                  ended=time.time())
            queue.ledger.forget(runs)
        raise
    queue.ledger.jobs(zip(runs, jobs, strict=True))


def prepared(request: TrainRequest, work: Work, queue: Queue) -> tuple[Template, tuple[Point, ...]]:
    """All that is fixed when it is sent."""
    from bareboat.store.snapshots import snapshot
    from bareboat.verbs.run import after, prepare_run

    asked = request.run
    if asked.name:
        _check_name(asked.name, work, queue)
    training = replace(request.training, after=_awaited(request.training, work, queue))
    wanted = _gpus(request, work)
    bare = replace(asked, tty=False, interactive=False, resources=replace(asked.resources, gpus="none"))
    made, environment = prepare_run(bare, work)
    after(environment, work)
    local = training.scheduler == "local"
    machine = machine_of(work) if local else Machine()
    gpus = _here(wanted, environment, made, machine, work) if local else _afar(wanted)
    need = replace(training.need, gpus=gpus, cpus=made.workload.limits.cpus or 0.0,
                   memory=made.workload.limits.memory or 0)
    if work.settings.limited:
        from bareboat.verbs.allowed import time_within

        need = replace(need, seconds=time_within(need.seconds or None, work.settings) or 0.0)
    training = replace(training, need=need)
    if local:
        _feasible(training, made, machine, work)
        queue.leases.holdings()  # where nothing can be leased nothing could be started either
    record = made.record
    if made.code is not None:
        folder, rules = made.code
        taken = snapshot(work.store, folder, rules)
        for warning in taken.warnings:
            work.tell.say(warning)
        record = replace(record, code=taken.snapshot)
    record = replace(record, labels=request.labels, log="")
    for target, source in made.data:
        if not source.exists():
            raise UsageError("train.data", f"the data for {target} are missing", where=os.fspath(source))
    single = Point("", asked.name, 0, record.argv)
    points = request.spread(single) if request.spread else (single,)
    if not points:
        raise UsageError("train.empty", "there is no run to be sent: the sweep has no points")
    kept = replace(Kept.of(replace(made, record=record)), code=None)
    return Template(kept, training, str(wanted)), placed(points, made.results, asked.name if request.spread else "")


def _afar(wanted: GpuRequest) -> float:
    """The same for a cluster, which knows best what it has. Raises UsageError "train.gpus"."""
    if wanted.all:
        raise UsageError("train.gpus", "which GPUs are all of a cluster's is not known here", where="--gpus",
                         hint="say how many each node shall give: --gpus 4")
    return wanted.share or float(wanted.count)


def _check_name(name: str, work: Work, queue: Queue) -> None:
    from bareboat.queue.sqlite import name_taken
    from bareboat.record.states import final

    containers.check_name(name)
    for run, live in containers.known(work.store):
        other = containers.read(work.store, run, live)
        if other is not None and other.name == name:
            raise UsageError("container.name-taken", f"the name {name!r} is a container's already ({run[:12]})",
                             hint=f"choose another, or: bareboat rm {name}")
    try:
        if not final(queue.ledger.find(name).state):
            raise name_taken(name)
    except BareboatError as error:
        if error.code not in ("queue.unknown", "queue.ambiguous"):
            raise


def _awaited(training: Training, work: Work, queue: Queue) -> tuple[str, ...]:
    """The runs that must succeed first. A cluster has no order between Jobs: what has succeeded needs none, and what
    has not is refused before anything is pushed. Raises UsageError "train.after".
    """
    if not training.after or training.scheduler != "kubernetes":
        return tuple(_before(word, work, queue) for word in training.after)
    from bareboat.verbs.polling import refresh

    refresh(queue)
    for word in training.after:
        entry = queue.ledger.find(_before(word, work, queue))
        if entry.state != "succeeded":
            raise UsageError("train.after", f"{word} is {entry.state}, and a cluster has no order between Jobs",
                             where="--after",
                             hint=f'wait for it: test "$(bareboat wait {word})" = 0 && bareboat train …')
    return ()


def _before(word: str, work: Work, queue: Queue) -> str:
    """The id of a run that must succeed first. Raises UsageError "train.after"."""
    try:
        entry = queue.ledger.find(word)
    except BareboatError as error:
        raise UsageError("train.after", f"{word!r} names no queued run: {error.what}", where="--after",
                         hint="bareboat queue --all lists them") from None
    if entry.state in ("failed", "cancelled"):
        raise UsageError("train.after", f"{entry.name or entry.run} {entry.state} already: nothing would follow",
                         where="--after", hint=f"bareboat resume {entry.name or entry.run}, or leave it out")
    return entry.run


def project_of(run: RunRequest, work: Work | None = None) -> Project | None:
    """The project of a run, None for one of an image. work: to look into code that is fetched. Raises ProjectError."""
    from bareboat.project import find_root, load

    if run.code:
        if work is None:
            return None
        from bareboat.verbs.code import with_code

        run, _ = with_code(run, work)
    alone = run.project_run or not run.words
    try:
        project = load(run.project or find_root(Path.cwd()))
    except (BareboatError, OSError):
        if alone:
            raise
        return None
    return project if alone or run.words[0] in dict(project.commands) else None


def _gpus(request: TrainRequest, work: Work) -> GpuRequest:
    """What is asked for, by the command line or else the project."""
    from bareboat.project.gpus import parse_gpus, requested

    found = (parse_gpus(request.gpus) if request.gpus is not None else
             requested(None, project_of(request.run, work)))
    if found.names:
        raise UsageError("train.gpus", "the queue chooses which GPUs a run gets",
                         where="--gpus", hint=f"say how many: --gpus {len(found.names)}")
    return found


def _here(wanted: GpuRequest, environment: Environment, made: Prepared, machine: Machine, work: Work) -> float:
    """How many GPUs, or which share of one, a run of this machine's queue takes. Raises EngineError "gpu.*",
    "train.infeasible" for what this machine never has.
    """
    if not wanted.wanted:
        return 0.0
    from bareboat.verbs.grant import feasible

    there = len(machine.units)
    asked = float(there) if wanted.all else wanted.share or float(wanted.count)
    if not there:
        if wanted.optional:
            work.tell.say("this machine has no GPU: the run goes without one")
            return 0.0
        raise EngineError("gpu.none", "a GPU is asked for, and this machine has none", where="--gpus",
                          hint="bareboat gpus says why; leave it out, or send it to a cluster: --engine slurm")
    if asked > there:
        raise EngineError("train.infeasible", f"{asked:g} GPUs are asked for, and this machine has {there}: it would "
                          "wait for ever", where="--gpus", hint=f"ask for at most {there}")
    for note in feasible(environment, dict(made.workload.env), work):
        work.tell.say(note)
    return asked


def _feasible(training: Training, made: Prepared, machine: Machine, work: Work) -> None:
    """Refuse now what could never start here. Raises EngineError "train.infeasible", "train.disk"."""
    need = training.need
    for place in {made.results or work.store.home, work.store.home}:
        free = os.statvfs(place)
        if free.f_bavail * free.f_frsize < ROOM:
            raise EngineError("train.disk", "there is hardly any room left, and the run would fail for it",
                              where=os.fspath(place), hint="free some space there, for one with: bareboat gc")
    if need.cpus > machine.cpus:
        raise EngineError("train.infeasible", f"{need.cpus:g} CPUs are asked for, and this machine has "
                          f"{machine.cpus:g}: it would wait for ever", where="--cpus",
                          hint=f"ask for at most {machine.cpus:g}")
    most = machine.memory
    if most and need.memory > most:
        from bareboat.units import format_size

        raise EngineError("train.infeasible", f"{format_size(need.memory)} of memory are asked for, and this machine "
                          f"has {format_size(most)}: it would wait for ever", where="--memory",
                          hint=f"ask for at most {format_size(most)}")
