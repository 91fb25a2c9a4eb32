"""What takes how much room, and which images share it; a file with several names counts once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from bareboat.store.disk_errors import disk_error
from bareboat.store.paths import Layout
from bareboat.store.references import BLOB, DOCUMENT, TREE, Ref
from bareboat.store.survey import Survey


@dataclass(frozen=True)
class Amount:
    """count: things; bytes: on disk; reclaimable: bytes of those that no tag, record or image needs."""

    count: int
    bytes: int
    reclaimable: int = 0


@dataclass(frozen=True)
class ImageUse:
    """An image: its plan digest or project key, its names, tree keys, bytes of them all and of those only
    it has.
    """

    key: str
    names: tuple[str, ...]
    trees: tuple[str, ...]
    bytes: int
    unique: int
    used: float


@dataclass(frozen=True)
class Usage:
    """kinds: "blobs", "trees", "documents", "runs", "volumes", "sessions", "code", "work in progress" → amount;
    total: bytes of all of them.
    """

    kinds: tuple[tuple[str, Amount], ...]
    images: tuple[ImageUse, ...]
    total: int
    free: int


@dataclass
class _Counter:
    """Bytes by owner, each inode to the first who has it; and per tree, all of its inodes."""

    seen: set[tuple[int, int]] = field(default_factory=set)

    def own(self, path: str) -> tuple[int, dict[tuple[int, int], int]]:
        """Bytes not counted before, and the size of every inode below path."""
        fresh, inodes = 0, {}
        pending = [path]
        while pending:
            current = pending.pop()
            try:
                status = os.lstat(current)
                if (status.st_mode & 0o170000) == 0o040000:
                    with os.scandir(current) as entries:
                        pending.extend(entry.path for entry in entries)
            except OSError:
                continue
            key, size = (status.st_dev, status.st_ino), status.st_blocks * 512
            inodes[key] = size
            if key not in self.seen:
                self.seen.add(key)
                fresh += size
        return fresh, inodes


def usage(layout: Layout) -> Usage:
    """See Store.usage. Raises StoreError."""
    try:
        return _usage(layout)
    except OSError as error:
        raise disk_error(error, layout.home) from error


def _usage(layout: Layout) -> Usage:
    survey, counter = Survey(), _Counter()
    survey.read(layout)
    roots = {ref for found in (*survey.tags.values(), *survey.runs.values()) for ref in found}
    needed = survey.closure(frozenset(roots | {item.ref for item in survey.images()}))
    kinds = {name: [0, 0, 0] for name in ("blobs", "trees", "documents", "runs", "volumes", "sessions", "code",
                                          "work in progress")}
    names = {BLOB: "blobs", TREE: "trees", DOCUMENT: "documents"}
    inodes: dict[str, dict[tuple[int, int], int]] = {}
    for ref, item in sorted(survey.items.items()):
        fresh, held = counter.own(item.path)
        if ref.kind == TREE:
            inodes[ref.key] = held
        _count(kinds[names[ref.kind]], fresh, fresh if ref not in needed else 0)
    for name, folder in (("runs", "runs"), ("volumes", "volumes"), ("sessions", "sessions"), ("code", "checkouts"),
                         ("work in progress", "tmp"), ("documents", "documents")):
        for entry in _listed(layout.at(folder)):
            fresh, _ = counter.own(layout.at(folder, entry))
            _count(kinds[name], fresh, 0, 0 if name == "documents" else 1)
    amounts = tuple((name, Amount(*numbers)) for name, numbers in kinds.items())
    status = os.statvfs(layout.home)
    return Usage(
        amounts, _images(survey, inodes), sum(a.bytes for _, a in amounts), status.f_bavail * status.f_frsize
    )


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:  # of a store from before there was such a thing
        return []


def _count(numbers: list[int], size: int, reclaimable: int, count: int = 1) -> None:
    numbers[0] += count
    numbers[1] += size
    numbers[2] += reclaimable


def _images(survey: Survey, inodes: dict[str, dict[tuple[int, int], int]]) -> tuple[ImageUse, ...]:
    """Images with their own and shared bytes; two documents of the same trees (a plan and its project) are
    one.
    """
    names: dict[Ref, list[str]] = {}
    for name, found in survey.tags.items():
        for ref in found:
            names.setdefault(ref, []).append(name)
    trees_of: dict[tuple[str, ...], list[tuple[Ref, float]]] = {}
    for item in survey.images():
        trees = tuple(sorted(r.key for r in survey.closure(frozenset({item.ref})) if r.kind == TREE))
        trees_of.setdefault(trees, []).append((item.ref, item.used))
    owners: dict[tuple[int, int], int] = {}
    held: dict[tuple[str, ...], dict[tuple[int, int], int]] = {}
    for trees in trees_of:
        held[trees] = {i: size for key in trees for i, size in inodes.get(key, {}).items()}
        for inode in held[trees]:
            owners[inode] = owners.get(inode, 0) + 1
    images = []
    for trees, documents in trees_of.items():
        called = sorted({name for ref, _ in documents for name in names.get(ref, ())})
        plans = sorted(ref.key for ref, _ in documents)
        unique = sum(size for inode, size in held[trees].items() if owners[inode] == 1)
        images.append(
            ImageUse(
                plans[0].split("/", 1)[1],
                tuple(called),
                trees,
                sum(held[trees].values()),
                unique,
                max(used for _, used in documents),
            )
        )
    return tuple(sorted(images, key=lambda image: (-image.used, image.key)))
