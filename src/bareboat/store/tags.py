"""Names of images: a document each, so that two writers of different names never touch the same file."""

from __future__ import annotations

import os

from bareboat.errors import StoreError
from bareboat.store.documents import Documents
from bareboat.store.locks import store_lock
from bareboat.store.paths import Layout


def tag(layout: Layout, documents: Documents, name: str, plan: str) -> None:
    """See Store.tag. Looks and writes under the store lock: gc sees the name or has not yet taken the
    plan.
    """
    with store_lock(layout):
        if not os.path.exists(documents.path("plans", plan)):
            raise StoreError(
                "store.no-plan",
                f"the image {plan} is not here",
                where=name,
                hint="build it again, then name it",
            )
        documents.put("tags", name, {"plan": plan})


def tags(documents: Documents) -> dict[str, str]:
    """See Store.tags. Raises StoreError store.damaged."""
    found = {}
    for name in documents.keys("tags"):
        value = documents.get("tags", name)
        if isinstance(value, dict) and isinstance(value.get("plan"), str):
            found[name] = value["plan"]
    return found
