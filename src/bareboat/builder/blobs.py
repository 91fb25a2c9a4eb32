"""Trees and wheels → layer blobs: the form of an image that is shipped. Each is made once and kept in the store."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.builder.base import base_tree_keys
from bareboat.builder.bytecode import pyc_keys
from bareboat.builder.image import (
    Progress,
    Sources,
    base_of,
    bottom_keys,
    drop_rotten,
    make_trees,
    top_keys,
)
from bareboat.builder.recompress import ZSTD, ZSTD_LAYER, as_zstd
from bareboat.builder.stacking import bytecode_tree
from bareboat.builder.wheels import FileSource
from bareboat.errors import ArchiveError
from bareboat.host.files import processors
from bareboat.image.grouping import WheelGroup, group_wheels
from bareboat.image.layer import (
    DIRECTORY,
    FILE,
    SYMLINK,
    LayerDigests,
    TreeEntry,
    splice_group,
    store_tree,
)
from bareboat.image.plan import Interpreter, Plan
from bareboat.image.spec import Image, Layer, make_image
from bareboat.image.wheel import read_layout, wheel_tree_key
from bareboat.lock import BaseImage, Wheel
from bareboat.store.lending import true_modes

if TYPE_CHECKING:
    from bareboat.store import Store

LAYER_FORMAT = "1"  # part of every key below: raised when the same tree or wheel would give other bytes
BYTECODE_FORMAT = "1"  # likewise for what bytecode is in, and for libdeflate's version
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Recipe:
    """A layer to be. key: a function of all that decides its bytes; make: its chunks, which return its digests."""

    key: str
    what: str
    packages: tuple[str, ...]
    make: Callable[[], Generator[bytes, None, LayerDigests]]
    wheels: tuple[Wheel, ...] = ()  # whose files it takes to make it


def make_blobs(store: Store, plan: Plan, sources: Sources, progress: Progress) -> Image:
    """The image of a plan with all its blobs in the store, made where they are missing. Idempotent.

    What gc took is fetched again first; a wheel that rotted on this disk is, too. Raises ResolveError, ArchiveError
    and StoreError as make_trees does; every layer that was finished stays for the next time.
    """
    if plan.image is not None:
        from bareboat.builder.foreign import as_it_came, fetch_base, is_foreign

        fetch_base(store, plan.image, sources)
        if is_foreign(plan):
            return as_it_came(store, plan)
    make_trees(store, plan, sources, progress)
    if sources.bytecode is not None:
        sources.bytecode(plan)
    try:
        return _make_blobs(store, plan, sources, progress)
    except ArchiveError:
        if not drop_rotten(store, [w.sha256 for w in plan.wheels]):
            raise
        return _make_blobs(store, plan, sources, progress)


def _make_blobs(store: Store, plan: Plan, sources: Sources, progress: Progress) -> Image:
    recipes = list(layer_recipes(store, plan))
    known = {r.key: find_layer(store, r.key) for r in recipes}
    missing = [r for r in recipes if known[r.key] is None]
    absent = {w.sha256 for w in plan.wheels if store.blob(w.sha256) is None}
    needed = {w.sha256 for r in missing for w in r.wheels}
    fetch_wheels(store, [w for w in plan.wheels if w.sha256 in absent & needed], sources, progress)
    with ThreadPoolExecutor(max(1, min(sources.jobs or processors(), len(missing) or 1))) as pool:
        for count, (recipe, made) in enumerate(zip(missing, pool.map(lambda r: make_layer(store, r), missing),
                                                   strict=True)):
            known[recipe.key] = made
            progress("layers", count + 1, len(missing))
    layers, below = [], None
    if plan.image is not None:
        from bareboat.builder.foreign import base_config, base_layers

        layers, below = base_layers(plan.image), base_config(store, plan.image)
    for recipe in recipes:
        digests = known[recipe.key]
        assert digests is not None
        layers.append(Layer(digests, recipe.what, recipe.packages))
    if sources.compression == ZSTD:
        own = len(layers) - len(recipes)  # what is below ours stays as it came
        with ThreadPoolExecutor(max(1, sources.jobs or processors())) as pool:
            packed = list(pool.map(lambda x: as_zstd(store, x.digests), layers[own:]))
        layers[own:] = [replace(x, digests=d, media_type=ZSTD_LAYER) for x, d in zip(layers[own:], packed, strict=True)]
    image = make_image(plan, layers, below)
    for of, data in ((image.config_descriptor, image.config), (image.descriptor, image.manifest)):
        store.put_blob([data], sha256=of.digest.removeprefix("sha256:"))
    return image


def wheel_groups(plan: Plan) -> tuple[WheelGroup, ...]:
    """The plan's wheels as layers, as many as its base leaves room for."""
    return group_wheels(plan.wheels, len(plan.image.layers) if plan.image is not None else len(bottom_keys(plan)))


