"""push: an image of this machine to a registry, a layout or Docker's daemon, in its shipped form."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from bareboat.builder.outgoing import RottenError
from bareboat.builder.pushing import Pushed, Shipment
from bareboat.builder.pushing import push as send
from bareboat.builder.sbom import SPDX
from bareboat.errors import UsageError
from bareboat.image.manifest import read_manifest
from bareboat.image.reference import is_digest
from bareboat.registry.base import Content
from bareboat.registry.places import DAEMON, LAYOUT, REGISTRY, Place
from bareboat.verbs import origins
from bareboat.verbs.collaborators import Work
from bareboat.verbs.images import plans_of, stored_plan
from bareboat.verbs.registries import repository
from bareboat.verbs.sbom import attach

if TYPE_CHECKING:
    from bareboat.image.spec import Image
    from bareboat.registry.base import Repository


def push(name: str, place: Place, work: Work, sbom: str = "") -> Pushed:
    """Make the image's layers where they are missing, and bring what the place does not have.

    sbom: the form of the bill of materials that is attached, "none", or "": SPDX at a registry, none elsewhere.
    Raises UsageError "image.unknown", "push.digest" for a digest that is not the image's, RegistryError, and what
    assembling raises.
    """
    began = time.monotonic()
    if place.kind == LAYOUT and is_digest(place.wanted):
        raise UsageError("push.digest", "an image is put into a layout under a tag", where=str(place),
                         hint="oci:DIR:TAG")
    if place.kind == DAEMON:
        return _to_daemon(name, place, work)
    form = sbom or (SPDX if place.kind == REGISTRY else "none")
    with closing(repository(place, work, create=True)) as target:
        try:
            shipment, pushed = _send(name, target, place, work)
        except RottenError:  # what was wrong on this disk is out of the store, so it is made anew
            shipment, pushed = _send(name, target, place, work)
        if form != "none":
            plans = [stored_plan(digest, work) for digest in plans_of(name, work)]
            attach([(c.descriptor, p) for c, p in zip(shipment.manifests, plans, strict=True)], target, form, work)
    origins.remember(place.reference, _digests(shipment), work)
    _say(pushed, place, time.monotonic() - began, work)
    return pushed


def _send(name: str, target: Repository, place: Place, work: Work) -> tuple[Shipment, Pushed]:
    shipment = shipment_of(name, work)
    tag = place.wanted or "latest"
    if is_digest(tag):
        if tag != shipment.top.digest:
            raise UsageError("push.digest", f"the image's digest is {shipment.top.digest}", where=str(place),
                             hint="name a tag to push it under: HOST/REPOSITORY:TAG or oci:DIR:TAG")
        tag = place.reference.tag if place.reference is not None else tag
    return shipment, send(work.store, target, shipment, tag, work.tell.progress, origins.mounts(place.reference, work))


def shipment_of(name: str, work: Work) -> Shipment:
    """Everything of an image that travels, its blobs made and in the store: with an index where the name stands for
    several platforms. An image that was pulled out of an index is that one image.
    """
    from bareboat.builder.blobs import make_blobs
    from bareboat.image.spec import INDEX, describe, platform_index
    from bareboat.verbs.lock import sources

    images = [make_blobs(work.store, stored_plan(digest, work), sources(work), work.tell.progress)
              for digest in plans_of(name, work)]
    manifests = tuple(content_of(image) for image in images)
    if len(images) == 1:
        return Shipment(manifests)
    index = platform_index(images)
    return Shipment(manifests, Content(INDEX, describe(INDEX, index).digest, index))


def content_of(image: Image) -> Content:
    """The manifest of a made image."""
    of = image.descriptor
    return Content(of.media_type, of.digest, image.manifest)


def _digests(shipment: Shipment) -> list[str]:
    found = []
    for content in shipment.manifests:
        document = read_manifest(content.data, content.media_type, content.digest)
        found += [e.descriptor.digest for e in document.layers] if hasattr(document, "layers") else []
    return found


def _to_daemon(name: str, place: Place, work: Work) -> Pushed:
    from bareboat.registry.archive import file_chunks
    from bareboat.verbs.daemon import loaded, named
    from bareboat.verbs.save import Target, save

    assert place.reference is not None
    with work.store.scratch("docker") as folder:
        # under the name that is meant alone: the one it has here may be another image's there
        saved = save(name, Target(folder / "image.tar"), work, one=True, label=place.reference.short)
        there = loaded(file_chunks((folder / "image.tar").open("rb")))
    if there != place.reference.short:
        named(there, place.reference.short)
    work.tell.say(f"loaded into Docker: {place.reference.short}")
    return Pushed(saved.manifest, sent=saved.layers, bytes=saved.size)


def _say(pushed: Pushed, place: Place, seconds: float, work: Work) -> None:
    from bareboat.units import format_size

    blobs = "1 blob" if pushed.sent == 1 else f"{pushed.sent} blobs"
    parts = [f"{blobs} sent, {format_size(pushed.bytes)}" if pushed.sent else "nothing to send"]
    if pushed.mounted:
        parts.append(f"{pushed.mounted} mounted")
    if pushed.there:
        parts.append(f"{pushed.there} there already")
    work.tell.say(f"pushed {place}: {', '.join(parts)}, {seconds:.1f} s")
