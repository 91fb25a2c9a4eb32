"""An archive: an OCI image layout that holds everything an environment is made of, to be made again without network.

    index.json      annotation bareboat.archive: the format; images as any OCI tool runs them, and bundles
    └ bundle        artifactType BUNDLE; config: what it is of; layers: lock, plan, debs, wheels, the base image's parts

A package is a blob under the digest that the lock has of it, so restoring is comparing names. A bundle of more files
than a manifest should have is several manifests with the same config. What is read may be a stranger's. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from bareboat.errors import ArchiveError
from bareboat.image.artifact import artifact_manifest
from bareboat.image.layout import Member, docker_manifest, names
from bareboat.image.manifest import Entry, Index, Manifest, read_manifest
from bareboat.image.plan import Plan
from bareboat.image.spec import INDEX, MANIFEST, TITLE, Descriptor, Image, canonical, describe, platform_document
from bareboat.values import dataclass

FORMAT = "1"
ARCHIVE = "bareboat.archive"  # annotation of index.json: the format
_FAMILY = "application/vnd.bareboat.archive."
BUNDLE = f"{_FAMILY}v1+json"  # artifactType
CONFIG = f"{_FAMILY}config.v1+json"
LOCK = "application/toml"
PLAN = "application/vnd.bareboat.plan.v1+json"
DEB = "application/vnd.debian.binary-package"
WHEEL = "application/vnd.pypa.wheel+zip"
CPYTHON = "application/vnd.bareboat.cpython.v1+tar"
CODE = "application/vnd.bareboat.code.v1"  # the index of a snapshot, and the packs with its contents
PART_MOST = 400  # layers of one manifest: readers refuse more than 500
CONFIG_MOST = 1 << 20


@dataclass(frozen=True)
class File:
    """A blob of a bundle. title: for people, a file name; never a path that is used."""

    media_type: str
    sha256: str
    size: int
    title: str

    @property
    def descriptor(self) -> Descriptor:
        """As the manifest has it."""
        return Descriptor(self.media_type, f"sha256:{self.sha256}", self.size)


@dataclass(frozen=True)
class Bundle:
    """Everything one plan is made of. name: the project's or image's, for people; names: of the image.

    plan_blob, locks: sha256 of the plan's text, and of the lock files' by name; image: the manifest digest of its
    shipped form, or "".
    """

    name: str
    names: tuple[str, ...]
    plan: str
    plan_blob: str
    platform: str
    locks: tuple[tuple[str, str], ...]
    files: tuple[File, ...]
    image: str = ""

    def config(self) -> bytes:
        """What the bundle is of, canonical."""
        return canonical({"format": int(FORMAT), "name": self.name, "names": list(self.names), "plan": self.plan,
                          "planBlob": self.plan_blob, "platform": self.platform, "image": self.image,
                          "locks": dict(self.locks)})


@dataclass(frozen=True)
class Shipped:
    """Images of one name, one a platform, for the index. names: first the one that most tools see."""

    images: tuple[Image, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attached:
    """A manifest of another kind that goes along: a run's. blobs: its config and layers."""

    manifest: bytes
    artifact_type: str
    blobs: tuple[Descriptor, ...]


def bundle_manifests(bundle: Bundle, subject: Descriptor | None = None) -> tuple[bytes, ...]:
    """A bundle's manifests, which share its config. subject: the image's manifest, where that is in the archive."""
    config = describe(CONFIG, bundle.config())
    rows = [(file.descriptor, {TITLE: file.title}) for file in dict.fromkeys(bundle.files)]
    parts = [rows[n : n + PART_MOST] for n in range(0, len(rows), PART_MOST)] or [[]]
    return tuple(artifact_manifest(BUNDLE, part, subject, {TITLE: f"{bundle.name} {number} of {len(parts)}"}, config)
                 for number, part in enumerate(parts, 1))