def layer_recipes(store: Store, plan: Plan) -> Iterator[Recipe]:
    """Every layer of a plan, bottom to top: base, its bytecode, wheels with theirs, generated files, code.

    Its trees must be in the store. Bytecode that is not there is left out.
    """
    compiled = bytecode_of(plan)
    base, python = base_of(plan), plan.interpreter
    if plan.image is not None and plan.image.removed:
        yield _removals(store, plan.image)
    for number, key in enumerate(() if plan.image is not None else base_tree_keys(base)):
        debs = [d for d in plan.debs if bool(d.extra) == bool(number)]
        what = f"{len(debs)} more system packages" if number else \
            f"{plan.family} {plan.suite} with Python {python.full}, {len(debs)} packages"
        yield _tree_recipe(store, key, what, tuple(f"{d.name}={d.version}" for d in debs))
    if plan.cpython is not None:
        key = bottom_keys(plan)[-1]
        yield _tree_recipe(store, key, f"CPython {plan.cpython.version}", (f"python=={plan.cpython.version}",))
    base_key = compiled.get("", "")
    if base_key and (tree := store.tree(base_key)) is not None and next(_bytecode(tree), None) is not None:
        yield Recipe(_compiled_key([base_key]), "bytecode of the standard library", (),
                     partial(_bytecode_layer, store, (base_key,)))
    for group in wheel_groups(plan):
        what = ", ".join(f"{w.name} {w.version}" for w in group.wheels)
        if group.bucket >= 0:
            what = f"{len(group.wheels)} packages that share layer {group.bucket}"
        packages = tuple(f"{w.name}=={w.version} sha256:{w.sha256}" for w in group.wheels)
        twins = tuple(compiled.get(wheel_tree_key(w, python), "") for w in group.wheels)
        yield Recipe(layer_key(store, group, plan), what, packages,
                     partial(wheel_layer, store, group.wheels, python, twins), group.wheels)
    for key in top_keys(plan):
        yield _tree_recipe(store, key, "generated files" if key.startswith("gen-") else "code", ())


def _removals(store: Store, image: BaseImage) -> Recipe:
    """The layer of whiteouts on a base of others."""
    from bareboat.builder.foreign import removals
    from bareboat.builder.layers import image_tree_key

    key = image_tree_key(image)

    def make() -> Generator[bytes, None, LayerDigests]:
        tree = store.tree(key)
        if tree is None:
            raise ArchiveError("layer.tree", f"the tree {key} is not in the store", hint="run the command again")
        return store_tree(removals(tree, image.removed))

    return Recipe(f"layer-{LAYER_FORMAT}-without-{key}", f"without {len(image.removed)} files of the base", (), make)


def group_key(group: WheelGroup, python: Interpreter) -> str:
    """The key of a layer of wheels."""
    keys = [wheel_tree_key(w, python) for w in group.wheels]
    if len(keys) > 1:
        keys = ["group-" + hashlib.sha256("\n".join(keys).encode()).hexdigest()]
    return f"layer-{LAYER_FORMAT}-{keys[0]}"


def layer_key(store: Store, group: WheelGroup, plan: Plan) -> str:
    """As group_key, of the layer with the bytecode that there is of its wheels."""
    plain, compiled = group_key(group, plan.interpreter), bytecode_of(plan)
    twins = [compiled.get(wheel_tree_key(w, plan.interpreter), "") for w in group.wheels]
    there = [twin if twin and bytecode_tree(store, twin) is not None else "" for twin in twins]
    return _compiled_key([plain, *there]) if any(there) else plain


def _compiled_key(keys: Sequence[str]) -> str:
    whole = hashlib.sha256("\n".join((BYTECODE_FORMAT, *keys)).encode()).hexdigest()
    return f"layer-{LAYER_FORMAT}-compiled-{whole}"


def bytecode_of(plan: Plan) -> dict[str, str]:
    """The key of a wheel's tree → that of its twin with bytecode; "" for the base's. Pure."""
    keys = pyc_keys(plan)
    wheels = dict.fromkeys(wheel_tree_key(w, plan.interpreter) for w in plan.wheels)
    return dict(zip(["", *wheels], keys, strict=True)) if keys else {}


def _bytecode(tree: Path) -> Iterator[TreeEntry]:
    return (e for e in tree_entries(tree) if e.kind == FILE and e.path.endswith(".pyc"))


def _bytecode_layer(store: Store, keys: Sequence[str]) -> Generator[bytes, None, LayerDigests]:
    """A layer of nothing but bytecode."""
    return splice_group((), _beside(store, keys, frozenset()))


def _beside(store: Store, keys: Sequence[str], taken: frozenset[str]) -> list[TreeEntry]:
    """Files of bytecode in some trees, sorted, each path once; those that a wheel brings itself are not among them."""
    found: dict[str, TreeEntry] = {}
    for key in keys:
        tree = bytecode_tree(store, key) if key else None
        for entry in _bytecode(tree) if tree is not None else ():
            if entry.path not in taken:
                found.setdefault(entry.path, entry)
    return [found[path] for path in sorted(found, key=str.encode)]


