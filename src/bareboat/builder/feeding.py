"""The store's images into engines that have an image store of their own: docker and podman.

What is fed is the image that would be shipped, its layers the same blobs, and one small layer more: the first process
of a container (engine/init.py), and directories that whoever runs it may write to. Its config says nothing of its own:
environment, user and command are the workload's.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.builder.blobs import make_blobs, tree_entries
from bareboat.builder.outgoing import blob_chunks
from bareboat.engine import init
from bareboat.engine.docker import Loader
from bareboat.engine.oci_command import HOME
from bareboat.engine.oci_program import find
from bareboat.image.layer import DIRECTORY, FILE, LayerDigests, TreeEntry, store_tree
from bareboat.image.layout import REF_NAME, Member, members, tar_of
from bareboat.image.plan import Plan
from bareboat.image.spec import (
    CONFIG,
    CREATED,
    LAYER,
    MANIFEST,
    Descriptor,
    Image,
    canonical,
    describe,
    image_index,
    platform_document,
)
from bareboat.workload import Workload

if TYPE_CHECKING:
    from bareboat.builder.image import Sources
    from bareboat.store import Store

FORMAT = 2  # raised when the same plan would be fed as other bytes
REPOSITORY = "bareboat/image"  # all that is seen of it among a user's own images


@dataclass(frozen=True)
class Fed:
    """An image as an engine gets it, all its blobs in the store."""

    image: Image
    diff_ids: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """What engines call it: the config's digest, or Docker with containerd's store the manifest's."""
        return self.image.config_descriptor.digest, self.image.descriptor.digest

    @property
    def podmans(self) -> str:
        """Its whole name, which podman asks for."""
        return f"localhost/{REPOSITORY}:{self.tag}"

    @property
    def tag(self) -> str:
        """Its tag: a function of its bytes, so that no name is ever given twice."""
        return self.image.config_descriptor.digest.removeprefix("sha256:")[:12]


class Feeding:
    """Images of a store for an engine. plan: the plan of a blob; sources: where what is missing comes from."""

    def __init__(self, store: Store, plan: Callable[[str], Plan], sources: Callable[[], Sources],
                 say: Callable[[str], None], progress: Callable[[str, int, int], None]) -> None:
        self._store, self._plan, self._sources, self._say, self._progress = store, plan, sources, say, progress

    def ids(self, workload: Workload) -> tuple[str, ...]:
        """What the image may be called where it was fed before; () when it never was."""
        note = self._store.get_json("cache", _key(workload))
        return tuple(note["ids"]) if isinstance(note, dict) else ()

    def bring(self, workload: Workload, engine: Loader) -> str:
        """Make what is missing, and give it to the engine; its id there. Raises EngineError, and what making raises."""
        began = time.monotonic()
        if workload.root.plan_blob:
            made = feed(self._store, self._plan(workload.root.plan_blob), places(workload), self._sources(),
                        self._progress)
        else:
            made = feed_trees(self._store, workload, engine.facts.platform)
        self._store.put_json("cache", _key(workload), {"ids": made.ids})
        found = next((id for id in made.ids if engine.has(id)), "")
        if found:
            return found
        size = self._layout(made, engine) if engine.facts.client.podman else self._archive(made, engine)
        from bareboat.units import format_size

        self._say(f"gave the image to {engine.facts.client.name}: {format_size(size)} of "
                  f"{len(made.image.layers)} layers, {time.monotonic() - began:.1f} s")
        return next((id for id in made.ids if engine.has(id)), f"{REPOSITORY}:{made.tag}")

    def _layout(self, made: Fed, engine: Loader) -> int:
        """A layout whose blobs are links to the store's: podman reads those of layers that it has not."""
        with self._store.scratch("layout") as folder:
            for member in named_for_podman(made):
                place = folder / member.path
                place.parent.mkdir(parents=True, exist_ok=True)
                if member.content is not None:
                    place.write_bytes(member.content)
                else:
                    _link(self._store, member.blob, place)
            engine.take_layout(folder, made.podmans)
        return sum(layer.size for layer in made.image.layers)

    def _archive(self, made: Fed, engine: Loader) -> int:
        """An archive without the blobs of layers that the daemon has below the same layers: it looks for no others."""
        there = 0 if engine.facts.snapshots else known(made.diff_ids, engine.layers())
        files = outgoing(made, there)
        done, total = [0], sum(m.size for m in files)

        def read(member: Member) -> Iterator[bytes]:
            for chunk in blob_chunks(self._store, member.blob):
                yield chunk
                done[0] += len(chunk)
                self._progress(engine.facts.client.name, done[0], total)

        engine.take_archive(tar_of(files, read))
        return total


def _key(workload: Workload) -> str:
    of = workload.root.plan_blob or [os.fspath(tree) for tree in workload.root.trees]
    text = json.dumps([FORMAT, of, [[p, m] for p, m in places(workload)]])
    return "fed-" + hashlib.sha256(text.encode()).hexdigest()


