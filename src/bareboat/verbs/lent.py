"""What of this machine's GPUs a command has leased for the runs that it starts: told to others, given back."""

from __future__ import annotations

import time

from bareboat.errors import LeaseError
from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import place
from bareboat.lease.values import Holding
from bareboat.values import TYPE_CHECKING, replace

if TYPE_CHECKING:
    from bareboat.lease.base import Leases
    from bareboat.verbs.collaborators import Work
    from bareboat.workload import Limits


def leases_of(work: Work) -> Leases:
    """Who has which GPU of this machine. Raises LeaseError."""
    if work.lent.leases is None:
        work.lent.leases = FlockLeases(place(work.settings.leases_path))
    return work.lent.leases


def begun(run: str, name: str, max_time: float, work: Work) -> None:
    """Tell others what a held GPU is used for, now that it is known. max_time: seconds, 0 for no end."""
    lease = work.lent.held.get(run)
    if lease is not None:
        now = time.time()
        lease.update(replace(lease.holding, name=name or lease.holding.name, started=now,
                             ends=now + max_time if max_time else 0.0))


def accounted(run: str, name: str, limits: Limits, work: Work) -> None:
    """Tell others what of CPUs and memory a run without GPUs may take. Where that cannot be told it runs all the same.
    """
    if run in work.lent.held:
        return
    try:
        lease = leases_of(work).take(Holding(0, run, name, "session", cpus=limits.cpus or 0.0,
                                             memory=limits.memory or 0, preemptible=False))
    except LeaseError as error:
        work.tell.detail(f"nobody is told of its CPUs and memory: {error.where}: {error.what}")
        return
    if lease is not None:
        work.lent.held[run] = lease


def give_back(run: str, work: Work) -> None:
    """Let go of what a run had, if it had anything; another process may go on holding it."""
    lease = work.lent.held.pop(run, None)
    if lease is not None:
        lease.release()
