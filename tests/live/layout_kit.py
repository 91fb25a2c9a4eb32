"""An OCI layout's image in a store, without a registry client: what the tests of layers start from."""

from __future__ import annotations

from pathlib import Path

from bareboat.image.manifest import Manifest, read_config, read_manifest
from bareboat.lock import BaseImage, ImageLayer
from bareboat.store import Store


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def take(store: Store, layout: Path) -> BaseImage:
    """The first image of a layout, its layers' blobs in the store."""
    index = read_manifest((layout / "index.json").read_bytes(), "", str(layout))
    entry = index.manifests[0]  # type: ignore[union-attr]
    manifest = read_manifest(blob(layout, entry.descriptor.digest), "", str(layout))
    assert isinstance(manifest, Manifest)
    config = read_config(blob(layout, manifest.config.descriptor.digest), str(layout))
    layers = []
    for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
        found = layer.descriptor
        path = layout / "blobs" / found.digest.replace(":", "/")
        store.put_file(path, sha256=found.digest.partition(":")[2], size=found.size)
        layers.append(ImageLayer(found.digest, found.size, diff_id, found.media_type))
    return BaseImage(str(layout), entry.descriptor.digest, entry.descriptor.size, entry.descriptor.media_type,
                     manifest.config.descriptor.digest, manifest.config.descriptor.size, tuple(layers), config.env,
                     config.workdir, config.entrypoint, config.cmd, config.user)
