"""A run as an OCI artifact (image-spec 1.1, manifest.md, "Guidelines for Artifact Usage"), made and read. Pure.

    index           what a tag names: the image for its platform, and the run, which engines pass over
    └ artifact      artifactType RUN, subject: the image's manifest, config: the record, layers: what the record names

A record names blobs by sha256 and an artifact carries them under the same digests, so that reading one is comparing
names. What is read may be a stranger's: whatever is not exactly as it is written here is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from bareboat.errors import ArchiveError, RecordError
from bareboat.image.manifest import Entry, Index, Manifest, read_manifest
from bareboat.image.spec import (
    INDEX,
    MANIFEST,
    TITLE,
    Descriptor,
    canonical,
    describe,
    platform_document,
)
from bareboat.record.values import RunRecord
from bareboat.values import dataclass

FAMILY = "application/vnd.bareboat.run."
RUN = f"{FAMILY}v1+json"  # artifactType
RECORD = f"{FAMILY}record.v1+json"  # config
PLAN = f"{FAMILY}plan.v1+json"
LOCK = f"{FAMILY}lock.v1+toml"
CODE_INDEX = f"{FAMILY}code.index.v1+json"
CODE_PACK = f"{FAMILY}code.pack.v1"
RESULTS = f"{FAMILY}results.pack.v1"  # small results, one after the other
RESULT = f"{FAMILY}result.v1"  # a large one, on request
LOG = f"{FAMILY}log.v1"
OVERLAY = f"{FAMILY}overlay.v1.tar"  # compiled extensions, laid over the code
STARTUP = f"{FAMILY}startup.v1"  # a script from outside the project, run before the command
PARTS = {
    PLAN: 32 << 20,
    LOCK: 32 << 20,
    CODE_INDEX: 64 << 20,
    CODE_PACK: 2 << 30,
    RESULTS: 8 << 30,
    RESULT: 1 << 40,
    LOG: 1 << 30,
    OVERLAY: 4 << 30,
    STARTUP: 1 << 20,
}  # media type → the most bytes that are taken
RECORD_MOST = 32 << 20
RUN_ID = "bareboat.run"  # annotation: the run's id
_SHA256 = "sha256:"


@dataclass(frozen=True)
class Part:
    """A blob of an artifact. kind: its media type; title: for people and other tools, never a path that is used."""

    kind: str
    sha256: str
    size: int
    title: str = ""

    @property
    def descriptor(self) -> Descriptor:
        """What a registry knows it by."""
        return Descriptor(self.kind, _SHA256 + self.sha256, self.size)


@dataclass(frozen=True)
class Artifact:
    """A run's manifest, read. subject: the image it ran in; record: of the config blob, data when it came along."""

    subject: Descriptor
    record: Part
    parts: tuple[Part, ...]
    run: str = ""

    def of(self, kind: str) -> tuple[Part, ...]:
        """Its blobs of one kind."""
        return tuple(p for p in self.parts if p.kind == kind)


def make_artifact(record: RunRecord, encoded: bytes, parts: Iterable[Part], subject: Descriptor) -> bytes:
    """The manifest of a run. encoded: the record's bytes, which are its config. The same run gives the same bytes."""
    rows = []
    for part in dict.fromkeys(parts):
        row = part.descriptor.document()
        if part.title:
            row["annotations"] = {TITLE: part.title}
        rows.append(row)
    return canonical({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": RUN,
        "config": describe(RECORD, encoded).document(),
        "layers": rows,
        "subject": subject.document(),
        "annotations": {RUN_ID: record.id},
    })


def make_index(image: Descriptor, platform: str, artifact: Descriptor) -> bytes:
    """The index that a tag names: engines take the image, since no machine is of the platform unknown/unknown."""
    return canonical({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {**image.document(), "platform": platform_document(platform)},
            {**artifact.document(), "artifactType": RUN, "platform": {"os": "unknown", "architecture": "unknown"}},
        ],
    })


def runs_in(document: Manifest | Index, own: Descriptor) -> tuple[Descriptor, ...]:
    """The runs that a manifest or index is or names; own: its own descriptor."""
    if isinstance(document, Manifest):
        return (own,) if is_run(document) else ()
    return tuple(dict.fromkeys(e.descriptor for e in document.manifests if e.artifact_type.startswith(FAMILY)))


def is_run(document: Manifest) -> bool:
    """Whether a manifest is a run's, also a newer bareboat's."""
    return document.artifact_type.startswith(FAMILY) or document.config.descriptor.media_type.startswith(FAMILY)


def read_artifact(data: bytes, where: str) -> Artifact:
    """The manifest of a run. Raises ArchiveError "artifact.*", "manifest.*", RecordError "record.format"."""
    document = read_manifest(data, MANIFEST, where)
    if not isinstance(document, Manifest) or not is_run(document):
        raise _bad("is no run: " + (getattr(document, "artifact_type", "") or "an image or an index"), where)
    for said, known in ((document.artifact_type, RUN), (document.config.descriptor.media_type, RECORD)):
        if said != known:
            if said.startswith(FAMILY) and said not in (RUN, RECORD, *PARTS):
                raise RecordError("record.format", f"a run of the format {said}, which this bareboat does not know",
                                  where=where, hint="use a newer bareboat")
            raise _bad(f"{said or 'nothing'} where {known} is meant", where)
    if document.subject is None:
        raise ArchiveError("artifact.subject", "does not say in which image it ran", where=where,
                           hint="whoever made it is at fault; ask for it again")
    parts = tuple(_part(entry, PARTS.get(entry.descriptor.media_type), where) for entry in document.layers)
    return Artifact(document.subject, _part(document.config, RECORD_MOST, where), parts,
                    dict(document.annotations).get(RUN_ID, ""))


def _part(entry: Entry, most: int | None, where: str) -> Part:
    d = entry.descriptor
    if most is None:
        raise _bad(f"a part of the unknown kind {d.media_type!r}", where)
    if not d.digest.startswith(_SHA256):
        raise _bad(f"names content by {d.digest.partition(':')[0]}, the store by sha256", where)
    if d.size > most:
        raise ArchiveError("artifact.too-large", f"{d.media_type} of {d.size:,} bytes; {most:,} are allowed",
                           where=where, hint="a run that was made with bareboat is never so large: ask who sent it")
    return Part(d.media_type, d.digest.removeprefix(_SHA256), d.size, dict(entry.annotations).get(TITLE, ""))


def _bad(what: str, where: str) -> ArchiveError:
    return ArchiveError("artifact.malformed", what, where=where,
                        hint="whoever made it is at fault; nothing of it was kept")
