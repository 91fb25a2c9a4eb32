"""A run in the foreground as a container: listed while it runs, and answered for by this process."""

from __future__ import annotations

import os

from bareboat.errors import BareboatError
from bareboat.record.values import RunRecord
from bareboat.supervisor.keeper import Keeper
from bareboat.values import TYPE_CHECKING, Any, replace
from bareboat.verbs import containers
from bareboat.verbs.collaborators import Work
from bareboat.verbs.execute import Prepared, execute
from bareboat.workload import Workload

if TYPE_CHECKING:
    from bareboat.verbs.launch import Life
    from bareboat.verbs.prepare import RunRequest


def facts_of(load: Workload, work: Work) -> dict[str, Any]:
    """What others need to know to enter a container of this workload, and its watches to look at it."""
    limits = load.limits
    env = {**dict(load.env), **dict(load.driver.env)}
    nvml = work.settings.gpu_nvml
    return {"engine": work.engine.name, "env": [list(pair) for pair in env.items()], "cwd": load.cwd,
            "gpus": load.driver.granted, "nvml": os.fspath(nvml) if nvml else "", "uid": load.uid,
            "gid": load.gid, "network": load.network, "tty": load.tty,
            "limits": [limits.memory, limits.cpus, limits.pids]}


def in_foreground(prepared: Prepared, request: RunRequest, work: Work, life: Life | None = None) -> RunRecord:
    """As execute, listed as a container until it ends. Raises what execute does, and UsageError
    "container.name-taken", "limits.above".
    """
    from bareboat.supervisor.rules import Rules

    store, record, rules = work.store, prepared.record, life.rules if life else Rules()
    if work.settings.limited:
        from bareboat.verbs.allowed import rules_within

        rules = rules_within(rules, work.settings)
    container = containers.of(prepared, request, work.engine.name, remove=True)
    container = replace(container, rules=rules)
    limits = prepared.workload.limits
    if prepared.workload.driver.holder or limits.cpus or limits.memory:
        from bareboat.verbs.lent import accounted, begun

        accounted(record.id, container.name or record.project, limits, work)
        begun(record.id, container.name or record.project, rules.max_time, work)
    if life is not None:
        container = replace(container, labels=life.labels)
        prepared = replace(prepared, record=record.with_(labels=life.labels))
    if container.name:
        containers.check_name(container.name)
    folder = store.runs.create(record.id)  # owned before it is listed, as in launch.keep
    try:
        containers.claim(store, container, foreground=True)
        keeper = Keeper(os.fspath(folder), facts_of(prepared.workload, work), rules, ports=prepared.workload.ports)
    except (BareboatError, OSError) as error:
        containers.forget_live(store, record.id)
        store.runs.release(record.id)
        store.runs.remove(record.id)  # nothing began
        if isinstance(error, BareboatError) or prepared.workload.ports:
            raise
        return execute(prepared, work)  # a file system without sockets: it runs, and nobody can ask for it
    code = 125
    try:
        ended = execute(prepared, work, keeper)
        code = 125 if ended.exit_code is None else ended.exit_code
        return ended
    finally:
        containers.forget_live(store, record.id)
        store.runs.release(record.id)
        keeper.over(code)
        if record.id in work.lent.held:
            from bareboat.verbs.lent import give_back

            give_back(record.id, work)
