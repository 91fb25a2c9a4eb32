"""Which repositories have which blobs, as far as this machine saw: what a push can mount instead of sending it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bareboat.image.reference import Reference
from bareboat.verbs.collaborators import Work

MOST = 4096  # blobs that are remembered of a registry; the oldest go first


def remember(reference: Reference | None, digests: Iterable[str], work: Work) -> None:
    """These blobs are in that repository."""
    if reference is None:
        return
    known = _known(reference.registry, work)
    new = dict.fromkeys(digests, reference.repository)
    kept = {**{d: r for d, r in known.items() if d not in new}, **new}
    work.store.put_json("cache", f"origins {reference.registry}", {"at": list(kept.items())[-MOST:]})


def mounts(reference: Reference | None, work: Work) -> Callable[[str], str]:
    """A digest → another repository of the reference's registry that has it, "" where none is known."""
    if reference is None:
        return lambda _digest: ""
    known = {d: r for d, r in _known(reference.registry, work).items() if r != reference.repository}
    return lambda digest: known.get(digest, "")


def _known(registry: str, work: Work) -> dict[str, str]:
    document = work.store.get_json("cache", f"origins {registry}")
    rows = document.get("at") if isinstance(document, dict) else None
    return {str(d): str(r) for d, r in rows} if isinstance(rows, list) else {}
