"""The image of a run on the node's own disk, where the settings name a place for it (decision 0171).

It only ever helps: whatever stands in its way, the run reads its image where it is, and a line says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bareboat.errors import BareboatError
from bareboat.store import Store
from bareboat.values import replace
from bareboat.verbs.collaborators import Work
from bareboat.workload import Workload

AT_ONCE = 8  # trees that are copied at once: a network file system answers late, not slowly
SETTING = "cluster.cache"
FED = ("docker", "podman", "pyxis")  # engines that get an image, and have a place of their own for it


@contextmanager
def brought(load: Workload, work: Work) -> Iterator[Workload]:
    """The workload over this node's copies of its trees, which are this process's until the end; as it is where no
    place is named, and where that does not work. Jobs that begin at once copy a tree once, and wait for each other.
    """
    if work.settings.cluster_cache is None or work.engine.name in FED:
        yield load
        return
    store = None
    try:
        store = _store(work.settings.cluster_cache)
        load = replace(load, root=replace(load.root, trees=_near(load.root.trees, store, work)))
    except (BareboatError, OSError) as error:
        work.tell.say(f"{SETTING} is not used: {_words(error)}")
    try:
        yield load
    finally:
        if store is not None:
            _let_go(store, work)


def _store(folder: Path) -> Store:
    """Raises StoreError "copies.place" for a place that is not this node's, or not the user's alone."""
    from bareboat.errors import StoreError
    from bareboat.host.files import filesystem
    from bareboat.store.copies import own_place

    place = own_place(folder)
    found = filesystem(place)
    if not found.local:
        raise StoreError("copies.place", f"it is on {found.type}, which is no disk of this node's", where=str(place))
    return Store.open(place)


def _near(trees: Sequence[Path], store: Store, work: Work) -> tuple[Path, ...]:
    """Each tree's copy, made where it is missing; the tree itself where it could not be."""
    keys = [tree.parent.name for tree in trees]
    if None not in (found := store.trees(keys)):
        return tuple(tree for tree in found if tree is not None)
    with store.turn(SETTING):  # so that room which was made is there for who made it
        missing = [tree for tree, copy in zip(trees, store.trees(keys), strict=True) if copy is None]
        if missing:
            _copy(missing, store, work)
        return tuple(copy or tree for tree, copy in zip(trees, store.trees(keys), strict=True))


def _copy(trees: Sequence[Path], store: Store, work: Work) -> None:
    import time
    from concurrent.futures import ThreadPoolExecutor

    from bareboat.store.copies import copied, entries_of, room_for, size_of
    from bareboat.units import format_size

    listed = [(tree, entries_of(tree)) for tree in trees]
    need = sum(size_of(entries) for _, entries in listed)
    if wrong := room_for(need, work.settings.cluster_cache_size, store):
        work.tell.say(f"the image is read from the shared store: {wrong}")
        return
    began, troubles = time.monotonic(), []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(copied, tree, entries, store) for tree, entries in listed]:
            try:
                done.result()
            except (BareboatError, OSError) as error:
                troubles.append(_words(error))
    if troubles:
        work.tell.say(f"{len(troubles)} layers of the image are read from the shared store: {troubles[0]}")
    work.tell.say(f"copied {len(listed) - len(troubles)} layers of the image ({format_size(need)}) to {store.home} in "
                  f"{time.monotonic() - began:.1f} s")


def _let_go(store: Store, work: Work) -> None:
    """Have what was copied survive the node's next start; nobody waits by now."""
    try:
        if store.unsettled():
            store.settle()
    except (BareboatError, OSError) as error:
        work.tell.detail(f"{SETTING}: {_words(error)}")
    store.close()


def _words(error: Exception) -> str:
    if isinstance(error, BareboatError):
        return f"{error.where}: {error.what}" if error.where else error.what
    return str(error)
