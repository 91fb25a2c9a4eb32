"""The project's code as the topmost tree of an image that travels: at the places where runs mount it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import ArchiveError
from bareboat.image.plan import PlanCode

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter

FORMAT = "1"  # part of the key: raised when the same code would give another tree
PLACES = (("data", 0o755), ("results", 0o1777))  # what runs mount, empty; results are anybody's to write


def code_tree_key(code: PlanCode) -> str:
    """The key of the tree: of the snapshot and of where its parts lie. Pure."""
    text = json.dumps([FORMAT, code.digest, code.places, code.overlays])
    return "image-code-" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def make_code_tree(store: Store, code: PlanCode) -> Path:
    """The tree, from the snapshot in the store. Idempotent, atomic.

    Raises RecordError "record.code-gone", ArchiveError "code.missing" for a part or an extension that is not there,
    "code.place" for a place that is not within the code.
    """
    from bareboat.record.values import CodeSnapshot
    from bareboat.store.codetree import materialise

    key = code_tree_key(code)
    found = store.tree(key)
    if found is not None:
        return found
    root = materialise(store, CodeSnapshot(code.digest, code.index, code.packs))
    overlays = []
    for target, overlay in code.overlays:
        tree = store.tree(overlay)
        if tree is None:
            raise ArchiveError("code.missing", "the project's compiled extensions are not in the store any more",
                               where=target, hint="build the image again")
        overlays.append((target.strip("/"), tree))

    def fill(writer: TreeWriter) -> None:
        for within, target in code.places:
            source = _within(root, within, target)
            if not os.path.lexists(source):
                raise ArchiveError("code.missing", f"the snapshot of the code has no {within}", where=target)
            _copy(writer, source, target.strip("/"), [t for at, t in overlays if at == target.strip("/")])
        for name, mode in PLACES:
            if name not in writer:
                writer.directory(name, mode)
                if f"app/{name}" not in writer:
                    writer.symlink(f"app/{name}", f"/{name}")

    return store.make_tree(key, fill)


def _within(root: Path, within: str, target: str) -> Path:
    """A place in the snapshot, and in nothing else: a plan may be a stranger's, and so may links in its code."""
    if not within:
        return root
    parts = within.split("/")
    inner = [root.joinpath(*parts[:depth]) for depth in range(1, len(parts))]
    if any(p in ("", ".", "..") or "\0" in p for p in parts) or any(p.is_symlink() for p in inner):
        raise ArchiveError("code.place", f"{within[:200]!r} is no place within the code", where=target,
                           hint="whoever made the plan is at fault")
    return root.joinpath(*parts)


def _copy(writer: TreeWriter, source: Path, target: str, over: list[Path]) -> None:
    """A file or folder of the snapshot at its place, by hard links; of what lies over it, its files win."""
    if source.is_file() or source.is_symlink():
        writer.link_file(source, target)
        return
    writer.directory(target)
    for tree in [*over, source]:
        top = os.fspath(tree)
        for folder, folders, names in os.walk(top):
            folders.sort()
            inside = folder[len(top) :]
            if target + inside not in writer:
                writer.directory(target + inside)
            for name in sorted([*names, *(d for d in folders if os.path.islink(f"{folder}/{d}"))]):
                if f"{target}{inside}/{name}" not in writer:
                    writer.link_file(Path(folder, name), f"{target}{inside}/{name}")
