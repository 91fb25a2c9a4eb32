"""A word that means a queued run, a container or, where there is none of it, a run."""

from __future__ import annotations

from collections.abc import Callable

from bareboat.errors import RecordError, UsageError
from bareboat.store import Store
from bareboat.verbs import containers
from bareboat.verbs.runs import find


def living(store: Store, run: str) -> Callable[[], bool]:
    """Whether more of a run may come: it has a living process, or it is queued and not over."""
    from bareboat.queue.sqlite import SqliteLedger
    from bareboat.verbs.queued import alive, entry_of

    if entry_of(store, run) is None:
        return lambda: store.runs.is_alive(run)
    ledger = SqliteLedger(store.queue)
    return lambda: alive(store, run, ledger)


def run_of(store: Store, text: str) -> str:
    """The id. Raises UsageError "container.unknown", "container.ambiguous"."""
    from bareboat.verbs.queued import entry_of

    entry = entry_of(store, text)
    if entry is not None:
        return entry.run
    try:
        return containers.find(store, text).container.id
    except UsageError as error:
        if error.code != "container.unknown":
            raise
        try:
            return find(store, text).id
        except RecordError:
            raise error from None
