"""A run of somebody else's, from a registry, a layout or a file, taken into this store.

Everything is a stranger's: the artifact is read strictly (record/artifact.py, record/foreign.py), each blob is verified
by its digest, and what it is stored under is never a name that came with it. Its image is pulled as any image is; what
the record says of a plan is kept for showing and never becomes an image of this store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import ArchiveError, RecordError
from bareboat.image.manifest import read_config
from bareboat.image.planning import image_plan
from bareboat.image.spec import PLAN
from bareboat.lock import BaseImage, ImageLayer
from bareboat.record import artifact as kinds
from bareboat.record.artifact import Artifact, Part
from bareboat.record.codec import decode, decode_bytes, encode
from bareboat.record.foreign import OVERLAY_KEY, check_code, read_record
from bareboat.record.values import RunRecord
from bareboat.verbs.collaborators import Work
from bareboat.verbs.travel import as_sent

if TYPE_CHECKING:
    from bareboat.image.plan import Plan
    from bareboat.registry.base import Repository
    from bareboat.registry.places import Place
    from bareboat.store import Store

TAR = "application/vnd.oci.image.layer.v1.tar"
IMAGE = "image"  # key of a taken-in run's document: the image that came with it; no sender can write it
IMAGE_PLATFORM = "image_platform"  # and what that is for; the record's own "platform" says that it was emulated
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Found:
    """A run at a place, and what it came with. shown: where from, complete, with the digest of its manifest."""

    repository: Repository
    place: Place
    artifact: Artifact
    digest: str
    shown: str


def forget(text: str, work: Work) -> RunRecord:
    """Remove a run that was taken in; what only it kept goes with the next gc. A run that was made here is this store's
    own account and stays. Raises RecordError "record.missing", "record.own".
    """
    from bareboat.verbs.runs import find, taken_in

    record = find(work.store, text)
    if not taken_in(record):
        raise RecordError("record.own", "this run was made here; only runs from elsewhere are forgotten",
                          where=f"run {record.id}")
    work.store.runs.remove(record.id)
    return record


def take(found: Found, platform: str, work: Work, *, large: bool = False) -> RunRecord:
    """Take a run in: its image, its blobs, and its record last, so that what is listed is whole. Idempotent.

    A run that this store made itself, or took in before, stays as it is. large: its large results, too, which nobody
    else is made to fetch. Raises ArchiveError "artifact.*", RecordError
    "record.malformed", "record.format", "record.exists" for another run of that id, and what pulling raises.
    """
    from bareboat.builder.pulling import pull
    from bareboat.image.manifest import INDEXES

    store, where = work.store, found.shown
    data = b"".join(_bytes(found, found.artifact.record, store))
    record = replace(as_sent(read_record(data, found.artifact, where)), origin=where)
    known = _known(record, store)
    if known is not None and not known.origin:
        work.tell.say(f"run {record.id} is this store's own: nothing was taken in")
        return known
    subject = found.artifact.subject.digest
    of = found.repository.head(subject)
    if of is None:
        raise ArchiveError("artifact.no-image", f"the image that the run was in is not there: {subject}", where=where,
                           hint="the run was copied without it; get it from where it was pushed, or as a file")
    if of.media_type not in INDEXES:
        platform = ""  # the image that it ran in, whatever it is for: where this machine is another, it is emulated
    pulled = pull(store, found.repository, _at(found.place, subject), platform, work.tell.progress)
    if pulled.image.manifest != found.artifact.subject.digest:
        raise _other_image("an image of several platforms, and not the one the run was in", where)
    parts = [part for part in found.artifact.parts if large or part.kind != kinds.RESULT]
    with store.lease([part.sha256 for part in parts]):
        for part in parts:
            _keep(found, part, store)
        _check(record, pulled.image, found, store)
        record = _with_overlays(record, found, store)
        with store.turn(f"run {record.id}"):
            known = _known(record, store)
            if known is None or large:
                _write(record, pulled.image, pulled.platform, (found, parts), store)
    return record if known is None else known


def _at(place: Place, digest: str) -> Place:
    """Another manifest of the same place."""
    reference = replace(place.reference, tag="", digest=digest) if place.reference is not None else None
    return replace(place, reference=reference, wanted=digest)


def image_plan_of(record: RunRecord, work: Work) -> Plan | None:
    """The plan of the image that came with a run: that image, and nothing else. None for a run that did not come but
    repeats one that did. Raises RecordError "record.image-gone".
    """
    document = work.store.runs.read(record.id)
    if IMAGE not in document:
        return None
    image = decode(BaseImage, document[IMAGE], f"image of run {record.id}")
    if image.manifest != record.manifest:
        raise RecordError("record.image-gone", "the image that came is not the run's", where=f"run {record.id}")
    return image_plan(image, str(document.get(IMAGE_PLATFORM, "")))


def _known(record: RunRecord, store: Store) -> RunRecord | None:
    """The record of this id that is here, when it is of the same run. Raises RecordError "record.exists"."""
    from bareboat.verbs.runs import load

    if record.id not in store.runs.ids():
        return None
    here = load(store, record.id)
    if _essence(here) != _essence(record):
        raise RecordError("record.exists", "another run of this id is here, which it would replace",
                          where=f"run {record.id}", hint="take it into a store of its own: set BAREBOAT_HOME")
    return here


def _essence(record: RunRecord) -> RunRecord:
    """What does not depend on how a run travelled."""
    code = replace(record.code, index="", packs=()) if record.code is not None else None
    return replace(as_sent(record), manifest="", code=code, log="", data_from="",
                   overlays=tuple((target, "") for target, _ in record.overlays))


def _bytes(found: Found, part: Part, store: Store) -> Iterator[bytes]:
    """A blob of the artifact, verified, in the store's keeping."""
    _keep(found, part, store)
    path = store.verified_blob(part.sha256)
    if path is None:
        raise ArchiveError("artifact.missing-blob", f"{part.kind} is gone", where=found.shown, hint="try again")
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _keep(found: Found, part: Part, store: Store) -> None:
    from bareboat.registry.transfer import read_blob

    store.put_blob(read_blob(found.repository, part.descriptor), sha256=part.sha256, size=part.size,
                   where=f"{found.shown}: {part.kind}")


