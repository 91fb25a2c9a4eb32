"""Images of others in what is shipped: whole as they came, or as the lower layers of one of ours."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bareboat.builder.image import Sources
from bareboat.errors import ArchiveError
from bareboat.image.layer import DIRECTORY, FILE, LayerDigests, TreeEntry
from bareboat.image.manifest import LAYERS, Manifest, read_manifest
from bareboat.image.plan import Plan
from bareboat.image.spec import LAYER, Descriptor, Image, Layer
from bareboat.lock import BaseImage
from bareboat.store.lending import true_modes

if TYPE_CHECKING:
    from bareboat.store import Store

_OCI = {"gzip": LAYER, "plain": "application/vnd.oci.image.layer.v1.tar",
        "zstd": "application/vnd.oci.image.layer.v1.tar+zstd"}


def is_foreign(plan: Plan) -> bool:
    """Whether nothing in it is ours: it ships as the very bytes that it was pulled as (trap 43)."""
    return plan.image is not None and not (plan.wheels or plan.generated or plan.image.removed
                                           or plan.code)


def fetch_base(store: Store, image: BaseImage, sources: Sources) -> None:
    """Bring back what the store no longer has of an image of others, from where it was found. Idempotent.

    Raises RegistryError, UsageError "registry.gone", "registry.offline".
    """
    manifest = image.manifest.removeprefix("sha256:")
    wanted = [Descriptor("", image.config, image.config_size)]
    wanted += [Descriptor(layer.media_type, layer.digest, layer.size) for layer in image.layers]
    missing = [d for d in wanted if store.blob(d.digest.removeprefix("sha256:")) is None]
    if sources.images is None or (not missing and store.blob(manifest) is not None):
        return
    from bareboat.registry.transfer import read_blob

    repository = sources.images(image)
    if store.blob(manifest) is None:
        store.put_blob([repository.manifest(image.manifest).data], sha256=manifest, where=image.reference)
    for d in missing:
        store.put_blob(read_blob(repository, d), sha256=d.digest.removeprefix("sha256:"), size=d.size,
                       where=f"{image.reference}: {d.digest}")


def as_it_came(store: Store, plan: Plan) -> Image:
    """An image of others with its own documents. Raises ArchiveError "image.missing"."""
    image = plan.image
    assert image is not None
    data = _document(store, image.manifest, image)
    document = read_manifest(data, image.media_type, image.reference)
    assert isinstance(document, Manifest)  # it was read as one when it was pulled
    return Image(plan.platform, plan.digest, _document(store, image.config, image), data,
                 tuple(layer.descriptor for layer in document.layers), document.media_type,
                 document.config.descriptor.media_type)


def base_layers(image: BaseImage) -> list[Layer]:
    """The base's layers as ours have them: the same blobs, under the media types that OCI has for them."""
    return [Layer(LayerDigests(x.digest, x.size, x.diff_id, 0), f"layer {n} of {image.reference}",
                  media_type=_OCI[LAYERS[x.media_type]]) for n, x in enumerate(image.layers, 1)]


def base_config(store: Store, image: BaseImage) -> dict[str, Any]:
    """The base's image config, unknown fields and all (trap 42)."""
    return json.loads(_document(store, image.config, image))  # type: ignore[no-any-return]


def removals(tree: Path, removed: tuple[str, ...]) -> Iterator[TreeEntry]:
    """Whiteouts (layer.md, "Whiteouts") of what is taken out of a base. tree: the merged one, without it.

    A directory that is gone with all it held is one whiteout. Parents come with the modes they have, since engines
    invent others for those that are missing (trap 30).
    """
    top, meant = os.fspath(tree), true_modes(tree)
    gone: set[str] = set()
    for path in removed:
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            at = "/".join(parts[:depth])
            if not os.path.lexists(f"{top}/{at}"):
                gone.add(at)
                break
    entries: dict[str, TreeEntry] = {}
    for path in gone:
        folder, _, name = path.rpartition("/")
        parent = folder
        while parent:
            mode = meant.get(parent, stat.S_IMODE(os.lstat(f"{top}/{parent}").st_mode))
            entries[parent] = TreeEntry(parent, mode, DIRECTORY)
            parent = parent.rpartition("/")[0]
        white = f"{folder}/.wh.{name}" if folder else f".wh.{name}"
        entries[white] = TreeEntry(white, 0o644, FILE)
    yield from (entries[p] for p in sorted(entries, key=lambda p: p.encode("utf-8", "surrogateescape")))


def _document(store: Store, digest: str, image: BaseImage) -> bytes:
    path = store.verified_blob(digest.removeprefix("sha256:"))
    if path is None:
        raise ArchiveError("image.missing", "its manifest or config is not in the store", where=image.reference,
                           hint=f"bareboat pull {image.reference}")
    return path.read_bytes()
