"""Layers of other people's images → one tree to run from, by an ordinary user; nothing is executed. Decision 0105."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bareboat.errors import ArchiveError
from bareboat.lock import BaseImage, ImageLayer

TYPE_CHECKING = False  # the keys are on the way of every start
if TYPE_CHECKING:
    from bareboat.image.layerblob import LayerBlob
    from bareboat.image.layerlist import LayerEntry
    from bareboat.image.limits import Limits
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter

FORMAT = "1"  # part of an image's key: raised when the same layers would give another tree
LAYER_FORMAT = "2"  # part of a layer's: raised when its own tree is another
MOST_ENTRIES = 4_000_000  # of all layers of an image
MOST_DEPTH = 256

Progress = Callable[[str, int, int], None]


def layer_tree_key(diff_id: str) -> str:
    """The store's key of a layer's own tree: its files by number and the list of its entries. Pure."""
    return f"layer-{LAYER_FORMAT}-{diff_id.replace(':', '-')}"


def image_tree_key(image: BaseImage) -> str:
    """The store's key of an image's merged tree: a function of its DiffIDs and of what is taken out of it. Pure."""
    lines = [FORMAT, *(layer.diff_id for layer in image.layers), "", *image.removed]
    return "image-" + hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def unpack_layer(store: Store, layer: ImageLayer, limits: Limits | None = None) -> None:
    """Unpack a layer whose blob is in the store, verified against its digest when it was put there, into its own tree.

    Idempotent, atomic; the blob goes by once, in bounded memory. Owners, setuid bits, devices and extended attributes
    are listed, not made. Raises ArchiveError "layer.*", "tar.*", "tree.*", StoreError; then nothing is kept.
    """
    key = layer_tree_key(layer.diff_id)
    if store.tree(key) is not None:
        return
    from bareboat.image.layerblob import LayerBlob
    from bareboat.store.treewriter import Limits as TreeLimits

    blob = store.blob(layer.digest.partition(":")[2])
    if blob is None:
        raise _missing(layer)
    bound = limits or store.limits
    with open(blob, "rb", buffering=0) as file:

        def fill(tree: TreeWriter) -> None:
            file.seek(0)
            _fill(tree, LayerBlob(file, layer, bound), layer.digest, bound)

        store.make_tree(key, fill, limits=TreeLimits(bound.bytes, 2 * bound.entries))


def _fill(tree: TreeWriter, blob: LayerBlob, where: str, limits: Limits) -> None:
    from bareboat.image.layerlist import FILE, content_path, dump, entry_of
    from bareboat.image.limits import beyond
    from bareboat.image.tarstream import LAYER, TarStream

    stream = TarStream(blob, where, limits.bytes, LAYER)
    listed, number, count = bytearray(), 0, 0
    for member in stream:
        count += 1
        if count > limits.entries:
            raise beyond("entries", f"the layer has over {limits.entries:,} entries", where)
        entry = entry_of(member, number, where)
        if entry is None:
            continue
        if entry.kind == FILE:
            if tree.bytes_written + entry.size > limits.bytes:
                raise beyond("too-large", f"the layer unpacks to more than {limits.bytes:,} bytes",
                             f"{where}: /{entry.path[:200]}")
            tree.file(content_path(number), disk_mode(entry.mode), stream.chunks(), mtime=entry.mtime)
            number += 1
        listed += dump(entry)
    blob.finish()
    tree.file("entries", 0o644, [bytes(listed)])


def disk_mode(mode: int) -> int:
    """A file's mode in a tree: its owner can read it, and nobody becomes anyone else by it."""
    return mode & 0o777 | 0o400


def layer_entries(store: Store, diff_id: str) -> Iterator[LayerEntry]:
    """What is in a layer, in the order of its tar. Raises ArchiveError "layer.missing" when it is not unpacked."""
    from bareboat.image.layerlist import parse

    tree = store.tree(layer_tree_key(diff_id))
    if tree is None:
        raise ArchiveError("layer.missing", "the layer is not unpacked", where=diff_id)
    with open(tree / "entries", "rb") as file:
        yield from parse(file, f"{tree}/entries")


