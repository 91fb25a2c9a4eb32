"""rerun: repeat a run from its record, into a fresh folder, and say whether it gave the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat import __version__
from bareboat.builder.stacking import lowers
from bareboat.errors import RecordError
from bareboat.image.plan import Plan
from bareboat.record.secrets import withhold
from bareboat.record.states import final
from bareboat.record.tolerance import Tolerance
from bareboat.record.values import RecordedMount, RunRecord, run_id, timestamp
from bareboat.record.verdict import Verdict, compare
from bareboat.verbs.collaborators import Work
from bareboat.verbs.diff import reader
from bareboat.verbs.environment import Environment
from bareboat.verbs.execute import Prepared
from bareboat.verbs.runs import find
from bareboat.verbs.show import plan_of
from bareboat.workload import Mount, Rootfs, Workload

if TYPE_CHECKING:
    from bareboat.store import Store

# What the machine decides and no record should: how to reach the network from here.
HERE = frozenset({
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT",
    "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS",
})  # fmt: skip


@dataclass(frozen=True)
class RerunRequest:
    """What was asked. run: id, name or "last". into: the folder whose results/ takes the results; None: a
    new one below the current folder. data: a folder in place of the recorded data. network: "" as recorded,
    but none for a record of another machine. env: variables of the caller's, for those that were withheld; None:
    this process's for a record of this machine, else none: a stranger's record would name whatever it likes.
    quiet: the program's output goes into the log alone.
    """

    run: str
    into: Path | None = None
    data: Path | None = None
    network: str = ""
    env: Mapping[str, str] | None = None
    quiet: bool = False
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
    from bareboat.verbs.execute import execute

    return Steps(assemble, execute, inherited)


def rerun(request: RerunRequest, work: Work, by: Steps | None = None) -> Repetition:
    """Repeat a run and compare. The old run's results are never written to.

    Raises RecordError (record.missing, record.ambiguous, record.unfinished, record.plan-gone, record.code-
    gone, record.data-gone, record.extension-gone, record.rerun-folder), and what assembling and starting
    raise; before the start nothing is left but an empty folder.
    """
    by = by or steps()
    old = find(work.store, request.run)
    if not final(old.state):
        raise RecordError(
            "record.unfinished",
            f"the run is still {old.state}",
            where=f"run {old.id}",
            hint="wait for its end",
        )
    plan = plan_of(work.store, old)
    if plan is None:
        raise RecordError(
            "record.plan-gone", "the store does not have the plan of this run's image", where=f"run {old.id}"
        )
    identity = run_id(os.urandom(6))
    folder = request.into or Path.cwd() / f"rerun-{identity[:6]}"
    results = folder / "results"
    mounts = _mounts(old, request, work, results)  # what is missing is said before anything is made
    made = by.assemble(plan, work)
    if made.plan != old.plan:
        raise RecordError(
            "record.plan-gone",
            "the image made from the record is not the one of the run",
            where=f"run {old.id}",
            hint="it was made by a bareboat of another assembly format",
        )
    prepared = _prepare(old, request, work, _Made(made, mounts, identity, results, by))
    _make_folder(results)
    work.tell.say(f"repeating run {old.id} as {identity}, results in {folder}/results")
    if request.quiet:
        with open(os.devnull, "wb") as null:
            new = by.execute(replace(prepared, stdout=null.fileno(), stderr=null.fileno()), work)
    else:
        new = by.execute(prepared, work)
    return Repetition(old, new, compare(old, new, reader(work.store), request.tolerance), folder)


@dataclass(frozen=True)
class _Made:
    environment: Environment
    mounts: tuple[Mount, ...]
    identity: str
    results: Path
    by: Steps


def _prepare(old: RunRecord, request: RerunRequest, work: Work, made: _Made) -> Prepared:
    store = work.store
    tty = old.tty and not request.quiet and os.isatty(0) and os.isatty(1)
    host_env, host_mounts = made.by.inherited(os.environ, tty=tty)
    env = _env(old, request, work, host_env)
    taken = {mount.target for mount in made.mounts}
    keys = (*made.environment.trees, *made.environment.bytecode)
    load = Workload(
        root=Rootfs(lowers(store, made.environment.trees, made.environment.bytecode)),
        argv=old.argv,
        env=tuple(sorted(env.items())),
        cwd=old.cwd,
        mounts=(*(m for m in host_mounts if m.target not in taken), *made.mounts),
        code_overlays=_overlays(old, store),
        uid=old.uid,
        gid=old.gid,
        home=old.home,
        network=_network(old, request, work),
        tty=tty,
        limits=old.limits,
        scratch=work.settings.scratch,
    )
    kept, withheld = withhold(load.env)
    results = any(mount.kind == "results" for mount in old.mounts)
    record = RunRecord(
        id=made.identity, created=timestamp(time.time()),
        argv=old.argv, env=kept, withheld=withheld,
        cwd=old.cwd, plan=old.plan, plan_blob=old.plan_blob, manifest=old.manifest, locks=old.locks,
        project=old.project, root=old.root, code=old.code, overlays=old.overlays, git=old.git,
        mounts=tuple(_recorded(m, made.mounts) for m in old.mounts), limits=old.limits, gpus=old.gpus,
        network=load.network, uid=old.uid, gid=old.gid, home=old.home, tty=tty, engine=work.engine.name,
        version=__version__, rerun_of=old.id,
    )  # fmt: skip
    sources = {m.target: m.source for m in made.mounts}
    data = {
        sources[m.target]: m.target for m in reversed(old.mounts) if m.kind == "data" and m.target in sources
    }
    return Prepared(
        workload=load, record=record, results=made.results if results else None, code=None,
        data=tuple((target, source) for source, target in data.items()),
        keys=(*keys, *old.blobs),
        stdin=0 if tty else None, terminal=0 if tty else None,
    )  # fmt: skip


def _mounts(old: RunRecord, request: RerunRequest, work: Work, results: Path) -> tuple[Mount, ...]:
    """The mounts of the repetition: code from its snapshot, data where they are, results into the fresh
    folder.
    """
    code: Path | None = None
    mounts: list[Mount] = []
    for mount in old.mounts:
        if mount.kind == "results":
            mounts.append(Mount(results, mount.target))
        elif mount.kind == "code" and old.code is not None and _in_snapshot(mount, old):
            if code is None:
                from bareboat.store.codetree import materialise

                code = materialise(work.store, old.code).resolve()
            source = code / mount.within if mount.within else code
            # neither ".." nor a link in the snapshot of a stranger's record leads out of it
            if not source.exists() or ".." in source.parts or source.resolve() != source or code not in (
                    source, *source.parents):
                raise RecordError(
                    "record.code-gone",
                    f"the snapshot of the code has no {mount.within}",
                    where=f"run {old.id}",
                )
            mounts.append(Mount(source, mount.target, True))
        else:
            mounts.append(_from_here(mount, old, request, work))
    return tuple(mounts)


def _in_snapshot(mount: RecordedMount, old: RunRecord) -> bool:
    """Whether the source was in the project; code from elsewhere (-v) is in no snapshot."""
    return bool(mount.within) or mount.source == old.root


def _from_here(mount: RecordedMount, old: RunRecord, request: RerunRequest, work: Work) -> Mount:
    source = Path(mount.source)
    if mount.kind == "data" and request.data is not None:
        source = request.data.absolute()
    if not source.exists():
        raise RecordError(
            "record.data-gone", f"what the run had at {mount.target} is not there any more",
            where=str(source),
            hint="name a copy of it: --data DIR" if mount.kind == "data" else "put it back there",
        )  # fmt: skip
    if _foreign(old):
        work.tell.say(f"mounts {source} of this machine at {mount.target}, as the record of another machine says")
    if not mount.read_only:
        work.tell.say(
            f"{source} is mounted read-only at {mount.target}: a repetition changes no folder of yours"
        )
    return Mount(source, mount.target, True)


def _recorded(mount: RecordedMount, mounts: tuple[Mount, ...]) -> RecordedMount:
    """The mount as it is now; code keeps its source, which says where in the snapshot it is."""
    now = next(m for m in mounts if m.target == mount.target)
    if mount.kind == "code":
        return mount
    return RecordedMount(os.fspath(now.source), mount.target, now.read_only, mount.kind, mount.within)


def _overlays(old: RunRecord, store: Store) -> tuple[tuple[str, Path], ...]:
    found = []
    for target, key in old.overlays:
        tree = store.tree(key)
        if tree is None:
            raise RecordError(
                "record.extension-gone",
                "the store does not have the project's compiled extensions",
                where=f"run {old.id}",
            )
        found.append((target, tree))
    return tuple(found)


def _env(old: RunRecord, request: RerunRequest, work: Work, host_env: Mapping[str, str]) -> dict[str, str]:
    """The recorded variables; the withheld ones from the caller, and how to reach the network from this
    machine.
    """
    caller: Mapping[str, str] = os.environ if request.env is None else request.env
    if request.env is None and _foreign(old):
        caller = {}
    env = {name: value for name, value in old.env if name not in HERE}
    env |= {name: value for name, value in host_env.items() if name in HERE}
    missing = []
    for name in old.withheld:
        if name in HERE:
            continue
        env.pop(name, None)
        if name in caller:
            env[name] = caller[name]
        else:
            missing.append(name)
    if missing:
        what = (f"of another machine's record, and not passed on: {', '.join(missing)}; "
                "give them to a program you trust: -e NAME") if _foreign(old) else (
                f"not set here, and kept out of the record: {', '.join(missing)}; "
                "export them first if the program needs them")
        work.tell.say(what)
    return env


def _foreign(old: RunRecord) -> bool:
    """Whether the run was recorded on another machine: its program may be a stranger's."""
    from bareboat.host.facts import mark

    return old.host is None or old.host.name != os.uname().nodename or old.host.mark != mark()


def _network(old: RunRecord, request: RerunRequest, work: Work) -> str:
    """As recorded; none for the record of another machine, whose program is a stranger's."""
    if request.network:
        return request.network
    if old.network != "none" and _foreign(old):
        work.tell.say(
            "this run was recorded on another machine: no network for it; --network host gives it one"
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
