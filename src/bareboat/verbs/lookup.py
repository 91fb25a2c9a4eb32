"""A word that means a container or, where there is none of it, a run."""

from __future__ import annotations

from bareboat.errors import RecordError, UsageError
from bareboat.store import Store
from bareboat.verbs import containers
from bareboat.verbs.runs import find


def run_of(store: Store, text: str) -> str:
    """The id. Raises UsageError "container.unknown", "container.ambiguous"."""
    try:
        return containers.find(store, text).container.id
    except UsageError as error:
        if error.code != "container.unknown":
            raise
        try:
            return find(store, text).id
        except RecordError:
            raise error from None
