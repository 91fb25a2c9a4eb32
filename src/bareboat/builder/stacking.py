"""From the trees of an image to the lowers of a run: compiled twins instead of wheels, and never too many.

The kernel takes 500 lowers and a page of mount options; each one costs a look-up for every new name. So a wheel's
bytecode comes as its twin (builder/bytecode.py), which stands in its place, and where there are still too many the
smallest wheels are merged into one tree by hard links.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

TYPE_CHECKING = False  # on the way of every start
if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter

BESIDE = "beside-"  # before the key of a twin: its bytecode alone, where the wheel's tree is in a shared store
BOUND = 380  # of the 400 that a run may have: extensions and mounts of ours come on top


def lowers(store: Store, trees: Sequence[str], bytecode: Sequence[str], bound: int = BOUND) -> tuple[Path, ...]:
    """The directories to stack, bottom to top, of an image's tree keys and of its bytecode's (Environment).

    bytecode: of the base first, then one for each different wheel, as pyc_keys gives them; what is not there yet is
    left out. All are leased. Trees that are missing are left out: the caller has looked.
    """
    wheels = tuple(dict.fromkeys(key for key in trees if key.startswith("wheel-")))
    chosen = compiled(store, wheels, bytecode[1:])
    at = trees.index(wheels[0]) if wheels else len(trees)
    below = [*trees[:at], *(key for key in bytecode[:1] if store.trees([key]) != [None])]
    above = [key for key in trees[at:] if not key.startswith("wheel-")]
    keys = [*below, *stack(store, chosen, bound - len(below) - len(above)), *above]
    return roots(store, keys)


def roots(store: Store, keys: Sequence[str]) -> tuple[Path, ...]:
    """The trees of these keys, bottom to top, as a run can stand on them: see builder/footing.py for those of a shared
    store. Missing ones are left out.
    """
    found = [(key, tree) for key, tree in zip(keys, store.trees(keys), strict=True) if tree is not None]
    if any(store.is_shared(tree) for _, tree in found):
        from bareboat.builder.footing import with_footing

        return with_footing(store, [key for key, _ in found], [tree for _, tree in found])
    return tuple(tree for _, tree in found)


def bytecode_tree(store: Store, key: str) -> Path | None:
    """Where a wheel's bytecode is: in its twin, or by itself beside a wheel of the shared store; None: not made yet."""
    found = store.tree(key)
    return store.tree(BESIDE + key) if found is None and store.borrows else found


def owes_bytecode(store: Store, keys: Sequence[str]) -> bool:
    """Whether some of it is still to be made."""
    return any(tree is None and bytecode_tree(store, key) is None
               for key, tree in zip(keys, store.trees(keys), strict=True))


def compiled(store: Store, wheels: Sequence[str], bytecode: Sequence[str]) -> list[str]:
    """The keys of wheels, each as its compiled twin where that is there. bytecode: the twins' keys, in their order."""
    twins = dict(zip(wheels, bytecode, strict=False))
    there = {k for k, tree in zip(bytecode, store.trees(bytecode), strict=True) if tree is not None}
    chosen: list[str] = []
    for key in wheels:
        twin = twins.get(key, "")
        chosen.append(twin if twin in there else key)
        if store.borrows and twin and twin not in there and store.tree(BESIDE + twin) is not None:
            chosen.append(BESIDE + twin)
    return chosen


def stack(store: Store, keys: Sequence[str], bound: int = BOUND) -> tuple[str, ...]:
    """At most `bound` keys of trees with the same content as these, which must not conflict.

    The smallest go together into one tree, made when it is missing: a function of their keys, without a byte of its
    own. Up to the bound nothing is looked at. Raises StoreError.
    """
    if len(keys) <= bound:
        return tuple(keys)
    import hashlib

    found = dict(zip(keys, store.trees(keys), strict=True))
    trees = {key: tree for key, tree in found.items() if tree is not None}
    smallest = sorted(trees, key=lambda key: ((trees[key].parent / "manifest").stat().st_size, key))
    together = set(smallest[: len(keys) - bound + 1])
    merged = [key for key in keys if key in together]
    name = "merged-" + hashlib.sha256("\0".join(("1", *merged)).encode()).hexdigest()

    def fill(tree: TreeWriter) -> None:
        for key in merged:
            link_all(tree, trees[key])

    store.make_tree(name, fill)
    return (name, *(key for key in keys if key not in together))


def link_all(writer: TreeWriter, tree: Path) -> None:
    """Every file of a tree under its name here, by hard links; what is here already (the same file) stays."""
    import os

    from bareboat.store.lending import true_modes

    top, meant = os.fspath(tree), true_modes(tree)
    for folder, folders, names in os.walk(top):
        folders.sort()
        inside = folder[len(top) + 1 :]
        if inside and inside not in writer:
            writer.directory(inside, meant.get(inside, os.lstat(folder).st_mode & 0o7777))
        for name in sorted([*names, *(d for d in folders if os.path.islink(f"{folder}/{d}"))]):
            path = f"{inside}/{name}" if inside else name
            if path not in writer:
                writer.link_file(Path(folder, name), path)
