"""An image from a repository into the store: manifest, config, layers, and the tree to run from.

Layers come several at a time, are verified by digest, and are unpacked by processes of their own while others are still
on the way. What was interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bareboat.builder.image import drop_rotten
from bareboat.builder.layers import image_tree_key, layer_tree_key, make_image_tree, unpacker
from bareboat.builder.workers import Workers
from bareboat.errors import ArchiveError, ResolveError
from bareboat.host.files import processors
from bareboat.image.manifest import (
    CONFIG_MOST,
    CONFIGS,
    INDEX_DEPTH,
    INDEXES,
    LAYERS,
    Config,
    Entry,
    Index,
    Manifest,
    choose,
    read_config,
    read_manifest,
)
from bareboat.image.spec import Descriptor
from bareboat.lock import BaseImage, ImageLayer
from bareboat.registry.base import Content, RegistryError, Repository
from bareboat.registry.places import Place

if TYPE_CHECKING:
    from bareboat.store import Store

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Pulled:
    """What a pull brought. platform: as the image says it; index: the digest of the index it was chosen from, or "".

    fetched: bytes of layers that were not here; unpacked: how many layers were.
    """

    image: BaseImage
    platform: str
    index: str = ""
    fetched: int = 0
    unpacked: int = 0


def pull(store: Store, repository: Repository, place: Place, platform: str, progress: Progress) -> Pulled:
    """Bring an image here, for one platform, with the tree that runs are started on. Idempotent.

    place: what to ask the repository for, and where to ask again. platform: "" for whatever an image by digest is for.
    Raises RegistryError, ResolveError "download.*",
    "image.platform" where the index has no such platform, ArchiveError for what is malformed; what arrived stays.
    """
    found = find(store, repository, place.wanted, platform)
    image = describe_image(str(place), found)
    try:
        fetched, unpacked = make(store, image, repository, progress)
    except ArchiveError:  # a layer that was here from before may have rotted on this disk
        if not drop_rotten(store, [x.digest.removeprefix("sha256:") for x in image.layers]):
            raise
        fetched, unpacked = make(store, image, repository, progress)
    return Pulled(image, str(found.config.platform) or platform, found.index, fetched, unpacked)


def ensure(store: Store, image: BaseImage, opened: Callable[[BaseImage], Repository] | None,
           progress: Progress) -> tuple[int, int]:
    """The tree of an image that is known by its lock, made where it is missing; how many layers were fetched, and
    their bytes. opened: who to ask for an image, which happens only when something is not here; None: nobody.
    """
    if store.tree(image_tree_key(image)) is not None:
        return 0, 0
    lacking = _lacking(store, image)
    make(store, image, opened(image) if lacking and opened is not None else None, progress)
    return len(lacking), sum(x.size for x in lacking)


@dataclass(frozen=True)
class Found:
    """An image's own documents, verified and in the store."""

    manifest: Content
    document: Manifest
    config: Config
    index: str = ""


def find(store: Store, repository: Repository, wanted: str, platform: str) -> Found:
    """The manifest and config behind a tag or digest for a platform, through indexes where there are any."""
    where = f"{repository.name}{'@' if ':' in wanted else ':'}{wanted}" if wanted else repository.name
    content = repository.manifest(wanted)
    index = ""
    for _ in range(INDEX_DEPTH + 1):
        _keep(store, content)
        document = read_manifest(content.data, content.media_type, where)
        if isinstance(document, Manifest):
            return _with_config(store, repository, content, document, index, platform)
        index = index or content.digest
        content = _chosen(repository, document, platform, where)
    raise ArchiveError("manifest.malformed", f"indexes in indexes, more than {INDEX_DEPTH} deep", where=where)


def _chosen(repository: Repository, index: Index, platform: str, where: str) -> Content:
    entry = choose(index.manifests, platform)
    if entry is None:
        nested = [e for e in index.manifests if e.descriptor.media_type in INDEXES and e.platform is None]
        if len(nested) == 1:
            entry = nested[0]
    if entry is None:
        known = sorted({str(e.platform) for e in index.manifests if e.platform and e.platform.os != "unknown"})
        raise ResolveError("image.platform", f"there is no image for {platform}", where=where,
                           hint=f"it exists for: {', '.join(known)}" if known else "the index names no platforms")
    return embedded(entry) or _listed(repository, entry, platform, where)


def _listed(repository: Repository, entry: Entry, platform: str, where: str) -> Content:
    try:
        return repository.manifest(entry.descriptor.digest)
    except RegistryError as error:
        if error.code != "registry.not-found":
            raise
        raise RegistryError("registry.not-found", f"the index names an image for {platform} that is not there: "
                            f"{entry.descriptor.digest}", where=where,
                            hint="whoever copied it left this platform out; pull from where it was made") from None


def embedded(entry: Entry) -> Content | None:
    """The content that a descriptor carries itself (descriptor.md, "Embedded Content"), verified when it was read."""
    d = entry.descriptor
    return Content(d.media_type, d.digest, entry.data) if entry.data is not None else None


