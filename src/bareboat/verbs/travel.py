"""A run made ready to leave: record, lock, code, small results and log as an artifact of its image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.builder.outgoing import RottenError
from bareboat.errors import RecordError, UsageError
from bareboat.image.spec import INDEX, MANIFEST, Image, canonical, describe
from bareboat.record import artifact as kinds
from bareboat.record.artifact import Part, make_artifact, make_index
from bareboat.record.foreign import DATA_FROM_MOST, OVERLAY_KEY
from bareboat.record.states import final
from bareboat.record.values import RunRecord
from bareboat.verbs.collaborators import Work
from bareboat.verbs.runs import find
from bareboat.verbs.show import log_path

if TYPE_CHECKING:
    from bareboat.registry.base import Content, Repository
    from bareboat.verbs.save import Saved, Target

RESULTS_MOST = 400  # large results in one artifact: a manifest has at most 500 layers
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Luggage:
    """What goes along besides record, lock, code and small results. large: results that were too large to be kept,
    from where the run left them; log: what the program said; data_from: a URL or a line on where its data can be had.
    """

    large: bool = False
    log: bool = True
    data_from: str = ""


@dataclass(frozen=True)
class Destination:
    """Where a run is pushed to. mount: a digest → another repository of that registry that should have it, or ""."""

    repository: Repository
    tag: str
    mount: Callable[[str], str] = lambda _digest: ""


@dataclass(frozen=True)
class Packed:
    """A run ready to leave, every blob of it in the store. record: as the receiver will have it; index: what a tag will
    name; artifact: the run's manifest; parts: its blobs.
    """

    record: RunRecord
    image: Image
    artifact: bytes
    index: bytes
    parts: tuple[Part, ...]

    @property
    def top(self) -> str:
        """Digest of the index, which a tag names."""
        return describe(INDEX, self.index).digest

    @property
    def digest(self) -> str:
        """Of the run's manifest."""
        return describe(MANIFEST, self.artifact).digest

    @property
    def small(self) -> tuple[bytes, ...]:
        """Documents that are blobs of a layout and are held here."""
        return self.image.config, self.image.manifest, self.artifact, self.index

    @property
    def size(self) -> int:
        """Bytes of the run itself, without its image."""
        return sum(p.size for p in self.parts) + len(self.artifact)


def send_run(run: str, text: str, luggage: Luggage, work: Work) -> Packed:
    """As push_run, to a place as people write it. Raises UsageError "reference.*", "usage.run-place"."""
    from bareboat.image.reference import is_digest
    from bareboat.registry.places import DAEMON, parse_place
    from bareboat.verbs import origins
    from bareboat.verbs.registries import repository

    place = parse_place(text)
    if place.kind == DAEMON or is_digest(place.wanted):
        raise UsageError("usage.run-place", "a run is pushed to a registry or a layout, under a tag", where=text[:200],
                         hint="name a tag: HOST/REPOSITORY:TAG or oci:DIR:TAG")
    to = Destination(repository(place, work, create=True), place.wanted or "latest",
                     origins.mounts(place.reference, work))
    packed = push_run(run, to, luggage, work)
    origins.remember(place.reference, (layer.digest for layer in packed.image.layers), work)
    return packed


def push_run(run: str, to: Destination, luggage: Luggage, work: Work) -> Packed:
    """Bring a run and the image it ran in to a repository under a tag. Idempotent; blobs first, then manifests, the tag
    last (trap 69). Raises RecordError, RegistryError, and what making the image raises.
    """
    from bareboat.builder.pushing import Shipment, push

    packed = pack(run, luggage, work)
    of = packed.image.descriptor
    shipment = Shipment((_content(of.media_type, packed.image.manifest), _content(MANIFEST, packed.artifact)),
                        _content(INDEX, packed.index))
    sent = push(work.store, to.repository, shipment, to.tag, work.tell.progress, to.mount)
    work.tell.say(f"pushed run {packed.record.id} to {to.repository.name}:{to.tag}: {_told(packed)}; {sent.sent} blobs "
                  f"sent, {sent.there + sent.mounted} there already")
    return packed


def save_run(run: str, target: Target, luggage: Luggage, work: Work) -> Saved:
    """Write a run and its image as one OCI layout, a tar or a directory, for people without a registry. Atomic as save.

    A tool that copies images copies it whole (skopeo copy --all), and `docker load` takes the image out of it.
    """
    from bareboat.verbs.save import check

    check(target)
    packed = pack(run, luggage, work)
    try:
        return _save(packed, target, work)
    except RottenError:
        if target.path is None:
            raise
        return _save(pack(run, luggage, work), target, work)  # a layer that rotted was removed: it is made again


