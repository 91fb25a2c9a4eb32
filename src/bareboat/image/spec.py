"""Manifest, image config and image index of a plan whose layers exist, as bytes that are hashed and kept. Pure.

Follows image-spec 1.1 (config.md, manifest.md, image-index.md, annotations.md). Canonical JSON: sorted keys, no
blanks, UTF-8, so that the digests are functions of the plan alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from bareboat.image.layer import LayerDigests
from bareboat.image.plan import Plan
from bareboat.values import Any, dataclass

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
    media_type: str = LAYER


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
    """A whole image as bytes: config and manifest, and the descriptors of its layers, bottom to top.

    media_type, config_type: those of others where it is theirs.
    """

    platform: str
    plan: str
    config: bytes
    manifest: bytes
    layers: tuple[Descriptor, ...]
    media_type: str = MANIFEST
    config_type: str = CONFIG

    @property
    def descriptor(self) -> Descriptor:
        """Of the manifest: its digest is the image's."""
        return describe(self.media_type, self.manifest)

    @property
    def config_descriptor(self) -> Descriptor:
        """Of the image config: its digest is what Docker calls the image's id."""
        return describe(self.config_type, self.config)


def make_image(plan: Plan, layers: Sequence[Layer], base: Mapping[str, Any] | None = None) -> Image:
    """The image of a plan and its layers, bottom to top. The same plan gives the same bytes, everywhere.

    base: the image config of the image below ours, whose layers are the first ones.
    """
    config = canonical(image_config(plan, layers, base))
    descriptors = tuple(Descriptor(x.media_type, x.digests.digest, x.digests.size) for x in layers)
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
        "annotations": {**dict(plan.labels), PLAN: plan.digest},
    })
    return Image(plan.platform, plan.digest, config, manifest, descriptors)


def image_config(plan: Plan, layers: Sequence[Layer], base: Mapping[str, Any] | None = None) -> dict[str, object]:
    """The image config (config.md): one history entry and one DiffID a layer (trap 41).

    What a base's config says besides (Healthcheck, OnBuild, Shell, …) stays (trap 42); its entrypoint does not: the
    image runs what the project's own runs do.
    """
    below = dict(base or {})
    of_base = below.get("config") if isinstance(below.get("config"), dict) else {}
    under = {k: v for k, v in (of_base or {}).items() if k not in ("Entrypoint", "Cmd", "Env", "User", "WorkingDir")}
    labels = dict(under.get("Labels") or {})
    named = {} if base is not None else {BASE: f"{plan.family}:{plan.suite}"}
    diff_ids = [layer.digests.diff_id for layer in layers]
    known = len((below.get("rootfs") or {}).get("diff_ids") or ())
    return {
        **below,
        **platform_document(plan.platform),
        "created": CREATED,
        "config": {
            **under,
            "Cmd": list(plan.cmd or ("python",)),
            **({"Entrypoint": list(plan.entrypoint)} if plan.entrypoint else {}),
            "Env": [f"{name}={value}" for name, value in plan.env],
            "Labels": {**labels, **named, **dict(plan.labels), PLAN: plan.digest},
            "User": USER,
            "WorkingDir": plan.workdir,
        },
        "history": [*_history(below, layers[:known]), *(_row(layer) for layer in layers[known:])],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }


def _history(below: Mapping[str, Any], layers: Sequence[Layer]) -> list[object]:
    """The base's own history where it fits its layers, else a row for each of them."""
    rows = below.get("history")
    if isinstance(rows, list) and sum(not (isinstance(r, dict) and r.get("empty_layer")) for r in rows) == len(layers):
        return rows
    return [_row(layer) for layer in layers]


def _row(layer: Layer) -> dict[str, str]:
    return {"created": CREATED, "created_by": f"bareboat: {layer.what}"}


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


def platform_index(images: Sequence[Image]) -> bytes:
    """The image index of one name over images for several platforms, in order; the same images give the same bytes."""
    rows = [{**i.descriptor.document(), "platform": platform_document(i.platform)} for i in images]
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": rows})


def canonical(document: object) -> bytes:
    """The one JSON text of a document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def describe(media_type: str, data: bytes) -> Descriptor:
    """The descriptor of these bytes."""
    return Descriptor(media_type, "sha256:" + hashlib.sha256(data).hexdigest(), len(data))