def places(load: Workload) -> tuple[tuple[str, int], ...]:
    """Directories for the top layer with their modes, parents before what is in them, relative. Pure but for looking
    at the workload's trees.

    Home and the working directory are writable to anybody, since nobody can say here by what number the caller is
    known there; a directory that the image has as a link stays one.
    """
    found: dict[str, int] = {}
    wanted = [(HOME, 0o1777), (init.PATH.rpartition("/")[0], 0o755)]
    if find(load, "/tmp") is None:
        wanted.append(("/tmp", 0o1777))
    if not any(load.cwd == m.target or load.cwd.startswith(m.target + "/") for m in load.mounts):
        wanted.append((load.cwd, 0o1777))
    for path, mode in wanted:
        parts = [p for p in path.split("/") if p]
        row: dict[str, int] = {}
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            status = _status(load, here)
            if status is not None and status != "directory":
                break
            row[here] = _mode(load, here)
        else:
            if parts:
                row["/".join(parts)] = mode
                found = {**row, **found, "/".join(parts): mode}
    return tuple(sorted(found.items(), key=lambda item: item[0].encode()))


def _status(load: Workload, path: str) -> str | None:
    for tree in reversed(load.root.trees):
        place = tree / path
        if os.path.lexists(place):
            return "directory" if place.is_dir() and not place.is_symlink() else "other"
    return None


def _mode(load: Workload, path: str) -> int:
    for tree in reversed(load.root.trees):
        try:
            return os.lstat(tree / path).st_mode & 0o7777
        except OSError:
            continue
    return 0o755


def entries(directories: Iterable[tuple[str, int]], program: bytes) -> list[TreeEntry]:
    """The top layer's files."""
    found = [TreeEntry(path, mode, DIRECTORY) for path, mode in directories]
    found.append(TreeEntry(init.PATH.lstrip("/"), 0o755, FILE, len(program), chunks=lambda: [program]))
    return sorted(found, key=lambda e: e.path.encode())


def feed(store: Store, plan: Plan, directories: tuple[tuple[str, int], ...], sources: Sources,
         progress: Callable[[str, int, int], None]) -> Fed:
    """The image of a plan as engines are given it, its blobs in the store. Idempotent. Raises as make_blobs does,
    and EngineError "engine.architecture".
    """
    program = _program(plan.platform)
    image = make_blobs(store, plan, sources, progress)
    top = _layer(store, entries(directories, program), "the layer of the first process")
    diff_ids = (*json.loads(image.config)["rootfs"]["diff_ids"], top.diff_id)
    return _image(plan.platform, plan.digest, (*image.layers, Descriptor(LAYER, top.digest, top.size)), diff_ids)


def feed_trees(store: Store, load: Workload, platform: str) -> Fed:
    """The image of trees alone, which is what bareboat runs for itself where only such an engine can: a layer a tree.
    Raises ArchiveError "layer.kind", EngineError "engine.architecture".
    """
    program = _program(platform)
    made = [_layer(store, tree_entries(tree), os.fspath(tree)) for tree in load.root.trees]
    made.append(_layer(store, entries(places(load), program), "the layer of the first process"))
    return _image(platform, "", tuple(Descriptor(LAYER, x.digest, x.size) for x in made),
                  tuple(x.diff_id for x in made))


def _program(platform: str) -> bytes:
    from bareboat.errors import EngineError

    try:
        return init.program(platform)
    except (KeyError, IndexError):
        raise EngineError("engine.architecture", "there is no first process for this architecture yet",
                          where=platform, hint="use --engine bubblewrap") from None


def _layer(store: Store, files: Iterable[TreeEntry], where: str) -> LayerDigests:
    found: list[LayerDigests] = []

    def chunks() -> Iterator[bytes]:
        found.append((yield from store_tree(files)))

    store.put_blob(chunks(), where=where)
    return found[0]


def _image(platform: str, plan: str, layers: tuple[Descriptor, ...], diff_ids: tuple[str, ...]) -> Fed:
    config = canonical({
        **platform_document(platform), "created": CREATED, "config": {"Labels": {"bareboat.plan": plan}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    manifest = canonical({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": describe(CONFIG, config).document(),
        "layers": [{**layer.document(), "mediaType": _OCI.get(layer.media_type, layer.media_type)}
                   for layer in layers]})
    return Fed(Image(platform, plan, config, manifest, layers), diff_ids)


# Layers of an image that was pulled may be called as Docker does; in a manifest of OCI's they may not.
_OCI = {"application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER,
        "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd"}


def known(diff_ids: tuple[str, ...], there: Iterable[tuple[str, ...]]) -> int:
    """How many of the lowest layers an engine has, one upon the other as here, by the images it has. Pure."""
    most = 0
    for other in there:
        count = 0
        for mine, theirs in zip(diff_ids, other, strict=False):
            if mine != theirs:
                break
            count += 1
        most = max(most, count)
    return most


def outgoing(made: Fed, there: int) -> tuple[Member, ...]:
    """The files of the archive, without the blobs of so many of the lowest layers. Pure."""
    needed = {layer.digest.removeprefix("sha256:") for layer in made.image.layers[there:]}
    return tuple(m for m in members(made.image, f"{REPOSITORY}:{made.tag}", archive=True)
                 if m.content is not None or m.blob in needed)


def named_for_podman(made: Fed) -> tuple[Member, ...]:
    """The files of a layout whose image has its whole name where podman looks for it. Pure."""
    index = image_index(made.image, {REF_NAME: made.podmans})
    return tuple(Member(m.path, len(index), index) if m.path == "index.json" else m for m in members(made.image))


def _link(store: Store, sha256: str, place: Path) -> None:
    """A name more for a blob; a copy where the disk has no links."""
    blob = store.blob(sha256)
    try:
        if blob is None:
            raise OSError
        os.link(blob, place)
    except OSError:
        with open(place, "wb") as file:
            for chunk in blob_chunks(store, sha256):
                file.write(chunk)