def make_image_tree(store: Store, image: BaseImage, limits: Limits | None = None,
                    progress: Progress = lambda _what, _done, _total: None) -> Path:
    """The merged tree of an image, made when it is missing: what an engine puts at the bottom of a run's root.

    Layers that are not unpacked are, several at a time; nothing is copied, files are hard links to their layers'.
    Idempotent, atomic. Raises ArchiveError: "layer.missing" for a blob that is needed and not there, and as
    unpack_layer and Merge do.
    """
    key = image_tree_key(image)
    found = store.tree(key)
    if found is not None:
        return found
    from bareboat.builder.workers import Workers

    unpack_layers(store, image.layers, limits, progress)
    with Workers(1, in_child(store, lambda own, _: _make(own, image)), store.home) as worker:
        worker.submit(0)
        worker.results()
    return _make(store, image)


def unpack_layers(store: Store, layers: Sequence[ImageLayer], limits: Limits | None, progress: Progress) -> None:
    """unpack_layer for those that are not there, largest first, in processes that can write in the store alone."""
    from bareboat.builder.workers import Workers
    from bareboat.host.files import processors

    unique = {layer.diff_id: layer for layer in layers}
    missing = [la for la in unique.values() if store.tree(layer_tree_key(la.diff_id)) is None]
    missing.sort(key=lambda la: -la.size)
    for layer in missing:
        if store.blob(layer.digest.partition(":")[2]) is None:
            raise _missing(layer)
    if missing:
        count = min(processors(), len(missing))
        with Workers(count, unpacker(store, missing, limits), store.home) as workers:
            for number in range(len(missing)):
                workers.submit(number)
            workers.results()
    progress("unpack", sum(la.size for la in missing), sum(la.size for la in missing))


def unpacker(store: Store, layers: Sequence[ImageLayer], limits: Limits | None = None) -> Callable[[int], None]:
    """The task of Workers that unpack these layers by number."""
    bound = limits or store.limits  # a child's own store has the defaults
    return in_child(store, lambda own, number: unpack_layer(own, layers[number], bound))


def in_child(store: Store, work: Callable[[Store, int], object]) -> Callable[[int], None]:
    """A task of Workers that has a store. A child opens it anew: leases belong to the process that took them."""
    opened: dict[int, Store] = {}
    parent = os.getpid()

    def task(number: int) -> None:
        own = opened.get(os.getpid())
        if own is None:
            own = opened[os.getpid()] = store if os.getpid() == parent else store.again()
        work(own, number)

    return task


def _missing(layer: ImageLayer) -> ArchiveError:
    return ArchiveError("layer.missing", "the layer is not in the store", where=layer.digest,
                        hint="pull the image again while the registry can be reached")


def _make(store: Store, image: BaseImage) -> Path:
    from bareboat.store.treewriter import Limits as TreeLimits

    return store.make_tree(image_tree_key(image), lambda tree: _merge(store, image, tree),
                           limits=TreeLimits(entries=MOST_ENTRIES, depth=MOST_DEPTH))


def _merge(store: Store, image: BaseImage, tree: TreeWriter) -> None:
    from bareboat.image.layerlist import DIRECTORY, FILE, SYMLINK, content_path
    from bareboat.image.layermerge import Merge
    from bareboat.image.plan import EPOCH

    merge = Merge(MOST_ENTRIES, MOST_DEPTH)
    roots = []
    for number, layer in enumerate(image.layers):
        root = store.tree(layer_tree_key(layer.diff_id))
        if root is None:
            raise ArchiveError("layer.missing", "the layer is not unpacked", where=layer.digest)
        roots.append(root)
        merge.apply(number, layer_entries(store, layer.diff_id), layer.digest)
    merge.drop(image.removed)
    for path, node in merge.nodes():
        entry = node.entry
        if entry.kind == DIRECTORY:
            mode, mtime = entry.mode & 0o1777 | 0o700, entry.mtime if entry.mtime >= 0 else EPOCH
            if path:
                tree.directory(path, mode, mtime)
            else:
                tree.root(mode, mtime)
        elif entry.kind == SYMLINK:
            tree.symlink(path, entry.link, mtime=entry.mtime)
        elif entry.kind == FILE:
            tree.link_file(roots[node.source] / content_path(entry.number), path)
