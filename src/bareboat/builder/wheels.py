"""Wheels become trees: each once per machine, straight from the archive into the store, several at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bareboat.builder.workers import Workers
from bareboat.errors import ArchiveError
from bareboat.host.files import processors
from bareboat.image.plan import Interpreter
from bareboat.image.wheel import Claims, Layout, chunks, find_conflict, read_layout, wheel_tree_key
from bareboat.lock import Wheel
from bareboat.resolve.download import DEFAULT, Download, Policy, fetch

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter

__all__ = [
    "FileSource",
    "check_conflicts",
    "fetch_and_unpack",
    "make_wheel_tree",
    "make_wheel_trees",
    "wheel_tree_key",
]


class FileSource:
    """A blob as a Source: positioned reads, so that threads may share it and nothing is mapped into memory.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self.size = os.fstat(self._fd).st_size

    def read_at(self, offset: int, count: int) -> bytes:
        data = os.pread(self._fd, count, offset)
        if len(data) < count and offset + len(data) < self.size:  # a short read: the kernel may stop at 2 GiB
            parts = [data]
            done = len(data)
            while done < count and (more := os.pread(self._fd, count - done, offset + done)):
                parts.append(more)
                done += len(more)
            data = b"".join(parts)
        return data

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def make_wheel_tree(store: Store, wheel: Wheel, interp: Interpreter) -> Path:
    """The wheel as a read-only tree in the store, made if it is not there. Idempotent, atomic.

    The wheel's blob must be in the store. Raises ArchiveError "wheel.*" and leaves nothing behind.
    """
    key = wheel_tree_key(wheel, interp)
    found = store.tree(key)
    if found is not None:
        return found
    blob = store.blob(wheel.sha256)
    if blob is None:
        raise _missing(wheel)
    with FileSource(blob) as source:
        layout = read_layout(source, wheel, interp)

        def fill(tree: TreeWriter) -> None:
            for entry in layout.entries:
                tree.file(entry.path, entry.mode, chunks(source, entry, wheel.filename))
            _note(store, key, layout, interp)

        return store.make_tree(key, fill)