def _with_config(store: Store, repository: Repository, content: Content, document: Manifest, index: str,
                 platform: str) -> Found:
    where = f"{repository.name}@{content.digest}"
    of = document.config.descriptor
    if of.media_type not in CONFIGS:
        kind = document.artifact_type or of.media_type or "unknown"
        hint = f"it is a run: bareboat rerun {where}" if kind.startswith("application/vnd.bareboat.run.") else ""
        raise ArchiveError("image.artifact", f"is no image but an artifact of type {kind}", where=where, hint=hint)
    if of.size > CONFIG_MOST:
        raise ArchiveError("config.too-large", f"a config of {of.size:,} bytes", where=where)
    path = store.verified_blob(hex_of(of, where))
    if path is None:
        from bareboat.registry.transfer import read_blob

        chunks = iter((document.config.data,)) if document.config.data is not None else read_blob(repository, of)
        store.put_blob(chunks, sha256=hex_of(of, where), size=of.size, where=f"{where}: config")
        path = store.blob(hex_of(of, where))
        assert path is not None
    config = read_config(path.read_bytes(), f"{where}: config")
    if len(config.diff_ids) != len(document.layers):
        raise ArchiveError("config.malformed", f"{len(document.layers)} layers and {len(config.diff_ids)} DiffIDs",
                           where=where, hint="whoever pushed it is at fault")
    stated = str(config.platform)
    if platform and stated and stated.split("/")[:2] != platform.split("/")[:2]:
        raise ResolveError("image.platform", f"the image is for {stated}, not {platform}", where=where,
                           hint=f"take it as it is: --platform {stated}")
    return Found(content, document, config, index)


def describe_image(reference: str, found: Found) -> BaseImage:
    """The value of an image whose documents were read. Raises ArchiveError "image.layer" for layers of unknown kind."""
    rows = []
    for entry, diff_id in zip(found.document.layers, found.config.diff_ids, strict=True):
        d = entry.descriptor
        if d.media_type not in LAYERS:
            raise ArchiveError("image.layer", f"a layer of the unknown media type {d.media_type!r}", where=reference,
                               hint="encrypted and exotic layers are not supported")
        hex_of(d, reference)
        rows.append(ImageLayer(d.digest, d.size, diff_id, d.media_type))
    c, m = found.config, found.manifest
    kind, of = found.document.media_type, found.document.config.descriptor
    return BaseImage(reference, m.digest, len(m.data), kind, of.digest, of.size, tuple(rows), c.env, c.workdir,
                     c.entrypoint, c.cmd, c.user)


def make(store: Store, image: BaseImage, repository: Repository | None, progress: Progress) -> tuple[int, int]:
    """The image's layers and tree, where they are missing; bytes fetched and layers unpacked.

    repository: None where everything must be here, else ArchiveError "layer.missing".
    """
    from bareboat.resolve.download import Download, fetch

    layers = tuple({layer.diff_id: layer for layer in image.layers}.values())
    absent = [layer for layer in layers if store.tree(layer_tree_key(layer.diff_id)) is None]
    numbers = {layer.digest.removeprefix("sha256:"): n for n, layer in enumerate(absent)}
    lacking = _lacking(store, image)
    if absent:
        with Workers(min(processors(), len(absent)), unpacker(store, absent), store.home) as workers:
            items = [Download(image.reference, sha256, layer.size, f"layer {layer.digest[:19]}",
                              _source(repository, layer)) for sha256, layer in
                     ((x.digest.removeprefix("sha256:"), x) for x in absent)]
            fetch(store, items, lambda p: progress("pull", p.done, p.total), arrived=lambda item: workers.submit(
                numbers[item.sha256]))
            workers.results()
    make_image_tree(store, image)
    return sum(x.size for x in lacking), len(absent)


def _source(repository: Repository | None, layer: ImageLayer) -> Callable[
        [int], Iterator[bytes]]:
    def chunks(at: int) -> Iterator[bytes]:
        if repository is None:
            raise ArchiveError("layer.missing", "the layer is not in the store", where=layer.digest,
                               hint="pull the image again")
        return repository.blob(Descriptor(layer.media_type, layer.digest, layer.size), at)

    return chunks


def _lacking(store: Store, image: BaseImage) -> list[ImageLayer]:
    return [x for x in dict.fromkeys(image.layers)
            if store.tree(layer_tree_key(x.diff_id)) is None and store.blob(x.digest.removeprefix("sha256:")) is None]


def hex_of(descriptor: Descriptor, where: str) -> str:
    """The 64 hex digits that the store knows a blob by. Raises ArchiveError "image.algorithm"."""
    algorithm, _, digits = descriptor.digest.partition(":")
    if algorithm != "sha256":
        raise ArchiveError("image.algorithm", f"names content by {algorithm}, the store by sha256", where=where,
                           hint="copy it with a tool that writes sha256 digests first")
    return digits


def _keep(store: Store, content: Content) -> None:
    """The bytes that were hashed, for ever the same."""
    store.put_blob([content.data], sha256=hex_of(content.descriptor, content.digest), size=len(content.data))
