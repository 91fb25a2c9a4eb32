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
    """The id. Raises UsageError "container.unknown", "container.ambiguous", "queue.sweep" for a sweep's name."""
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
            raise sweep_error(store, text) or error from None


def sweep_error(store: Store, text: str) -> UsageError | None:
    """That a word means all runs of a sweep where one is wanted; None where it does not."""
    from bareboat.verbs.queued import ledger_of

    with ledger_of(store) as ledger:
        entries = [] if ledger is None else ledger.entries(submission=ledger.called(text) or "\0", most=2)
    if len(entries) < 2:
        return None
    return UsageError("queue.sweep", f"{text} is a sweep, and one of its runs is meant here",
                      hint=f"as {entries[0].name or entries[0].run}; they are listed by: bareboat queue {text}")
