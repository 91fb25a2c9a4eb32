"""exec for a queued run that is no container of this machine: through its scheduler, or what to do instead."""

from __future__ import annotations

import os

from bareboat.engine.base import Streams
from bareboat.engine.scheduler import Entering
from bareboat.errors import UsageError
from bareboat.queue.base import Entry
from bareboat.record.states import final
from bareboat.store import Store
from bareboat.values import cast
from bareboat.verbs.enter import ExecRequest
from bareboat.verbs.lookup import sweep_error
from bareboat.verbs.queued import entry_of
from bareboat.verbs.submission import Queue
from bareboat.workload import Exec, Outcome


def elsewhere(store: Store, text: str) -> Entry | None:
    """The run that a word means and that a cluster may have; None where the word means none. Raises UsageError
    "exec.not-running", "exec.slurm", "queue.sweep".
    """
    entry = entry_of(store, text)
    if entry is None:
        sweep = sweep_error(store, text)
        if sweep is not None:
            raise sweep
        return None
    if entry.scheduler == "kubernetes" and entry.job and not final(entry.state):
        return entry  # the cluster knows whether it runs
    name = entry.name or entry.run
    if entry.state != "running":
        why = f" ({entry.reason})" if entry.reason else ""
        raise UsageError("exec.not-running", f"{name} is {entry.state}{why}, and nothing of it runs",
                         hint=f"bareboat resume {name}" if final(entry.state) else f"bareboat logs -f {name}")
    if entry.scheduler == "slurm":
        raise UsageError("exec.slurm", f"{name} runs on a node of Slurm's, and is entered there",
                         hint=f"srun --jobid {entry.job.partition('@')[0]} --overlap --pty bareboat exec -it {name} …")
    raise UsageError("exec.not-running", f"{name} is just starting or ending", hint=f"bareboat logs -f {name}")


def execute_elsewhere(entry: Entry, request: ExecRequest, queue: Queue, streams: Streams) -> Outcome:
    """Run a program in the attempt of a run on a cluster, to its end; the exit code is its own. Raises EngineError."""
    if not request.argv:
        raise UsageError("usage.no-program", "there is nothing to run", hint="bareboat exec NAME PROGRAM …")
    env = dict(request.env)
    if request.tty:
        env.setdefault("TERM", os.environ.get("TERM", "xterm"))
    call = Exec(request.argv, tuple(sorted(env.items())), request.workdir or "", os.geteuid(), os.getegid(),
                request.tty)
    return cast(Entering, queue.scheduler(entry.scheduler)).exec(entry.job, call, streams)
