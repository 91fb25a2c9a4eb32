"""Names of images: a document each, so that two writers of different names never touch the same file."""

from __future__ import annotations

import os

from bareboat.errors import StoreError
from bareboat.store.documents import Documents
from bareboat.store.locks import store_lock
from bareboat.store.paths import Layout

Platforms = tuple[tuple[str, str], ...]  # platform, plan digest


def tag(layout: Layout, documents: Documents, name: str, plan: str, platforms: Platforms = ()) -> None:
    """See Store.tag. Looks and writes under the store lock: gc sees the name or has not yet taken the
    plans.
    """
    with store_lock(layout):
        for digest in (plan, *(digest for _, digest in platforms)):
            if not os.path.exists(documents.path("plans", digest)):
                raise StoreError(
                    "store.no-plan",
                    f"the image {digest} is not here",
                    where=name,
                    hint="build it again, then name it",
                )
        document: dict[str, object] = {"plan": plan}
        if platforms:
            document["platforms"] = [list(row) for row in platforms]
            document["pins"] = [f"document:plans/{digest}" for _, digest in platforms]
        documents.put("tags", name, document)


def platforms(documents: Documents, name: str) -> Platforms:
    """See Store.platforms."""
    value = documents.get("tags", name)
    rows = value.get("platforms") if isinstance(value, dict) else None
    return tuple((str(platform), str(plan)) for platform, plan in rows) if isinstance(rows, list) else ()


def tags(documents: Documents) -> dict[str, str]:
    """See Store.tags. Raises StoreError store.damaged."""
    found = {}
    for name in documents.keys("tags"):
        value = documents.get("tags", name)
        if isinstance(value, dict) and isinstance(value.get("plan"), str):
            found[name] = value["plan"]
    return found
