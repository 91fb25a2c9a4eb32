"""An OCI layout's image in a store, without a registry client: what the tests of layers start from."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
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


def write_layout(layout: Path, tars: Sequence[bytes], compress: Callable[[bytes], bytes] = lambda d: gzip.compress(d, 1)
                 ) -> Path:
    """A layout with one image, "1", of these layers."""
    (layout / "blobs/sha256").mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [
        f"sha256:{hashlib.sha256(t).hexdigest()}" for t in tars]}, "history": [{} for _ in tars]}
    kind = "application/vnd.oci.image"
    manifest = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
                "config": put(json.dumps(config).encode(), f"{kind}.config.v1+json"),
                "layers": [put(compress(t), f"{kind}.layer.v1.tar+gzip") for t in tars]}
    entry = put(json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout
