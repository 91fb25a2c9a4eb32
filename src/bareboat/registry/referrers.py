"""Which manifests speak of another: rows of an image index, and the tag they lie under where a registry has no
referrers API (distribution-spec 1.1, "Referrers Tag Schema"). Pure.
"""

from __future__ import annotations

from typing import Any

from bareboat.errors import ArchiveError
from bareboat.image.manifest import Index, Manifest, read_manifest
from bareboat.image.spec import INDEX, Descriptor, canonical
from bareboat.registry.base import Content

MOST = 4096  # rows; what is more was not made by people


def fallback_tag(digest: str) -> str:
    """ "sha256-<hex>" of "sha256:<hex>"."""
    algorithm, _, hexed = digest.partition(":")
    return f"{algorithm[:32]}-{hexed[:64]}"


def rows(content: Content | None, artifact_type: str, where: str) -> tuple[Descriptor, ...]:
    """The descriptors of an index of referrers, of one artifact type when said; none of none.

    Raises ArchiveError "manifest.*".
    """
    if content is None:
        return ()
    index = read_manifest(content.data, content.media_type, where)
    if not isinstance(index, Index):
        raise ArchiveError("manifest.malformed", "the list of referrers is no image index", where=where)
    return tuple(entry.descriptor for entry in index.manifests[:MOST]
                 if not artifact_type or entry.artifact_type == artifact_type)


def with_row(old: bytes | None, content: Content, where: str) -> bytes | None:
    """The index of referrers with this manifest in it; None where it is already. What else stands in it is kept.

    Raises ArchiveError "manifest.*".
    """
    kept: list[Any] = []
    if old is not None:
        import json

        index = read_manifest(old, "", where)
        if not isinstance(index, Index):
            raise ArchiveError("manifest.malformed", "the list of referrers is no image index", where=where)
        if any(entry.descriptor.digest == content.digest for entry in index.manifests):
            return None
        kept = json.loads(old)["manifests"]
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*kept, row(content, where)]})


def row(content: Content, where: str) -> dict[str, object]:
    """The row of a manifest in a list of referrers: with its artifact type and annotations."""
    manifest = read_manifest(content.data, content.media_type, where)
    found: dict[str, object] = content.descriptor.document()
    kind = manifest.artifact_type
    if not kind and isinstance(manifest, Manifest):
        kind = manifest.config.descriptor.media_type
    if kind:
        found["artifactType"] = kind
    if manifest.annotations:
        found["annotations"] = dict(manifest.annotations)
    return found


def subject_of(content: Content, where: str) -> Descriptor | None:
    """The manifest that this one speaks of. Raises ArchiveError "manifest.*"."""
    return read_manifest(content.data, content.media_type, where).subject