def archive_members(bundles: Sequence[Bundle], shipped: Sequence[Shipped], runs: Sequence[Attached],
                    *, tar: bool) -> tuple[Member, ...]:
    """The files of the layout, small ones first; blobs without content are in the store.

    tar: with Docker's manifest.json, so that `docker load` takes the images.
    """
    rows: list[dict[str, object]] = []
    contents: dict[str, bytes] = {}
    subjects: dict[str, Descriptor] = {}

    def keep(media_type: str, data: bytes) -> Descriptor:
        descriptor = describe(media_type, data)
        contents[descriptor.digest.removeprefix("sha256:")] = data
        return descriptor

    for group in shipped:
        inner = []
        for image in group.images:
            keep(image.config_descriptor.media_type, image.config)
            keep(image.descriptor.media_type, image.manifest)
            subjects[image.descriptor.digest] = image.descriptor
            inner.append({**image.descriptor.document(), "platform": platform_document(image.platform)})
        head = inner[0]
        if len(inner) > 1:
            index = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": inner})
            head = keep(INDEX, index).document()
        rows += [{**head, "annotations": names(name)} for name in group.names] or [head]
    _unambiguous(rows)
    for bundle in bundles:
        keep(CONFIG, bundle.config())
        for manifest in bundle_manifests(bundle, subjects.get(bundle.image)):
            rows.append({**keep(MANIFEST, manifest).document(), "artifactType": BUNDLE})
    rows += [{**keep(MANIFEST, run.manifest).document(), "artifactType": run.artifact_type} for run in runs]
    index = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": rows, "annotations": {ARCHIVE: FORMAT}})
    small = [("oci-layout", canonical({"imageLayoutVersion": "1.0.0"})), ("index.json", index)]
    if tar:
        small.append(("manifest.json", _docker(shipped)))
    found = [Member(path, len(data), data) for path, data in small]
    found += [Member(f"blobs/sha256/{sha256}", len(data), data) for sha256, data in contents.items()]
    blobs = [(d.digest, d.size) for group in shipped for image in group.images for d in image.layers]
    blobs += [(f"sha256:{file.sha256}", file.size) for bundle in bundles for file in bundle.files]
    blobs += [(d.digest, d.size) for run in runs for d in run.blobs]
    for digest, size in dict.fromkeys(blobs):
        sha256 = digest.removeprefix("sha256:")
        if sha256 not in contents:
            found.append(Member(f"blobs/sha256/{sha256}", size, None, sha256))
    return tuple(found)


def _unambiguous(rows: list[dict[str, object]]) -> None:
    """Tags that two images have are written with the repository, since tools find an image of a layout by them."""
    from bareboat.image.layout import CONTAINERD_NAME, REF_NAME

    seen: dict[object, int] = {}
    for row in rows:
        notes = row.get("annotations")
        if isinstance(notes, dict):
            seen[notes[REF_NAME]] = seen.get(notes[REF_NAME], 0) + 1
    for row in rows:
        notes = row.get("annotations")
        if isinstance(notes, dict) and seen[notes[REF_NAME]] > 1:
            notes[REF_NAME] = notes[CONTAINERD_NAME]


def _docker(shipped: Sequence[Shipped]) -> bytes:
    """manifest.json of Docker's archive format, a row for each image."""
    rows: list[object] = []
    for group in shipped:
        for image in group.images:
            [row] = json.loads(docker_manifest(image, group.names[0] if group.names else ""))
            tags = [t for name in group.names for t in json.loads(docker_manifest(image, name))[0]["RepoTags"]]
            rows.append({**row, "RepoTags": tags if image is group.images[0] and tags else None})
    return canonical(rows)


@dataclass(frozen=True)
class Contents:
    """What an archive's index names besides images: manifests of bundles, and of runs."""

    bundles: tuple[Descriptor, ...]
    others: tuple[Entry, ...]


def read_index(data: bytes, where: str) -> Contents:
    """What an archive's index names. ArchiveError "archive.unknown", "archive.format"."""
    index = read_manifest(data, INDEX, where)
    if not isinstance(index, Index):
        raise _bad("index.json is no index", where)
    said = dict(index.annotations).get(ARCHIVE)
    of_family = [e for e in index.manifests if e.artifact_type.startswith(_FAMILY)]
    if said is None and not of_family:
        raise ArchiveError("archive.unknown", "is an image layout, and no archive", where=where,
                           hint="`bareboat load` and `bareboat pull oci:DIR` take images")
    newer = [e.artifact_type for e in of_family if e.artifact_type != BUNDLE]
    if said != FORMAT or newer:
        raise ArchiveError("archive.format", f"an archive of format {newer[0] if newer else said}, which this bareboat "
                           "does not know", where=where, hint="use a newer bareboat")
    others = tuple(e for e in index.manifests if e.artifact_type and e not in of_family)
    return Contents(tuple(e.descriptor for e in of_family), others)


