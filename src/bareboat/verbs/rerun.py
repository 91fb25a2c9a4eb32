"""rerun: repeat a run from its record, into a fresh folder, and say whether it gave the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bareboat import __version__
from bareboat.builder.stacking import lowers
from bareboat.errors import RecordError
from bareboat.host import kernel
from bareboat.host.files import processors
from bareboat.image.plan import Plan
from bareboat.record.causes import HERE
from bareboat.record.secrets import withhold
from bareboat.record.states import final
from bareboat.record.tolerance import Tolerance
from bareboat.record.values import SESSION, RunRecord, run_id, timestamp
from bareboat.record.verdict import Verdict, compare
from bareboat.training.values import FOLDER
from bareboat.verbs import rerun_gpus, rerun_mounts
from bareboat.verbs.collaborators import Work
from bareboat.verbs.diff import reader
from bareboat.verbs.environment import Environment
from bareboat.verbs.execute import Prepared
from bareboat.verbs.rerun_data import check_data
from bareboat.verbs.rerun_mounts import foreign
from bareboat.verbs.rerun_output import output
from bareboat.verbs.runs import find
from bareboat.verbs.show import plan_of
from bareboat.workload import Limits, Mount, Rootfs, Workload


@dataclass(frozen=True)
class RerunRequest:
    """What was asked. run: id, name, "last", or a file, layout or reference that holds one. into: the folder whose
    results/ takes the results; None: a new one below the current folder. data: a folder in place of the recorded data.
    volumes: target inside → folder of this machine, for what a record from elsewhere had of its machine; other_data:
    go on though the data are not the run's. network: "" as recorded, but none for a record from elsewhere. gpus: as
    --gpus has it; None: as many as recorded, and again none for one from elsewhere. env:
    variables of the caller's, for those that were withheld; None: this process's for a record of this machine, else
    none: a stranger's record would name whatever it likes. quiet: the program's output goes into the log alone.
    harmless: what a stranger's program says goes through this on its way to a terminal.
    """

    run: str
    into: Path | None = None
    data: Path | None = None
    volumes: tuple[tuple[str, Path], ...] = ()
    other_data: bool = False
    network: str = ""
    gpus: str | None = None
    env: Mapping[str, str] | None = None
    quiet: bool = False
    harmless: Callable[[Iterable[bytes]], Iterable[bytes]] | None = None
    tolerance: Tolerance = Tolerance()  # noqa: RUF009 - a frozen value


@dataclass(frozen=True)
class Steps:
    """What a repetition is carried out with: an image from a plan, and a prepared run to its end."""

    assemble: Callable[[Plan, Work], Environment]
    execute: Callable[[Prepared, Work], RunRecord]
    inherited: Callable[
        ..., tuple[Mapping[str, str], tuple[Mount, ...]]
    ]  # the host's proxies and certificates


@dataclass(frozen=True)
class Repetition:
    """A repeated run and the verdict. folder: where its results are."""

    old: RunRecord
    new: RunRecord
    verdict: Verdict
    folder: Path


def steps() -> Steps:
    """The real ones."""
    from bareboat.host.env import inherited
    from bareboat.verbs.environment import assemble

    return Steps(assemble, _execute, inherited)


def _execute(prepared: Prepared, work: Work) -> RunRecord:
    """To the end, and no longer than the administrator allows."""
    from bareboat.verbs.execute import execute

    if not work.settings.limits_max_time:
        return execute(prepared, work)
    from bareboat.verbs.foreground import in_foreground
    from bareboat.verbs.prepare import RunRequest

    return in_foreground(prepared, RunRequest(), work)


def rerun(request: RerunRequest, work: Work, by: Steps | None = None) -> Repetition:
    """Repeat a run and compare. The old run's results are never written to.

    Raises RecordError (record.missing, record.ambiguous, record.unfinished, record.plan-gone, record.code-
    gone, record.data-gone, record.data-needed, record.data-differs, record.mount-needed, record.extension-gone,
    record.rerun-folder, record.session), and what assembling and starting raise; before the start nothing is left but
    an empty folder.
    """
    by = by or steps()
    old = run_meant(request.run, work)
    if not final(old.state):
        raise RecordError(
            "record.unfinished",
            f"the run is still {old.state}",
            where=f"run {old.id}",
            hint="wait for its end",
        )
    if old.kind == SESSION:
        raise RecordError("record.session", "was a session: what people typed into it is not recorded",
                          where=f"run {old.id}", hint="repeat what was run: bareboat runs --kind run")
    plan = image_of(old, work)
    identity = run_id(os.urandom(6))
    folder = request.into or Path.cwd() / f"rerun-{identity[:6]}"
    results = folder / "results"
    mounts = rerun_mounts.mounts(old, request, work, results)  # what is missing is said before anything is made
    check_data(old, mounts, request, work)
    made = by.assemble(plan, work)
    if made.plan != plan.digest:
        raise RecordError(
            "record.plan-gone",
            "the image made from the record is not the one of the run",
            where=f"run {old.id}",
            hint="it was made by a bareboat of another assembly format",
        )
    from bareboat.verbs.run import say_emulated
    from bareboat.verbs.run_notebook import again

    prepared = _prepare(old, request, work, _Made(made, mounts, identity, results, by))
    _make_folder(results)
    if any(name == "BAREBOAT_CHECKPOINTS" for name, _ in old.env):  # it was an unattended run's
        (results / FOLDER).mkdir(exist_ok=True)
    prepared = replace(prepared, workload=again(prepared.workload, old, work))
    say_emulated(prepared.workload.platform, work)
    work.tell.say(f"repeating run {old.id} as {identity}, results in {folder}/results")
    with output(old, request) as (out, err):
        try:
            new = by.execute(replace(prepared, stdout=out, stderr=err), work)
        finally:
            if prepared.workload.driver.holder:
                from bareboat.verbs.lent import give_back

                give_back(identity, work)
    return Repetition(old, new, compare(old, new, reader(work.store), request.tolerance), folder)


def image_of(old: RunRecord, work: Work) -> Plan:
    """The plan of the image that the repetition runs in. A run from elsewhere runs in the image that came with it: what
    its record calls a plan would be made anew from sources that it names. Raises RecordError "record.plan-gone".
    """
    if old.origin:
        from bareboat.verbs.arrivals import image_plan_of

        came = image_plan_of(old, work)
        if came is not None:
            return came
    plan = plan_of(work.store, old)
    if plan is None:
        raise RecordError(
            "record.plan-gone", "the store does not have the plan of this run's image", where=f"run {old.id}"
        )
    return plan


def limits_of(old: RunRecord) -> Limits:
    """The recorded limits; those of a record from elsewhere never above what this machine has."""
    if not foreign(old):
        return old.limits
    memory, cores = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), processors()
    was = old.limits

    def most(limit: int | None, bound: int) -> int | None:
        return None if limit is None else min(limit, bound)

    return Limits(most(was.memory, memory), None if was.cpus is None else min(was.cpus, cores), most(was.pids, 1 << 22),
                  most(was.shm_size, memory // 2), most(was.scratch_size, memory // 2))


def run_meant(text: str, work: Work) -> RunRecord:
    """The run that a word means: one of this store, or one in a file, a layout or a registry, which is taken in.

    A word with "/", ":" or "@" in it is a place, whatever somebody else's run calls itself; only a run of one's own
    goes before it. Raises RecordError "record.missing", "record.ambiguous", and as arrivals.arrive.
    """
    from bareboat.verbs.lock import host_platform
    from bareboat.verbs.run_places import arrive, is_elsewhere

    elsewhere = is_elsewhere(text)
    try:
        found = find(work.store, text)
        if not elsewhere or not found.origin:
            return found
    except RecordError as error:
        if not elsewhere or error.code != "record.missing":
            raise
    return arrive(text, host_platform(), work)


@dataclass(frozen=True)
class _Made:
    environment: Environment
    mounts: tuple[Mount, ...]
    identity: str
    results: Path
    by: Steps


def _prepare(old: RunRecord, request: RerunRequest, work: Work, made: _Made) -> Prepared:
    store = work.store
    filtered = request.harmless is not None and foreign(old)  # a terminal of its own would be relayed as it is
    tty = old.tty and not request.quiet and not filtered and os.isatty(0) and os.isatty(1)
    host_env, host_mounts = made.by.inherited(os.environ, tty=tty)
    network = _network(old, request, work)
    if foreign(old) and network == "none":  # how to reach the network is of no use there, and may hold a password
        host_env = {name: value for name, value in host_env.items() if name not in HERE}
    env = _env(old, request, work, host_env)
    taken = {mount.target for mount in made.mounts}
    gpus = rerun_gpus.granted(old, request.gpus, (made.environment, made.identity), env, work)
    keys = (*made.environment.trees, *made.environment.bytecode)
    load = Workload(
        root=Rootfs(lowers(store, made.environment.trees, made.environment.bytecode), made.environment.plan_blob),
        argv=old.argv,
        env=tuple(sorted(env.items())),
        cwd=old.cwd,
        mounts=(*(m for m in host_mounts if m.target not in taken), *made.mounts),
        code_overlays=rerun_mounts.overlays(old, store),
        tmpfs=rerun_mounts.in_memory(old),
        uid=old.uid,
        gid=old.gid,
        home=old.home,
        network=network,
        tty=tty,
        limits=limits_of(old),
        scratch=work.settings.scratch,
        platform=kernel.foreign(made.environment.platform),
        **(gpus.parts if gpus else {}),
    )
    if work.settings.limited:
        from bareboat.verbs.allowed import within

        load = within(load, work.settings, cap=True)
    kept, withheld = withhold(load.env)
    results = any(mount.kind == "results" for mount in old.mounts)
    record = RunRecord(
        id=made.identity, created=timestamp(time.time()),
        argv=old.argv, env=kept, withheld=withheld,
        cwd=old.cwd, plan=made.environment.plan, plan_blob=made.environment.plan_blob, manifest=old.manifest,
        locks=old.locks,
        project=old.project, root=old.root, code=old.code, overlays=old.overlays, git=old.git,
        mounts=tuple(rerun_mounts.recorded(m, made.mounts) for m in old.mounts), tmpfs=load.tmpfs,
        limits=load.limits, gpus=load.driver.granted,
        network=load.network, uid=old.uid, gid=old.gid, home=old.home, tty=tty, engine=work.engine.name,
        version=__version__, rerun_of=old.id, origin=old.origin, platform=load.platform,
    )  # fmt: skip
    return Prepared(
        workload=load, record=record, results=made.results if results else None, code=None,
        data=rerun_mounts.data_of(old, made.mounts),
        keys=(*keys, *old.blobs), anonymous=rerun_mounts.anonymous(old, made.mounts),
        stdin=0 if tty else None, terminal=0 if tty else None,
    )  # fmt: skip


def _env(old: RunRecord, request: RerunRequest, work: Work, host_env: Mapping[str, str]) -> dict[str, str]:
    """The recorded variables; the withheld ones from the caller, and how to reach the network from this
    machine.
    """
    caller: Mapping[str, str] = os.environ if request.env is None else request.env
    if request.env is None and foreign(old):
        caller = {}
    env = {name: value for name, value in old.env if name not in HERE}
    env |= {name: value for name, value in host_env.items() if name in HERE}
    ours = rerun_mounts.cache_variables(old)
    missing = []
    for name in old.withheld:
        if name in HERE:
            continue
        if name in ours:  # where a token is to be kept is none
            env[name] = ours[name]
            continue
        env.pop(name, None)
        if name in caller:
            env[name] = caller[name]
        else:
            missing.append(name)
    if missing:
        what = (f"of a record from elsewhere, and not passed on: {', '.join(missing)}; "
                "give them to a program you trust: -e NAME") if foreign(old) else (
                f"not set here, and kept out of the record: {', '.join(missing)}; "
                "export them first if the program needs them")
        work.tell.say(what)
    return env


def _network(old: RunRecord, request: RerunRequest, work: Work) -> str:
    """As recorded; none for the record of another machine, whose program is a stranger's."""
    if request.network:
        return request.network
    if old.network != "none" and foreign(old):
        work.tell.say(
            "this run is from elsewhere: no network for it; --network host gives it one"
        )
        return "none"
    return old.network


def _make_folder(results: Path) -> None:
    try:
        results.mkdir(parents=True, exist_ok=True)
        full = any(results.iterdir())
    except OSError as error:
        raise RecordError(
            "record.rerun-folder",
            f"the folder cannot be made ({error.strerror})",
            where=str(results),
            hint="choose another: --in DIR",
        ) from None
    if full:
        raise RecordError(
            "record.rerun-folder",
            "there are results in it already, and they are not overwritten",
            where=str(results),
            hint="choose another: --in DIR",
        )