def _save(packed: Packed, target: Target, work: Work) -> Saved:
    from bareboat.image.layout import Member, docker_manifest
    from bareboat.verbs.save import Saved, write

    top = describe(INDEX, packed.index)
    name = {"org.opencontainers.image.ref.name": f"run-{packed.record.id}"}
    outer = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**top.document(), "annotations": name}]})
    files = [("oci-layout", canonical({"imageLayoutVersion": "1.0.0"})), ("index.json", outer)]
    if not target.directory:
        files.append(("manifest.json", docker_manifest(packed.image, f"bareboat-run:{packed.record.id}")))
    files += [(f"blobs/sha256/{hashlib.sha256(data).hexdigest()}", data) for data in packed.small]
    members = [Member(path, len(data), data) for path, data in files]
    blobs = dict.fromkeys((*packed.image.layers, *(p.descriptor for p in packed.parts)))
    sizes = {d.digest.removeprefix("sha256:"): d.size for d in blobs}
    members += [Member(f"blobs/sha256/{sha256}", size, None, sha256) for sha256, size in sizes.items()]
    write(target, tuple(members), work)
    work.tell.say(f"saved run {packed.record.id}: {_told(packed)}")
    return Saved(top.digest, packed.record.plan, len(packed.image.layers), sum(m.size for m in members))


def pack(run: str, luggage: Luggage, work: Work) -> Packed:
    """Everything of a run that travels, in the store. Idempotent: the same run and luggage give the same digests.

    Raises RecordError "record.unfinished", "record.plan-gone", "record.code-gone", "record.result-gone",
    "record.extension-gone", UsageError "usage.data-from".
    """
    from bareboat.builder.blobs import make_blobs
    from bareboat.record.codec import encode_bytes
    from bareboat.verbs.lock import sources
    from bareboat.verbs.rerun import image_of

    if len(luggage.data_from) > DATA_FROM_MOST:
        raise UsageError("usage.data-from", f"more than {DATA_FROM_MOST} characters", where="--data-from")
    record = find(work.store, run)
    if not final(record.state):
        raise RecordError("record.unfinished", f"the run is still {record.state}", where=f"run {record.id}",
                          hint="wait for its end")
    plan = image_of(record, work)  # of a run from elsewhere the image that came, never what its record calls a plan
    parts: list[Part] = []
    record = _with_code(record, parts, work)
    record = _with_overlays(record, parts, work)
    parts.append(_part(kinds.PLAN, record.plan_blob, "plan.json", record, work))
    parts += [_part(kinds.LOCK, digest, name, record, work) for name, digest in record.locks]
    parts += [_part(kinds.STARTUP, m.within, "startup", record, work) for m in record.mounts if m.kind == "startup"]
    if record.results.pack:
        parts.append(_part(kinds.RESULTS, record.results.pack, "small results", record, work))
    if luggage.large:
        parts += _large(record, work)
    log = log_path(work.store, record) if luggage.log else None
    if log is not None and log.stat().st_size <= kinds.PARTS[kinds.LOG]:
        parts.append(_of_file(kinds.LOG, log, "log", work))
    else:
        record = replace(record, log="")
    image = make_blobs(work.store, plan, sources(work), work.tell.progress)
    if record.manifest and record.origin and record.manifest != image.descriptor.digest:
        raise RecordError("record.plan-gone", "the image made from the plan is not the one of the run",
                          where=f"run {record.id}", hint="push it again with the bareboat that ran it")
    document = work.store.get_json("plans", record.plan)
    if isinstance(document, dict) and document.get("manifest") != image.descriptor.digest:
        work.store.put_json("plans", record.plan, {**document, "manifest": image.descriptor.digest})
    record = as_sent(replace(record, manifest=image.descriptor.digest, data_from=luggage.data_from or record.data_from))
    encoded = encode_bytes(record)
    work.store.put_blob([encoded])
    artifact = make_artifact(record, encoded, parts, image.descriptor)
    index = make_index(image.descriptor, image.platform, describe(MANIFEST, artifact))
    for data in (artifact, index):
        work.store.put_blob([data])
    record_part = Part(kinds.RECORD, hashlib.sha256(encoded).hexdigest(), len(encoded), "record")
    return Packed(record, image, artifact, index, (record_part, *dict.fromkeys(parts)))


def as_sent(record: RunRecord) -> RunRecord:
    """The record as it leaves: without what only says something here, and without the secret mark of this machine,
    which would let its reader make records that look like ours. Pure.
    """
    host = replace(record.host, mark="") if record.host is not None else None
    return replace(record, host=host, origin="")


