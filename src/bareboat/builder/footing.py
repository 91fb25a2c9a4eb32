"""What lies over trees of a shared store so that a run can write where it could over its own.

The kernel copies up nothing that belongs to a user who is not in the namespace (EOVERFLOW): over a stranger's directory
no file can be made, whatever its mode. So the directories of such trees are made once more in a tree of the user's own,
which is stacked on them: where directories merge, the topmost says whose they are. Decision 0151.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.store.manifest import Entry, parse

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter

FORMAT = "1"
COPIED = ("etc/", "var/lib/dpkg/")  # changed in place by package managers and by us: small, and the user's own
_COPY_MOST = 1 << 20
_OTHERS = 0o005


def with_footing(store: Store, keys: Sequence[str], trees: Sequence[Path]) -> tuple[Path, ...]:
    """The trees with a footing over each row of those that are somebody else's, which are held from here on. Raises
    ArchiveError "tree.gone" for one that went meanwhile.
    """
    out: list[Path] = []
    row: list[tuple[str, Path]] = []
    for key, tree in (*zip(keys, trees, strict=True), ("", None)):
        if tree is not None and store.is_shared(tree):
            row.append((key, tree))
            out.append(tree)
            continue
        if row:
            out.append(_footing(store, row))
            row = []
        if tree is not None:
            out.append(tree)
    return tuple(out)


def _footing(store: Store, row: list[tuple[str, Path]]) -> Path:
    gone = store.hold(key for key, _ in row)
    if gone:
        from bareboat.errors import ArchiveError

        raise ArchiveError("tree.gone", "it was taken out of the shared store just now", where=gone[0],
                           hint="run the command again")
    name = "footing-" + hashlib.sha256("\0".join((FORMAT, *(key for key, _ in row))).encode()).hexdigest()
    return store.make_tree(name, lambda writer: _fill(writer, [tree for _, tree in row]))


def _fill(writer: TreeWriter, trees: list[Path]) -> None:
    """Directories as they are seen through the row, topmost first; of the others only what has to be one's own."""
    seen: dict[str, tuple[Entry, Path]] = {}
    for tree in reversed(trees):
        manifest = tree.parent / "manifest"
        for path, entry in parse(manifest.read_bytes(), os.fspath(manifest)).items():
            if path not in seen and not _covered(path, seen):
                seen[path] = entry, tree
    for path in sorted(seen):
        entry, tree = seen[path]
        if entry.kind == "d":
            if path:
                writer.directory(path, entry.mode | 0o700)
                if entry.mode & _OTHERS != _OTHERS:
                    writer.opaque(path)  # closed to us: empty is of more use than shut
        elif path.startswith(COPIED):
            _copy(writer, f"{tree}/{path}", path, entry)


def _covered(path: str, seen: dict[str, tuple[Entry, Path]]) -> bool:
    """Whether something above that is no directory hides a path."""
    above = path.rpartition("/")[0]
    while above:
        found = seen.get(above)
        if found is not None and found[0].kind != "d":
            return True
        above = above.rpartition("/")[0]
    return False


def _copy(writer: TreeWriter, source: str, path: str, entry: Entry) -> None:
    if entry.kind == "l":
        writer.symlink(path, os.readlink(source))
        return
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except PermissionError:
        return
    with open(fd, "rb") as file:
        if os.fstat(fd).st_size <= _COPY_MOST:
            writer.file(path, entry.mode | 0o600, [file.read()])