def _check(record: RunRecord, image: BaseImage, found: Found, store: Store) -> None:
    """That plan, code and image belong together, now that all of it is here."""
    from bareboat.image.plan import Plan
    from bareboat.store.codetree import listing

    where = found.shown
    plan = decode_bytes(Plan, _read(record.plan_blob, store), f"{where}: plan")
    if plan.digest != record.plan:
        raise RecordError("record.plan-damaged", "the plan that came is not the one the record names", where=where,
                          hint="whoever made it is at fault; ask for it again")
    label = dict(read_config(_read(image.config.removeprefix("sha256:"), store), where).labels).get(PLAN, "")
    itself = plan.image is not None and plan.image.manifest == image.manifest and not plan.wheels
    if label != record.plan and not itself:
        raise _other_image(f"made from the plan {label or 'of nobody'}, and the run from {record.plan}", where)
    if record.code is not None:
        sizes = {p.sha256: p.size for p in found.artifact.of(kinds.CODE_PACK)}
        check_code(_read(record.code.index, store), record, sizes, where)
        listing(store, record.code)  # its digest is the record's


def _other_image(what: str, where: str) -> ArchiveError:
    return ArchiveError("artifact.subject", f"the image it is attached to is {what}", where=where,
                        hint="it is another image's run; ask for it again")


def _read(sha256: str, store: Store) -> bytes:
    path = store.verified_blob(sha256)
    if path is None:
        raise ArchiveError("artifact.missing-blob", "a part of the run went while it was read", where=sha256,
                           hint="try again")
    return path.read_bytes()


def _with_overlays(record: RunRecord, found: Found, store: Store) -> RunRecord:
    """The record, its extensions unpacked under a key that is made of their own bytes."""
    if not record.overlays:
        return record
    from bareboat.builder.layers import image_tree_key, make_image_tree

    sizes = {p.sha256: p.size for p in found.artifact.of(kinds.OVERLAY)}
    overlays = []
    for target, key in record.overlays:
        sha256 = key.removeprefix(OVERLAY_KEY)
        digest = f"sha256:{sha256}"  # a plain tar's digest is its DiffID
        image = BaseImage("", digest, 0, "", digest, 0, (ImageLayer(digest, sizes[sha256], digest, TAR),))
        make_image_tree(store, image)
        overlays.append((target, image_tree_key(image)))
    return replace(record, overlays=tuple(overlays))


def _write(record: RunRecord, image: BaseImage, platform: str, came: tuple[Found, list[Part]], store: Store) -> None:
    """The run's directory with log and record, the record last; pinned is what a repetition without network needs."""
    from bareboat.builder.layers import image_tree_key

    found, parts = came
    folder = store.runs.path(record.id)
    if folder.exists():  # somebody's that died before it had a record, or the run without its large results
        store.runs.remove(record.id)
    store.runs.create(record.id)
    try:
        for part in found.artifact.of(kinds.LOG)[:1]:
            _copy(part, folder / "log", store)
        pins = [*(f"blob:{digest}" for digest in record.blobs), *(f"tree:{key}" for _, key in record.overlays),
                *(f"blob:{p.sha256}" for p in parts if p.kind == kinds.RESULT),
                *(f"blob:{digest.removeprefix('sha256:')}" for digest in (image.manifest, image.config)),
                f"tree:{image_tree_key(image)}"]
        store.runs.write(record.id, {**record.document(), "pins": pins, IMAGE: encode(image),
                                       IMAGE_PLATFORM: platform})
    finally:
        store.runs.release(record.id)


def _copy(part: Part, target: Path, store: Store) -> None:
    path = store.verified_blob(part.sha256)
    if path is None:
        raise ArchiveError("artifact.missing-blob", "the log went while it was read", where=part.sha256)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as out, open(path, "rb") as source:
        while chunk := source.read(_CHUNK):
            out.write(chunk)
