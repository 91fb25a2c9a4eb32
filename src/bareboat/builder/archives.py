"""Downloaded archives whose trees are durable: nothing needs them any more, and they can be fetched again."""

from __future__ import annotations

from bareboat.builder.debs import deb_tree_key
from bareboat.image.plan import Plan
from bareboat.image.wheel import wheel_tree_key
from bareboat.store import Store


def drop_archives(store: Store, plan: Plan) -> int:
    """Remove wheels and Debian packages of a plan that are unpacked for good; how many went.

    Kept: what has no address (a wheel built here or taken from a folder), what is not unpacked or not yet durable,
    and what a living process holds. Decision 0013.
    """
    unsettled = set(store.unsettled())

    def unpacked(key: str) -> bool:
        return key not in unsettled and store.tree(key) is not None

    digests = [d.sha256 for d in plan.debs if unpacked(deb_tree_key(d.sha256))]
    digests += [w.sha256 for w in plan.wheels
                if w.url.startswith(("http://", "https://")) and unpacked(wheel_tree_key(w, plan.interpreter))]
    return store.drop_blobs(digests)
