"""Manifest, image config and image index of a plan whose layers exist, as bytes that are hashed and kept. Pure.

Follows image-spec 1.1 (config.md, manifest.md, image-index.md, annotations.md). Canonical JSON: sorted keys, no
blanks, UTF-8, so that the digests are functions of the plan alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from bareboat.image.layer import LayerDigests
from bareboat.image.plan import Plan
from bareboat.values import dataclass

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CREATED = "1980-01-02T00:00:00Z"  # plan.EPOCH
USER = "1000:1000"  # "user" of every assembled base; never 0 unless somebody asks for it
PACKAGES = "bareboat.packages"  # annotation of a layer: what is in it, one package a line
TITLE = "org.opencontainers.image.title"
BASE = "bareboat.base"  # not image.base.name: that must be a reference in a registry, and there is none
PLAN = "bareboat.plan"  # label and annotation: the plan digest, so that an image leads back to its lock


@dataclass(frozen=True)
class Layer:
    """A layer of an image. what: for people, in the history; packages: "name==version sha256:…" or "name=version".
    """

    digests: LayerDigests
    what: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Descriptor:
    """Media type, digest ("sha256:<hex>") and size of a blob."""

    media_type: str
    digest: str
    size: int

    def document(self) -> dict[str, object]:
        """As image-spec's descriptor.md has it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Image:
    """A whole image as bytes: config and manifest, and the descriptors of its layers, bottom to top."""

    platform: str
    plan: str
    config: bytes
    manifest: bytes
    layers: tuple[Descriptor, ...]

    @property
    def descriptor(self) -> Descriptor:
        """Of the manifest: its digest is the image's."""
        return describe(MANIFEST, self.manifest)

    @property
    def config_descriptor(self) -> Descriptor:
        """Of the image config: its digest is what Docker calls the image's id."""
        return describe(CONFIG, self.config)


def make_image(plan: Plan, layers: Sequence[Layer]) -> Image:
    """The image of a plan and its layers, bottom to top. The same plan gives the same bytes, everywhere."""
    config = canonical(image_config(plan, layers))
    descriptors = tuple(Descriptor(LAYER, x.digests.digest, x.digests.size) for x in layers)
    rows = []
    for layer, descriptor in zip(layers, descriptors, strict=True):
        row = descriptor.document()
        row["annotations"] = {TITLE: layer.what}
        if layer.packages:
            row["annotations"] = {TITLE: layer.what, PACKAGES: "\n".join(layer.packages)}
        rows.append(row)
    manifest = canonical({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": describe(CONFIG, config).document(),
        "layers": rows,
        "annotations": {PLAN: plan.digest},
    })
    return Image(plan.platform, plan.digest, config, manifest, descriptors)


def image_config(plan: Plan, layers: Sequence[Layer]) -> dict[str, object]:
    """The image config (config.md): one history entry and one DiffID a layer (trap 41)."""
    return {
        **platform_document(plan.platform),
        "created": CREATED,
        "config": {
            "Cmd": ["python"],
            "Env": [f"{name}={value}" for name, value in plan.env],
            "Labels": {BASE: f"{plan.family}:{plan.suite}", PLAN: plan.digest},
            "User": USER,
            "WorkingDir": plan.workdir,
        },
        "history": [{"created": CREATED, "created_by": f"bareboat: {layer.what}"} for layer in layers],
        "rootfs": {"type": "layers", "diff_ids": [layer.digests.diff_id for layer in layers]},
    }


def platform_document(platform: str) -> dict[str, str]:
    """ "linux/arm64/v8" as os, architecture and, where there is one, variant."""
    os_name, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    found = {"os": os_name, "architecture": architecture}
    return {**found, "variant": variant} if variant else found


def image_index(image: Image, annotations: dict[str, str]) -> bytes:
    """The image index of a layout that holds this image; annotations: its names."""
    row: dict[str, object] = {**image.descriptor.document(), "platform": platform_document(image.platform)}
    if annotations:
        row["annotations"] = annotations
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [row]})


def canonical(document: object) -> bytes:
    """The one JSON text of a document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def describe(media_type: str, data: bytes) -> Descriptor:
    """The descriptor of these bytes."""
    return Descriptor(media_type, "sha256:" + hashlib.sha256(data).hexdigest(), len(data))
