"""python -m bareboat.entry.attempt: the process beside one attempt of a queued run, from its start to its end.

Its task is a file on descriptor 0. Descriptor 3 is the lock of the run's folder and those behind it are the lease: they
are this process's alone once the worker lets go of its own, and so free however it dies. How it ended is durable before
they are. It never opens the ledger.
"""

from __future__ import annotations

import os
import sys

from bareboat.entry.log import Log
from bareboat.errors import BareboatError
from bareboat.lease.values import Holding
from bareboat.queue.base import Entry
from bareboat.supervisor.keeper import Keeper
from bareboat.training.values import Ending, Point
from bareboat.values import TYPE_CHECKING, dataclass, replace
from bareboat.verbs import containers
from bareboat.verbs.attempts import write_ending
from bareboat.verbs.containers import Container
from bareboat.verbs.foreground import facts_of
from bareboat.verbs.submission import Template, record_of

if TYPE_CHECKING:
    from bareboat.lease.base import Lease
    from bareboat.verbs.attempt import Task
    from bareboat.verbs.collaborators import Work
    from bareboat.verbs.execute import Prepared

OWN = 3  # the run's lock; the lease's descriptors follow


@dataclass(frozen=True)
class Given:
    """What the worker hands over."""

    entry: Entry
    point: Point
    template: Template
    holding: Holding | None = None
    granted: str = ""  # GPUs that another scheduler has leased, as --gpus has them


def main() -> int:
    """The program's exit code, or 125."""
    if "tied" in sys.argv[2:]:
        _die_with_parent()
    given = _given()
    from bareboat.wiring import leases, work

    at_work = work(Log(), engine=given.template.kept.record.engine or None)
    run, store = given.entry.run, at_work.store
    store.runs.inherit(run, OWN)
    lease: Lease | None = None
    if given.holding is not None:
        lease = leases(at_work.settings).adopt(given.holding, _behind(OWN))
    code = 125
    try:
        code = _made_and_kept(given, at_work, lease)
    except OSError as error:
        Log().say(f"{error}")
    return code


def _made_and_kept(given: Given, work: Work, lease: Lease | None) -> int:
    """From the start to the end, which is durable before lease and run are free; the exit code."""
    from bareboat.verbs.attempt import failed_start, ready, rules_of

    store, run = work.store, given.entry.run
    folder = store.runs.path(run)
    keeper, code = None, 125
    try:
        try:
            prepared = ready(_task(given, work), work)
        except BareboatError as error:
            Log().say(f"{error.code}: {error.what} {error.where}")
            ending = failed_start(error)
        else:
            keeper = Keeper(os.fspath(folder), facts_of(prepared.workload, work), rules_of(given.template.training))
            keeper.attempt = given.entry.attempt
            keeper.leaving = lambda: _leaving(lease)
            _list(given, work)
            ending = _carried_out(given, work, keeper, prepared)
        code = 125 if ending.code is None else ending.code
        write_ending(folder, given.entry.attempt, ending)
    finally:
        if lease is not None:
            lease.release()
        containers.forget(store, run)
        store.runs.release(run)
        if keeper is not None:
            keeper.over(code)
    return code


def _leaving(lease: Lease | None) -> None:
    """Tell the others that what this run has will be free soon, so that nobody is asked for more."""
    if lease is not None:
        try:
            lease.update(replace(lease.holding, ending=True))
        except BareboatError as error:
            Log().say(f"{error.code}: {error.what}")


def _die_with_parent() -> None:
    """End when who started this one does, however it dies: on a cluster nothing else would end it."""
    import signal

    from bareboat.host import kernel

    parent = os.getppid()
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent or parent == 1:
        os._exit(125)


def _list(given: Given, work: Work) -> None:
    """Among the containers while it runs, for ps, exec, logs and top; of an attempt nothing is left when it ends."""
    record = record_of(given.template, given.point, given.entry)
    containers.write(work.store, Container(
        record.id, record.name, record.created, record.argv, project=record.project, engine=work.engine.name,
        labels=record.labels, remove=True, boot=given.entry.boot))


def _carried_out(given: Given, work: Work, keeper: Keeper, prepared: Prepared) -> Ending:
    from bareboat.verbs.attempt import carry_out, failed_start

    try:
        if given.entry.scheduler == "slurm":
            from bareboat.verbs.nearby import brought
            from bareboat.verbs.pyxis import with_pyxis

            work = with_pyxis(given.template.training, work.store.queue / "submissions" / given.entry.submission,
                              work.store.runs.path(given.entry.run), work)
            prepared = replace(prepared, record=replace(prepared.record, engine=work.engine.name))
            with brought(prepared.workload, work) as load:
                record, ending = carry_out(replace(prepared, workload=load), given.template.training, work, keeper)
        else:
            record, ending = carry_out(prepared, given.template.training, work, keeper)
    except BareboatError as error:
        Log().say(f"{error.code}: {error.what} {error.where}")
        return failed_start(error)
    Log().say(f"attempt {given.entry.attempt}: {record.state}, exit {record.exit_code} {record.reason}")
    return ending


def _task(given: Given, work: Work) -> Task:
    from bareboat.verbs.attempt import Task
    from bareboat.verbs.submission import restored

    template = restored(given.template, work.store.queue, given.entry.submission)
    kept = replace(template.kept, record=record_of(template, given.point))
    units = given.holding.units if given.holding is not None else ()
    return Task(kept, template.training, given.point, given.entry.attempt, units, given.granted)


def _behind(first: int) -> tuple[int, ...]:
    """Descriptors that were handed over behind this one; they go to no program that is started from here."""
    found: list[int] = []
    number = first + 1
    while True:
        try:
            os.set_inheritable(number, False)
        except OSError:
            return tuple(found)
        found.append(number)
        number += 1


def forked() -> None:
    """The same in a process that was forked from one that had imported all of this; never returns."""
    code = 125
    try:
        code = main()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _given() -> Given:
    import json

    from bareboat.record.codec import decode

    with open(0, "rb", closefd=False) as file:
        document = json.loads(file.read().decode("utf-8", "surrogatepass"))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.chdir("/")
    return decode(Given, document, "attempt")


if __name__ == "__main__":
    sys.exit(main())
