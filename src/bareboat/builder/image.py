"""Plan → trees: what is missing is fetched and unpacked, each source once per machine; nothing is executed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import ArchiveError
from bareboat.image.plan import GeneratedFile, Plan
from bareboat.lock import Base

if TYPE_CHECKING:
    from bareboat.lock import BaseImage, CPython
    from bareboat.registry.base import Repository
    from bareboat.resolve.debian.archive import Archive
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sources:
    """Where missing packages come from. archive: made when a Debian package is missing; jobs: how many at once.

    images: opened when a layer of a base is missing. bytecode: compiles what a plan that is shipped lacks, where that
    can be done; None: what is there is taken. compression: of the layers that are shipped, "gzip" or "zstd".
    """

    archive: Callable[[str], Archive]
    jobs: int | None = None
    offline: bool = False
    images: Callable[[BaseImage], Repository] | None = None
    bytecode: Callable[[Plan], None] | None = None
    compression: str = "gzip"


@dataclass(frozen=True)
class Trees:
    """keys: store keys, bottom to top; bytecode: keys of what may be stacked on them once it is compiled.

    fetched, made: how many packages were downloaded and trees made just now; fetched_bytes: their size.
    """

    keys: tuple[str, ...]
    bytecode: tuple[str, ...]
    fetched: int = 0
    fetched_bytes: int = 0
    made: int = 0


def bottom_keys(plan: Plan) -> tuple[str, ...]:
    """Keys of what everything else of a plan stands on, bottom to top. Pure."""
    if plan.image is not None:
        from bareboat.builder.layers import image_tree_key

        return (image_tree_key(plan.image),)
    from bareboat.builder.base import base_tree_keys

    keys = base_tree_keys(base_of(plan))
    if plan.cpython is None:
        return keys
    from bareboat.builder.cpython import cpython_key

    return (*keys, cpython_key(plan.cpython))


def top_keys(plan: Plan) -> tuple[str, ...]:
    """Keys of what stands on the wheels: the generated files and the code, where there are any. Pure."""
    own = (generated_key(plan.generated),) if plan.generated else ()
    if plan.code is None:
        return own
    from bareboat.builder.code import code_tree_key

    return (*own, code_tree_key(plan.code))


def base_of(plan: Plan) -> Base:
    """The locked base of a plan."""
    python = plan.interpreter
    base = Base(plan.family, plan.suite, plan.date, plan.debs, python.version, python.full, plan.libc)
    if plan.image is None and plan.cpython is None:
        return base
    return replace(base, executable=python.executable, prefix=python.prefix, image=plan.image, cpython=plan.cpython)


def make_trees(store: Store, plan: Plan, sources: Sources, progress: Progress) -> Trees:
    """Every tree of a plan, made where it is missing. Idempotent; any number of processes at once.

    A blob that rotted on this disk is fetched again. Raises ResolveError for what cannot be fetched, ArchiveError
    for what is malformed or in conflict.
    """
    try:
        return _make_trees(store, plan, sources, progress)
    except ArchiveError:
        layers = plan.image.layers if plan.image is not None else ()
        if not drop_rotten(store, (*(w.sha256 for w in plan.wheels), *(d.sha256 for d in plan.debs),
                                   *(x.digest.removeprefix("sha256:") for x in layers))):
            raise
        return _make_trees(store, plan, sources, progress)


def drop_rotten(store: Store, digests: Iterable[str]) -> int:
    """Remove those of these blobs whose bytes are no longer what their names say; how many they were."""
    dropped = 0
    for digest in digests:
        blob = store.blob(digest)
        if blob is not None and file_digest(blob) != digest:
            store.remove_blob(digest)
            dropped += 1
    return dropped


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            whole.update(chunk)
    return whole.hexdigest()


def _make_trees(store: Store, plan: Plan, sources: Sources, progress: Progress) -> Trees:
    from bareboat.builder.base import make_base_trees
    from bareboat.builder.bytecode import pyc_keys
    from bareboat.builder.debs import deb_tree_key, unpacking
    from bareboat.builder.wheels import check_conflicts, fetch_and_unpack
    from bareboat.image.wheel import wheel_tree_key
    from bareboat.resolve.debian.fetch import fetch_debs, missing_debs
    from bareboat.resolve.download import Policy

    base, python = base_of(plan), plan.interpreter
    bottom = bottom_keys(plan)
    wheels = [wheel_tree_key(w, python) for w in plan.wheels]
    top = top_keys(plan)
    keys = (*bottom, *wheels, *top)
    missing = [k for k in keys if store.tree(k) is None]
    fetched = fetched_bytes = 0
    if plan.image is not None and bottom[0] in missing:
        from bareboat.builder.pulling import ensure

        fetched, fetched_bytes = ensure(store, plan.image, sources.images, progress)
    elif any(k in missing for k in bottom):
        debs = tuple(d for d in missing_debs(store, base) if store.tree(deb_tree_key(d.sha256)) is None)
        fetched, fetched_bytes = len(debs), sum(d.size for d in debs)
        if debs:
            absent_base = replace(base, packages=debs)
            with unpacking(store, absent_base) as arrived:
                fetch_debs(store, absent_base, sources.archive(plan.family), progress, arrived)
        make_base_trees(store, base)
        if plan.cpython is not None and bottom[-1] in missing:
            fetched_bytes += _unpack_cpython(store, plan.cpython, sources)
    lacking = [w for w, k in zip(plan.wheels, wheels, strict=True) if k in missing]
    if lacking:
        absent = [w for w in lacking if store.blob(w.sha256) is None]
        fetched, fetched_bytes = fetched + len(absent), fetched_bytes + sum(w.size for w in absent)
        fetch_and_unpack(store, lacking, python, progress, Policy(offline=sources.offline), sources.jobs or 0)
    if plan.generated and top[0] in missing:
        store.make_tree(top[0], lambda tree: write_generated(tree, plan.generated))
    if plan.code is not None and top[-1] in missing:
        from bareboat.builder.code import make_code_tree

        make_code_tree(store, plan.code)
    check_conflicts(store, plan.wheels, python)
    return Trees(keys, pyc_keys(plan), fetched, fetched_bytes, len(missing))


def _unpack_cpython(store: Store, cpython: CPython, sources: Sources) -> int:
    """The tree of a relocatable CPython; how many bytes were fetched for it."""
    from bareboat.builder.cpython import make_cpython_tree
    from bareboat.resolve.download import Download, Policy, fetch

    there = store.blob(cpython.sha256) is not None
    fetch(store, [Download(cpython.url, cpython.sha256, cpython.size, f"CPython {cpython.version}")],
          policy=Policy(offline=sources.offline))
    make_cpython_tree(store, cpython)
    return 0 if there else cpython.size


def generated_key(files: tuple[GeneratedFile, ...]) -> str:
    """The key of the tree of generated files: a function of them alone."""
    text = json.dumps([[f.path, f.mode, f.content, f.link] for f in files])
    return "gen-" + hashlib.sha256(text.encode()).hexdigest()


def write_generated(tree: TreeWriter, files: tuple[GeneratedFile, ...]) -> None:
    """The generated files, in byte order of their paths."""
    for f in sorted(files, key=lambda f: f.path.encode()):
        if f.link:
            tree.symlink(f.path, f.link)
        else:
            tree.file(f.path, f.mode, [f.content.encode()])
