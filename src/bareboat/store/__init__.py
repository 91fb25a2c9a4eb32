"""All state on disk: blobs, trees, documents, runs, leases, gc. `Store` is the way in."""

from __future__ import annotations

from bareboat.store.store import Store

__all__ = ["Store"]
