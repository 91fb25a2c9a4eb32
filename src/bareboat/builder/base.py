"""Debian packages become one merged tree, or two: the Python base shared by all, and a project's extra
packages on it.

What maintainer scripts would have written is generated (IMAGES.md traps 56 to 60); nothing is executed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from bareboat.lock import Base, Deb
from bareboat.store import Store

FORMAT = "2"  # part of every key: raised when the same packages would give another tree, and with debs.FORMAT


def base_tree_keys(base: Base) -> tuple[str, ...]:
    """The keys of a base's trees, bottom to top: a function of the locked packages and of how bareboat
    assembles."""
    core = [d for d in base.packages if not d.extra]
    extra = [d for d in base.packages if d.extra]
    bottom = _key(base, core)
    return (bottom, _key(base, core, extra)) if extra else (bottom,)


def _key(base: Base, *sets: list[Deb]) -> str:
    lines = [FORMAT, base.family, base.suite, base.python]
    for packages in sets:
        lines += ["", *(f"{d.name} {d.sha256}" for d in packages)]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return f"base-{digest}" if len(sets) == 1 else f"base-extra-{digest}"


def make_base_trees(store: Store, base: Base) -> list[Path]:
    """The trees of a locked base, bottom to top; made from the debs in the store where missing.

    Idempotent, atomic; a base that is there costs a look-up. ArchiveError, StoreError (see make_deb_tree).
    """
    keys = base_tree_keys(base)
    found = [store.tree(key) for key in keys]
    trees = [tree for tree in found if tree is not None]
    if len(trees) == len(keys):
        return trees
    from bareboat.builder.assembly import assemble

    return assemble(store, base, keys)
