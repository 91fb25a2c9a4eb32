"""A store that other users of this machine may read: its owner's side. store/shared.py is theirs.

    shared            there while the store is lent
    trees/KEY/lent    true modes of what others could write to: on the disk nobody but the owner can

Blobs and trees can be read by who knows what they are, and names of images with their plans; all else stays closed:
directories of blobs and trees are not listed, since snapshots of code are blobs as well. Who uses a tree holds a shared
lock on its manifest, which needs no right to write, and gc leaves it alone; when a thing was last read, its access time
says.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

from bareboat.store.manifest import Entry, parse
from bareboat.store.paths import MARK, Layout

OPEN = (("blobs", 0o711), ("blobs/sha256", 0o711), ("trees", 0o711), ("documents", 0o711))
KINDS = ("tags", "plans")  # of documents
LENT = "lent"
_WRITERS = 0o022
_MARKS = ("manifest", "synced", "boot", LENT)


def lend(layout: Layout) -> int:
    """Let every user read what the module says; returns how many trees there are. Idempotent; raises OSError."""
    count = 0
    for key in os.listdir(layout.at("trees")):
        wrapper = layout.tree(key)
        try:
            with open(f"{wrapper}/manifest", "rb") as file:
                entries = parse(file.read(), f"{wrapper}/manifest")
        except FileNotFoundError:
            continue  # half removed
        lend_tree(wrapper, entries)
        count += 1
    for name, mode in OPEN:
        os.chmod(layout.at(name), mode)
    for kind in KINDS:
        os.makedirs(layout.at("documents", kind), 0o700, exist_ok=True)
        os.chmod(layout.at("documents", kind), 0o755)
    os.chmod(layout.at("format"), 0o644)
    os.close(os.open(layout.at(MARK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644))
    os.chmod(layout.home, 0o755)  # the last: before it nothing inside can be reached
    return count


def recall(layout: Layout) -> None:
    """Close the store again. Who has a tree mounted keeps it. Idempotent; raises OSError."""
    os.chmod(layout.home, 0o700)
    try:
        os.unlink(layout.at(MARK))
    except FileNotFoundError:
        pass


def lend_tree(wrapper: str, entries: Mapping[str, Entry]) -> None:
    """Take the right to write from everybody but the owner, and note what the modes are meant to be."""
    meant = {}
    for path, entry in entries.items():
        if entry.kind != "l" and entry.mode & _WRITERS:
            os.chmod(f"{wrapper}/root/{path}" if path else f"{wrapper}/root", entry.mode & ~_WRITERS)
            meant[path] = entry.mode
    if meant:
        with open(f"{wrapper}/{LENT}", "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(meant, file, ensure_ascii=False)
    for name in _MARKS:
        try:
            os.chmod(f"{wrapper}/{name}", 0o644)
        except FileNotFoundError:
            pass
    os.chmod(wrapper, 0o755)


def true_modes(root: str | Path) -> dict[str, int]:
    """Path below the root of a tree → mode, for what is closed to others on the disk alone; {} for most trees."""
    try:
        with open(f"{os.path.dirname(os.fspath(root))}/{LENT}", encoding="utf-8", errors="surrogateescape") as file:
            found = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {str(path): int(mode) for path, mode in found.items()}


def claim(wrapper: str) -> int | None:
    """A descriptor that keeps others from taking hold of a tree, to close when it is out of sight; None while somebody
    uses it. -1 where there is nothing to hold.
    """
    try:
        fd = os.open(f"{wrapper}/manifest", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return None
        raise
    return fd


def last_read(path: str) -> float:
    """When somebody last read a file, as the file system tells it: to the day, and not where it is mounted noatime."""
    try:
        return os.stat(path).st_atime
    except OSError:
        return 0.0
