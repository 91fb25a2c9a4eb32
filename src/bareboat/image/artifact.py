"""A manifest that speaks of another one: the OCI artifact by which documents are attached to images. Pure.

image-spec 1.1, manifest.md ("Guidelines for Artifact Usage"): an artifactType, the empty config, a subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bareboat.image.manifest import EMPTY
from bareboat.image.spec import MANIFEST, Descriptor, canonical, describe

EMPTY_CONFIG = b"{}"


def artifact_manifest(artifact_type: str, layers: Sequence[tuple[Descriptor, Mapping[str, str]]],
                      subject: Descriptor | None = None, annotations: Mapping[str, str] | None = None,
                      config: Descriptor | None = None) -> bytes:
    """The manifest's bytes; layers: descriptors with their annotations; config: None for the empty one.

    The same arguments give the same bytes.
    """
    rows = [{**d.document(), **({"annotations": dict(notes)} if notes else {})} for d, notes in layers]
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": config.document() if config else {**describe(EMPTY, EMPTY_CONFIG).document(), "data": "e30="},
        "layers": rows,
    }
    if subject is not None:
        document["subject"] = subject.document()
    if annotations:
        document["annotations"] = dict(annotations)
    return canonical(document)
