"""create, start, run -d: a container beside a supervisor of its own, that this process need not stay for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bareboat.errors import BareboatError, EngineError, UsageError
from bareboat.host.background import Started, start_supervisor
from bareboat.host.files import boot_id
from bareboat.record.values import RunRecord
from bareboat.store.codewalk import CodeRules
from bareboat.supervisor.rules import Rules
from bareboat.values import Any, dataclass, replace
from bareboat.verbs import containers
from bareboat.verbs.collaborators import Work
from bareboat.verbs.containers import Container, Seen
from bareboat.verbs.execute import Prepared, write_record
from bareboat.verbs.prepare import RunRequest
from bareboat.workload import Workload

LOG = "supervisor.log"
START_SECONDS = 300.0  # a supervisor that has not said after so long how the start went is stuck


@dataclass(frozen=True)
class Life:
    """What was said about a container's life, beside what runs in it."""

    labels: tuple[tuple[str, str], ...] = ()
    rules: Rules = Rules()
    remove: bool = False


@dataclass(frozen=True)
class Kept:
    """What a container is started from, as it is kept: what of execute.Prepared does not die with a process."""

    workload: Workload
    record: RunRecord
    results: Path | None = None
    code: tuple[Path, CodeRules] | None = None
    data: tuple[tuple[str, Path], ...] = ()
    keys: tuple[str, ...] = ()
    anonymous: tuple[tuple[str, bool], ...] = ()

    @staticmethod
    def of(prepared: Prepared) -> Kept:
        """What of a prepared run is kept."""
        p = prepared
        return Kept(p.workload, p.record, p.results, p.code, p.data, p.keys, p.anonymous)

    def prepared(self) -> Prepared:
        """The run again, with no streams of a caller's."""
        return Prepared(self.workload, self.record, self.results, self.code, self.data, self.keys, self.anonymous,
                        stdin=None, terminal=None, stdout=None, stderr=None)


def create(request: RunRequest, life: Life, work: Work) -> tuple[Container, Kept]:
    """Lock, assemble and list a container, without starting it. Raises what run does, and UsageError
    "container.name-taken".
    """
    from bareboat.verbs.run import after, prepare_run

    if request.name:
        containers.check_name(request.name)
    detached = replace(request, tty=bool(request.tty), interactive=False)
    prepared, made = prepare_run(detached, work)
    container = replace(containers.of(prepared, request, work.engine.name, remove=life.remove), labels=life.labels,
                        rules=life.rules)
    after(made, work)
    return keep(container, Kept.of(prepared), work)


def keep(container: Container, kept: Kept, work: Work) -> tuple[Container, Kept]:
    """List it, with its record, and with what it can be started from again unless it goes with its end."""
    from bareboat.record.codec import encode
    from bareboat.verbs.allowed import rules_within

    store, run = work.store, container.id
    container = replace(container, rules=rules_within(container.rules, work.settings))
    store.runs.create(run)  # owned before it is listed: who lists meanwhile must not take it for one that died
    try:
        container = containers.claim(store, container)
        kept = replace(kept, record=kept.record.with_(name=container.name, labels=container.labels))
        write_record(work, kept.record, durable=False)
        if not container.remove:
            store.put_json(containers.STARTS, run, encode(kept))
    except BaseException:
        containers.forget(store, run)
        store.runs.release(run)
        store.runs.remove(run)
        raise
    store.runs.release(run)
    return container, kept


def start(seen: Seen, work: Work) -> Container:
    """Start a container that was created or has ended, on a fresh writable layer. Raises UsageError
    "container.running", "container.once", and what starting raises.
    """
    from bareboat.record.codec import decode

    if seen.running:
        raise UsageError("container.running", f"container {seen.container.name or seen.container.id} runs already")
    document = work.store.get_json(containers.STARTS, seen.container.id)
    if document is None:
        raise UsageError("container.once", "what it was started from was not kept", where=seen.container.id)
    kept = decode(Kept, document, f"container {seen.container.id}")
    if kept.workload.driver.granted:
        from bareboat.lease.values import Holding
        from bareboat.verbs.grant import renewed

        limits = kept.workload.limits
        holding = Holding(0, seen.container.id, seen.container.name, "session", cpus=limits.cpus or 0.0,
                          memory=limits.memory or 0, preemptible=False)
        kept = replace(kept, workload=renewed(kept.workload, holding, work))
    return launch(seen.container, _with_image(kept, work), work)


def _with_image(kept: Kept, work: Work) -> Kept:
    """The same with its image in the store, made again where gc took it."""
    if None not in work.store.trees([key for key in kept.keys if not key.startswith(kept.record.plan_blob or " ")]):
        return kept
    from bareboat.builder.stacking import lowers
    from bareboat.verbs.environment import assemble
    from bareboat.verbs.images import plan_of

    made = assemble(plan_of(kept.record.plan_blob, work), work)
    root = replace(kept.workload.root, trees=lowers(work.store, made.trees, made.bytecode))
    return replace(kept, workload=replace(kept.workload, root=root),
                   keys=(*made.trees, *made.bytecode, made.plan_blob))


def launch(container: Container, kept: Kept, work: Work) -> Container:
    """Give it to a supervisor, and return when the program has started. Raises what hindered the start."""
    import json

    from bareboat.record.codec import encode

    boot = boot_id()
    if container.boot != boot:
        container = replace(container, boot=boot)
        containers.write(work.store, container)
    limits = kept.workload.limits
    if kept.workload.driver.holder or limits.cpus or limits.memory:
        from bareboat.verbs.lent import accounted, begun

        accounted(container.id, container.name, limits, work)
        begun(container.id, container.name, container.rules.max_time, work)
    lease = work.lent.held.get(container.id)
    task = json.dumps({"container": encode(container), "kept": encode(kept), "settings": _settings(work),
                       "holding": encode(lease.holding) if lease else None}).encode("utf-8", "surrogatepass")
    log = work.store.runs.path(container.id) / LOG
    argv = (sys.executable, "-m", "bareboat.entry.supervisor")
    env = {**os.environ, "BAREBOAT_HOME": os.fspath(work.store.home)}
    if work.settings.leases_path is not None:
        env["BAREBOAT_LEASES_PATH"] = os.fspath(work.settings.leases_path)
    try:
        with work.store.lease(kept.keys):
            answer = start_supervisor(Started(argv, env, task, log, lease.descriptors if lease else ()), START_SECONDS)
    finally:
        if lease is not None:  # the supervisor has it now
            work.lent.held.pop(container.id).release()
    if not answer:
        raise EngineError("container.supervisor", "its supervisor ended before the program had started",
                          where=str(log), hint=_last(log))
    told: dict[str, Any] = json.loads(answer)
    if "error" in told:
        code, what, where, hint, exit_code = told["error"]
        error = BareboatError(code, what, where=where, hint=hint)
        error.exit_code = int(exit_code)
        if container.remove:
            containers.forget(work.store, container.id)
        raise error
    return container


def _settings(work: Work) -> dict[str, object]:
    """What of the settings in force a supervisor cannot find by itself: what the command line said."""
    return {"engine": work.engine.name, "scratch": work.settings.scratch, "scratch_size": work.settings.scratch_size}


def _last(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
