"""Trees of one store once more in another: an image on a node's own disk, whose store is on a network file system.

The copy is a store as any other: a tree is made under a lock and visible as a whole, what a process uses is leased, and
what a killed one left is cleared away. What is read is compared with the tree's manifest as it goes by.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bareboat.errors import StoreError
from bareboat.store.manifest import Entry, crc32, parse
from bareboat.store.store import Store
from bareboat.store.treewriter import TreeWriter

CHUNK = 1 << 20
_BLOCK = 4096  # bytes that a file, link or directory takes at least


def own_place(folder: Path) -> Path:
    """The caller's own directory, 0700, in one that many users may share, as /tmp is; made when it is missing.

    Raises StoreError "copies.place" where somebody else could have their hands in it: folder or what it lies in is
    another user's, or writable by others and not sticky; or the directory is a link, another's, or open to others.
    """
    uid = os.geteuid()
    above = os.path.realpath(folder)
    try:
        while True:
            status = os.stat(above)
            if not stat.S_ISDIR(status.st_mode):
                raise _unsafe("it is no directory", above)
            if status.st_uid not in (0, uid):
                raise _unsafe(f"it belongs to uid {status.st_uid}", above)
            if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
                raise _unsafe(f"others can write to it, and it is not sticky (mode {status.st_mode & 0o7777:04o})",
                              above)
            if above == "/":
                break
            above = os.path.dirname(above)
        place = Path(os.path.realpath(folder), f"bareboat-{uid}")
        try:
            os.mkdir(place, 0o700)
        except FileExistsError:
            pass
        status = os.lstat(place)
    except OSError as error:
        raise _unsafe(error.strerror or "it cannot be used", error.filename or os.fspath(folder)) from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o077:
        raise _unsafe("it is not a directory of yours alone", os.fspath(place))
    return place


def _unsafe(what: str, where: str) -> StoreError:
    return StoreError("copies.place", what, where=where)


def entries_of(tree: Path) -> dict[str, Entry]:
    """What is in a tree, by its root. Raises StoreError "store.damaged", OSError."""
    manifest = tree.parent / "manifest"
    return parse(manifest.read_bytes(), os.fspath(manifest))


def size_of(entries: Mapping[str, Entry]) -> int:
    """Bytes that a tree takes on a disk, about."""
    return sum(-(-max(entry.size, 1) // _BLOCK) * _BLOCK for entry in entries.values())


def copied(tree: Path, entries: Mapping[str, Entry], into: Store) -> Path:
    """The root of the same tree in another store, made by copying unless it is there. As Store.make_tree; raises
    StoreError "store.damaged" too, for a tree that is not as its manifest has it, and OSError of reading.
    """
    return into.make_tree(tree.parent.name, lambda writer: _fill(writer, os.fspath(tree), entries))


def _fill(writer: TreeWriter, root: str, entries: Mapping[str, Entry]) -> None:
    names: dict[tuple[int, int], str] = {}  # of files that have several
    for path in sorted(entries):
        entry, source = entries[path], f"{root}/{path}" if path else root
        status = os.lstat(source)
        kind = "d" if stat.S_ISDIR(status.st_mode) else "l" if stat.S_ISLNK(status.st_mode) else "f"
        if kind != entry.kind:
            raise _damaged(source)
        mtime = int(status.st_mtime)
        if kind == "d" and not path:
            writer.root(entry.mode, mtime)
        elif kind == "d":
            writer.directory(path, entry.mode, mtime)
            if _opaque(source):
                writer.opaque(path)
        elif kind == "l":
            writer.symlink(path, os.readlink(source), mtime=mtime)
        elif status.st_nlink > 1 and (status.st_dev, status.st_ino) in names:
            writer.hardlink(path, names[status.st_dev, status.st_ino])
        else:
            names[status.st_dev, status.st_ino] = path
            writer.file(path, entry.mode, _compared(source, entry), mtime=mtime)


def _compared(source: str, entry: Entry) -> Iterator[bytes]:
    checksum = size = 0
    with open(os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            checksum, size = crc32(chunk, checksum), size + len(chunk)
            yield chunk
    if size != entry.size or entry.crc not in (None, checksum):
        raise _damaged(source)


def _opaque(source: str) -> bool:
    try:
        return os.getxattr(source, "user.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def _damaged(source: str) -> StoreError:
    return StoreError("store.damaged", "a file of the image is not as it was written", where=source,
                      hint="bareboat check --repair")


def room_for(need: int, most: int | None, store: Store) -> str:
    """Make room for so many bytes more: what nobody uses now and was not used for longest goes, until all of it takes
    at most `most` bytes (None: a quarter of its disk) and there is room on the disk. Returns why there is none, "" when
    there is. Raises StoreError.
    """
    disk = os.statvfs(store.home)
    most = disk.f_blocks * disk.f_frsize // 4 if most is None else most
    if need > most:
        return f"it takes {need:,} bytes, and the cache may take {most:,}"
    held = _held(store)
    spare = disk.f_bavail * disk.f_frsize - disk.f_blocks * disk.f_frsize // 50  # the last of a disk is for others
    allowed = min(most, sum(size for _, size in held) + spare) - need
    if allowed < 0:
        return f"it takes {need:,} bytes, and {max(spare, 0):,} are free"
    _trim(held, allowed, store)
    left = sum(size for _, size in _held(store))
    disk = os.statvfs(store.home)
    if need + left > most:
        return f"it takes {need:,} bytes, and what is in use now {left:,} of {most:,}"
    free = disk.f_bavail * disk.f_frsize
    return f"it takes {need:,} bytes, and {free:,} are free" if need > free else ""


def _held(store: Store) -> list[tuple[float, int]]:
    """When each tree was last used, and its size; the longest unused first."""
    found = []
    trees = store.home / "trees"
    for key in os.listdir(trees):
        for mark in ("synced", "boot"):
            try:
                used = (trees / key / mark).stat().st_mtime
                found.append((used, size_of(entries_of(trees / key / "root"))))
                break
            except FileNotFoundError:
                continue
            except (OSError, StoreError):
                break
    return sorted(found)


def _trim(held: list[tuple[float, int]], allowed: int, store: Store) -> None:
    from bareboat.store.gc import Policy

    total, oldest = sum(size for _, size in held), 0.0
    for used, size in held:
        if total <= allowed:
            break
        total, oldest = total - size, used
    if oldest:
        now = time.time()
        store.gc(Policy(older_than=now - oldest - 1e-3, grace=0.0, now=now))  # and those of the same moment