def make_wheel_trees(
    store: Store,
    wheels: Sequence[Wheel],
    interp: Interpreter,
    jobs: int = 0,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> list[Path]:
    """The trees of several wheels, in the order of `wheels`; made in parallel, largest first. As
    make_wheel_tree.

    jobs: workers, 0 for one a processor. progress: called with the file's name, packed bytes done and in all.
    """
    missing = [w for w in wheels if store.tree(wheel_tree_key(w, interp)) is None]
    missing.sort(key=lambda w: -w.size)
    if len(missing) == 1:
        make_wheel_tree(store, missing[0], interp)
    elif missing:
        with Workers(min(jobs or processors(), len(missing)), _unpacker(store, missing, interp)) as workers:
            for number in range(len(missing)):
                workers.submit(number)
            workers.results()
    progress("unpack", sum(w.size for w in missing), sum(w.size for w in missing))
    return [make_wheel_tree(store, w, interp) for w in wheels]


def fetch_and_unpack(
    store: Store,
    wheels: Sequence[Wheel],
    interp: Interpreter,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    policy: Policy = DEFAULT,
    jobs: int = 0,
) -> list[Path]:
    """Trees of all wheels, fetching what is missing: each is unpacked as soon as it has arrived.

    jobs: workers that unpack, 0 for one a processor. Idempotent. Raises ResolveError "download.*" and
    ArchiveError "wheel.*"; what was done by then stays.
    """
    missing = [w for w in wheels if store.tree(wheel_tree_key(w, interp)) is None]
    if missing:
        _check_sources(store, missing)
        numbers = {w.sha256: n for n, w in enumerate(missing)}
        items = [Download(w.url, w.sha256, w.size, w.filename) for w in missing]
        with Workers(min(jobs or processors(), len(missing)), _unpacker(store, missing, interp)) as workers:
            fetch(
                store,
                items,
                lambda p: progress("fetch", p.done, p.total),
                policy,
                lambda item: workers.submit(numbers[item.sha256]),
            )
            workers.results()
    return [make_wheel_tree(store, w, interp) for w in wheels]


def _unpacker(store: Store, wheels: Sequence[Wheel], interp: Interpreter) -> Callable[[int], None]:
    """The task of a worker. It opens the store anew: leases belong to the process that took them."""
    opened: dict[int, Store] = {}

    def task(number: int) -> None:
        own = opened.get(os.getpid())
        if own is None:
            own = opened[os.getpid()] = store if os.getpid() == parent else store.again()
        make_wheel_tree(own, wheels[number], interp)

    parent = os.getpid()
    return task


def _check_sources(store: Store, wheels: Sequence[Wheel]) -> None:
    """A wheel that was built here has no address: it is in the store or must be built again."""
    for w in wheels:
        if not w.url and store.blob(w.sha256) is None:
            raise ArchiveError(
                "wheel.missing",
                f"the wheel built from {w.built_from or 'source'} is not in the store",
                where=w.filename,
                hint="lock again to build it: bareboat lock",
            )


def check_conflicts(store: Store, wheels: Sequence[Wheel], interp: Interpreter) -> None:
    """Refuse wheels that claim one path with different bytes, or as a file and a directory (traps 14,
    IMAGES.md 5).

    Equal bytes are fine: every nvidia wheel has an empty nvidia/__init__.py. Only wheels that share a
    top-level name are looked at closely. Raises ArchiveError "wheel.conflict" that names both wheels and the
    path.
    """
    tops: dict[str, list[int]] = {}
    others: list[Claims] = []
    for number, w in enumerate(wheels):
        claims = _manifest(store, w, interp, "tops")
        for top in claims["tops"]:
            tops.setdefault(top, []).append(number)
        others.append((w.filename, claims["files"]))
    shared = {top: numbers for top, numbers in tops.items() if len(numbers) > 1}
    close: dict[int, list[tuple[str, tuple[int, str]]]] = {}
    site = interp.site.lstrip("/") + "/"
    for number in sorted({n for numbers in shared.values() for n in numbers}):
        files = _manifest(store, wheels[number], interp, "manifest")["files"]
        close[number] = [
            (p, f)
            for p, f in files.items()
            if p.startswith(site) and p[len(site) :].partition("/")[0] in shared
        ]
    found = find_conflict(others) or find_conflict([(wheels[n].filename, dict(f)) for n, f in close.items()])
    if found is not None:
        first, second, path = found
        raise ArchiveError(
            "wheel.conflict",
            f"{first} and {second} both install /{path}, with different content",
            where=f"/{path}",
            hint="remove one of the two from the dependencies: only one can be at that path",
        )


def _manifest(store: Store, wheel: Wheel, interp: Interpreter, kind: str) -> dict[str, Any]:
    """What make_wheel_tree noted about a tree, worked out again from the archive where the note is gone."""
    key = wheel_tree_key(wheel, interp)
    found = store.get_json("cache", f"{kind}-{key}")
    if isinstance(found, dict):
        return found
    blob = store.blob(wheel.sha256)
    if blob is None:
        raise _missing(wheel)
    with FileSource(blob) as source:
        _note(store, key, read_layout(source, wheel, interp), interp)
    noted = store.get_json("cache", f"{kind}-{key}")
    assert isinstance(noted, dict)
    return noted


def _note(store: Store, key: str, layout: Layout, interp: Interpreter) -> None:
    """Keep what a tree holds, for finding conflicts without reading trees. Two notes, the short one read
    first.

    tops: names directly in site-packages; files of the short note: everything that lies elsewhere (bin,
    share).
    """
    site = interp.site.lstrip("/") + "/"
    files = {e.path: [e.size, e.digest] for e in layout.entries}
    tops = sorted({p[len(site) :].partition("/")[0] for p in files if p.startswith(site)})
    store.put_json("cache", f"manifest-{key}", {"files": files})
    store.put_json(
        "cache",
        f"tops-{key}",
        {"tops": tops, "files": {p: f for p, f in files.items() if not p.startswith(site)}},
    )


def _missing(wheel: Wheel) -> ArchiveError:
    return ArchiveError(
        "wheel.missing",
        "the wheel is not in the store",
        where=wheel.filename,
        hint="run again while the package index can be reached",
    )