def _tree_recipe(store: Store, key: str, what: str, packages: tuple[str, ...]) -> Recipe:
    def make() -> Generator[bytes, None, LayerDigests]:
        root = store.tree(key)
        if root is None:
            raise ArchiveError("layer.tree", f"the tree {key} is not in the store", hint="run the command again")
        return store_tree(tree_entries(root))

    return Recipe(f"layer-{LAYER_FORMAT}-{key}", what, packages, make)


def wheel_layer(store: Store, wheels: Sequence[Wheel], python: Interpreter, twins: Sequence[str] = ()) -> Generator[
        bytes, None, LayerDigests]:
    """The layer of some wheels, spliced from their blobs; twins: keys of trees with their bytecode, where there is any.

    Raises ArchiveError "wheel.*".
    """
    with ExitStack() as opened:
        parts = []
        for w in wheels:
            blob = store.blob(w.sha256)
            if blob is None:
                raise ArchiveError("wheel.missing", "the wheel is not in the store", where=w.filename,
                                   hint="run again while the package index can be reached")
            source = opened.enter_context(FileSource(blob))
            parts.append((source, read_layout(source, w, python)))
        taken = frozenset(e.path for _, layout in parts for e in layout.entries)
        return (yield from splice_group(parts, _beside(store, twins, taken)))


def fetch_wheels(store: Store, wheels: Sequence[Wheel], sources: Sources, progress: Progress) -> None:
    """Bring wheels' files back that gc took while their trees stayed. Raises ResolveError "download.*", and
    ArchiveError "wheel.missing" for one that was built here.
    """
    if not wheels:
        return
    from bareboat.resolve.download import DEFAULT, Download, fetch

    for w in wheels:
        if not w.url:
            raise ArchiveError("wheel.missing", f"the wheel built from {w.built_from or 'source'} is not in the store",
                               where=w.filename, hint="build it again from its project: bareboat lock, bareboat build")
    fetch(store, [Download(w.url, w.sha256, w.size, w.filename) for w in wheels],
          lambda p: progress("fetch", p.done, p.total), replace(DEFAULT, offline=sources.offline))


def make_layer(store: Store, recipe: Recipe) -> LayerDigests:
    """A layer's blob in the store, and the note by which it is found again. Idempotent, atomic."""
    found: list[LayerDigests] = []

    def chunks() -> Iterator[bytes]:
        found.append((yield from recipe.make()))

    digest = store.put_blob(chunks(), where=recipe.what)
    made = found[0]
    assert made.digest == f"sha256:{digest}"
    store.put_json("cache", recipe.key, {**made.__dict__, "blobs": [digest]})
    return made


def find_layer(store: Store, key: str) -> LayerDigests | None:
    """A layer that was made before and whose blob is still there."""
    note = store.get_json("cache", key)
    if not isinstance(note, dict) or store.blob(note["digest"].removeprefix("sha256:")) is None:
        return None
    return LayerDigests(note["digest"], note["size"], note["diff_id"], note["tar_size"])


def tree_entries(root: Path) -> Iterator[TreeEntry]:
    """A tree's entries in byte order of their paths, whatever order the directory gives them in.

    Every name is a file of its own, also where the disk has hard links: whether it has is the disk's affair, and
    must not be in the digest. Owners and times are not read. Raises ArchiveError "layer.kind" for a device or fifo.
    """
    top = os.fsencode(root)
    meant = true_modes(root)
    for path in sorted(_walk(top)):
        full = top + b"/" + path
        status = os.lstat(full)
        name = path.decode("utf-8", "surrogateescape")
        mode = meant.get(name, stat.S_IMODE(status.st_mode))
        if stat.S_ISDIR(status.st_mode):
            yield TreeEntry(name, mode, DIRECTORY)
        elif stat.S_ISLNK(status.st_mode):
            yield TreeEntry(name, 0o777, SYMLINK, link=os.readlink(full).decode("utf-8", "surrogateescape"))
        elif stat.S_ISREG(status.st_mode):
            yield TreeEntry(name, mode, FILE, status.st_size, chunks=_reader(full))
        else:
            raise ArchiveError("layer.kind", "neither file, link nor directory", where=f"/{name}")


def _walk(top: bytes) -> Iterator[bytes]:
    pending = [b""]
    while pending:
        folder = pending.pop()
        with os.scandir(top + b"/" + folder) as entries:
            for entry in entries:
                path = folder + b"/" + entry.name if folder else entry.name
                yield path
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)


def _reader(path: bytes) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            while chunk := os.read(fd, _CHUNK):
                yield chunk
        finally:
            os.close(fd)

    return chunks