def read_bundles(manifests: Iterable[tuple[Descriptor, bytes]], configs: dict[str, bytes],
                 where: str) -> tuple[Bundle, ...]:
    """The bundles of these manifests; configs: the configs' bytes by digest. ArchiveError "archive.malformed"."""
    files: dict[str, list[File]] = {}
    for descriptor, data in manifests:
        document = read_manifest(data, descriptor.media_type, where)
        if not isinstance(document, Manifest) or document.artifact_type != BUNDLE:
            raise _bad(f"{descriptor.digest} is no bundle", where)
        found = files.setdefault(document.config.descriptor.digest, [])
        for entry in document.layers:
            d = entry.descriptor
            if not d.digest.startswith("sha256:"):
                raise _bad(f"{d.digest[:80]} is no sha256", where)
            found.append(File(d.media_type, d.digest.removeprefix("sha256:"), d.size,
                              dict(entry.annotations).get(TITLE, "")))
    return tuple(_bundle(configs[digest], tuple(dict.fromkeys(rows)), where) for digest, rows in files.items())


def bundle_config(manifest: bytes, where: str) -> Descriptor:
    """The descriptor of a bundle manifest's config."""
    document = read_manifest(manifest, MANIFEST, where)
    if not isinstance(document, Manifest) or document.config.descriptor.media_type != CONFIG:
        raise _bad("a bundle's config is missing", where)
    if document.config.descriptor.size > CONFIG_MOST:
        raise _bad(f"a bundle's config of {document.config.descriptor.size:,} bytes", where)
    return document.config.descriptor


def _bundle(config: bytes, files: tuple[File, ...], where: str) -> Bundle:
    try:
        doc = json.loads(config)
        locks = tuple(sorted(doc["locks"].items()))
        if not isinstance(doc["names"], list):
            raise TypeError
        bundle = Bundle(doc["name"], tuple(doc["names"]), doc["plan"], doc["planBlob"], doc["platform"], locks, files,
                        doc.get("image", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _bad("a bundle's config is not as bareboat writes it", where) from None
    texts = (bundle.name, bundle.plan, bundle.plan_blob, bundle.platform, bundle.image, *bundle.names,
             *(w for row in bundle.locks for w in row))
    if not all(isinstance(t, str) for t in texts):
        raise _bad("a bundle's config is not as bareboat writes it", where)
    there = {f.sha256 for f in files}
    for sha256 in (bundle.plan_blob, *(digest for _, digest in bundle.locks)):
        if sha256 not in there:
            raise ArchiveError("archive.incomplete", f"{bundle.name}: its plan or a lock is not among its files",
                               where=where, hint="whoever made or copied it is at fault; copy it again")
    return bundle


def check_complete(bundle: Bundle, plan: Plan, where: str) -> None:
    """That a bundle has everything its plan names, and is of that plan. ArchiveError "archive.incomplete"."""
    if plan.digest != bundle.plan:
        raise ArchiveError("archive.incomplete", f"{bundle.name}: its plan is not the one it says", where=where,
                           hint="it was made by a bareboat of another assembly format, or changed since")
    if plan.code is not None and plan.code.overlays:  # keys of whatever trees are here; none is written by us
        raise _bad(f"{bundle.name}: its code names extensions, which no archive holds", where)
    there = {f.sha256 for f in bundle.files}
    wanted = {d.sha256: f"{d.name} {d.version}" for d in plan.debs}
    wanted |= {w.sha256: w.filename for w in plan.wheels}
    cpython = plan.cpython
    if cpython is not None:
        wanted[cpython.sha256] = f"CPython {cpython.version}"
    if plan.code is not None:
        wanted |= dict.fromkeys((plan.code.index, *plan.code.packs), "the code")
    if plan.image is not None:
        wanted |= {layer.digest.removeprefix("sha256:"): f"layer {layer.digest}" for layer in plan.image.layers}
    missing = sorted(name for sha256, name in wanted.items() if sha256 not in there)
    if missing:
        raise ArchiveError("archive.incomplete", f"{bundle.name}: {missing[0]} is not in it"
                           + (f", nor are {len(missing) - 1} others" if missing[1:] else ""), where=where,
                           hint="archive it again where everything can be had")


def _bad(what: str, where: str) -> ArchiveError:
    return ArchiveError("archive.malformed", what, where=where,
                        hint="it is incomplete or was changed: copy it again, or archive again")