def _with_code(record: RunRecord, parts: list[Part], work: Work) -> RunRecord:
    """The record with its code in a pack of its own; left as it is where there is none."""
    if record.code is None:
        return record
    from bareboat.store.codetree import repack

    code = repack(work.store, record.code)
    record = replace(record, code=code)
    parts.append(_part(kinds.CODE_INDEX, code.index, "code index", record, work))
    parts += [_part(kinds.CODE_PACK, digest, "code", record, work) for digest in code.packs]
    return record


def _with_overlays(record: RunRecord, parts: list[Part], work: Work) -> RunRecord:
    """The record with its compiled extensions as layers, named by what is in them: a key of ours means nothing there,
    and must not be believed there either.
    """
    found = []
    for target, key in record.overlays:
        tree = work.store.tree(key)
        if tree is None:
            raise RecordError("record.extension-gone", "the store does not have the project's compiled extensions",
                              where=f"run {record.id}", hint="run the project again, and send that run")
        sha256 = work.store.put_blob(_tar(tree), where=f"extensions at {target}")
        part = _part(kinds.OVERLAY, sha256, "extensions", record, work)
        parts.append(part)
        found.append((target, OVERLAY_KEY + sha256))
    return replace(record, overlays=tuple(found))


def _tar(tree: Path) -> Iterator[bytes]:
    """A tree as a plain tar, whose digest is its DiffID as well: one name for the bytes and for what they become."""
    import zlib

    from bareboat.builder.blobs import tree_entries
    from bareboat.image.layer import store_tree

    inflate = zlib.decompressobj(wbits=31)
    for chunk in store_tree(tree_entries(tree)):
        while chunk:
            yield inflate.decompress(chunk)
            chunk = inflate.unused_data
            if inflate.eof:
                inflate = zlib.decompressobj(wbits=31)


def _large(record: RunRecord, work: Work) -> list[Part]:
    """Results that were too large to be kept, read from where the run left them; they must be what they were."""
    from bareboat.store.results import open_inside

    wanted = [f for f in record.results.files if f.sha256 and not f.kept and not f.link]
    if len(wanted) > RESULTS_MOST:
        raise UsageError("usage.with-results", f"{len(wanted)} large results; {RESULTS_MOST} can go along",
                         where="--with-results", hint="put them into an archive, and say where: --data-from")
    parts = []
    for file in wanted:
        if work.store.blob(file.sha256) is None:
            try:
                fd = open_inside(Path(record.results.folder), file.path)
            except OSError as error:
                raise _changed(record, file.path, error.strerror or "not there") from None
            with open(fd, "rb") as source:
                found = work.store.put_blob(iter(lambda: source.read(_CHUNK), b""), where=file.path)
            if found != file.sha256:
                raise _changed(record, file.path, "it has other contents now")
        parts.append(_part(kinds.RESULT, file.sha256, file.path, record, work))
    return parts


def _changed(record: RunRecord, path: str, why: str) -> RecordError:
    return RecordError("record.result-gone", f"the result {path} is not what the run left: {why}",
                       where=record.results.folder, hint="send the run without it: leave out --with-results")


def _part(kind: str, sha256: str, title: str, record: RunRecord, work: Work) -> Part:
    path = work.store.blob(sha256)
    if path is None:
        raise RecordError("record.part-gone", f"the store no longer has a part of the run: {title}",
                          where=f"run {record.id}", hint="bareboat check says what else is damaged")
    return Part(kind, sha256, path.stat().st_size, _title(title))


def _title(text: str) -> str:
    """A title that is text in any JSON: a name that is not UTF-8 has its odd bytes written out."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _of_file(kind: str, path: Path, title: str, work: Work) -> Part:
    sha256 = work.store.put_file(path, where=title)
    blob = work.store.blob(sha256)
    assert blob is not None  # put just now, and leased by this process
    return Part(kind, sha256, blob.stat().st_size, title)


def _content(media_type: str, data: bytes) -> Content:
    from bareboat.registry.base import Content

    return Content(media_type, describe(media_type, data).digest, data)


def _told(packed: Packed) -> str:
    from bareboat.units import format_size

    count = len(packed.record.results.files)
    kept = sum(f.kept for f in packed.record.results.files) + sum(p.kind == kinds.RESULT for p in packed.parts)
    results = f"{kept} of {count} results in it" if count else "no results"
    withheld = f"; withheld: {', '.join(packed.record.withheld)}" if packed.record.withheld else ""
    return f"{format_size(packed.size)} besides the image, {results}{withheld}"
