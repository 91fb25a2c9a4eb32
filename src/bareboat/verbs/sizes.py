"""inspect --sizes: where the megabytes of an image go, what is in it twice, and what this machine cannot use."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.image.twice import Advice, Owned, Twice, for_gpus, same_content, same_library
from bareboat.verbs.collaborators import Work

if TYPE_CHECKING:
    from bareboat.image.plan import Plan


@dataclass(frozen=True)
class Share:
    """A package's part. bytes: on disk; packed: of its archive, 0 where that is not known; files: how many."""

    package: str
    bytes: int
    files: int
    packed: int = 0


@dataclass(frozen=True)
class LayerShare:
    """A layer of the shipped image. packed: of its blob, 0 while that has not been made."""

    what: str
    bytes: int
    packed: int


@dataclass(frozen=True)
class Sizes:
    """bytes, files: of the whole; packages and layers, largest first; twice: most wasteful first; wasted: their sum,
    where a file that is twice in two ways counts once. advice: None on a machine with a GPU.
    """

    plan: str
    bytes: int
    files: int
    packages: tuple[Share, ...]
    layers: tuple[LayerShare, ...]
    twice: tuple[Twice, ...]
    wasted: int
    advice: Advice | None


def sizes(plan: Plan, work: Work, gpus: Sequence[str]) -> Sizes:
    """The account of a plan whose trees are in the store. gpus: this machine's."""
    from bareboat.builder.image import file_digest
    from bareboat.builder.owners import owned_files

    files = list(owned_files(work.store, plan))
    totals: dict[str, list[int]] = {}
    for file in files:
        total = totals.setdefault(file.package, [0, 0])
        total[0] += file.size
        total[1] += 1
    packed = {f"{w.name} {w.version}": w.size for w in plan.wheels}
    packed |= {f"{d.name} {d.version}": d.size for d in plan.debs}
    shares = [Share(name, size, count, packed.get(name, 0)) for name, (size, count) in totals.items()]
    equal = same_content(files, lambda f: file_digest(Path(f.place)))
    builds = same_library(files, _soname, equal)
    advice = None
    if not gpus:
        words = ((*s.package.rpartition(" "), s.bytes) for s in shares)
        advice = for_gpus([(name, version, size) for name, _, version, size in words])
    return Sizes(plan.digest, sum(f.size for f in files), len(files),
                 tuple(sorted(shares, key=lambda s: (-s.bytes, s.package))), _layers(plan, files, work),
                 tuple(sorted((*equal, *builds), key=lambda t: -t.extra)), _wasted((*builds, *equal)), advice)


def _wasted(twice: Sequence[Twice]) -> int:
    """Bytes that would go if of each only the largest stayed; no file counts twice."""
    seen: set[tuple[str, str]] = set()
    total = 0
    for t in twice:
        keep = max(t.places, key=lambda p: p[2])
        for place in t.places:
            if place != keep and place[:2] not in seen:
                seen.add(place[:2])
                total += place[2]
    return total


def _soname(file: Owned) -> str:
    from bareboat.image import ldcache

    try:
        with open(file.place, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return ldcache.soname(data) if data[:4] == b"\x7fELF" else ""  # type: ignore[arg-type]
    except (OSError, ValueError):
        return ""


def _layers(plan: Plan, files: Sequence[Owned], work: Work) -> tuple[LayerShare, ...]:
    """The layers as they are shipped: a base's own, then groups of wheels."""
    from bareboat.builder.blobs import LAYER_FORMAT, find_layer, layer_key, wheel_groups
    from bareboat.builder.image import bottom_keys
    from bareboat.builder.layers import layer_tree_key
    from bareboat.verbs.images import room

    found = []
    if plan.image is not None:
        for number, layer in enumerate(plan.image.layers, 1):
            tree = work.store.tree(layer_tree_key(layer.diff_id))
            found.append(LayerShare(f"layer {number} of the base", room(tree)[0], layer.size))
    else:
        for number, key in enumerate(bottom_keys(plan)):
            what = "more system packages" if number else f"{plan.family} {plan.suite}"
            made = find_layer(work.store, f"layer-{LAYER_FORMAT}-{key}")
            found.append(LayerShare(what, room(work.store.tree(key))[0], made.size if made else 0))
    totals: dict[str, int] = {}
    for file in files:
        totals[file.package] = totals.get(file.package, 0) + file.size
    for group in wheel_groups(plan):
        names = [f"{w.name} {w.version}" for w in group.wheels]
        made = find_layer(work.store, layer_key(work.store, group, plan))
        what = names[0] if group.bucket < 0 and len(names) == 1 else f"{len(names)} packages: {', '.join(names)}"
        found.append(LayerShare(what, sum(totals.get(n, 0) for n in names), made.size if made else 0))
    return tuple(sorted(found, key=lambda x: (-x.bytes, x.what)))
