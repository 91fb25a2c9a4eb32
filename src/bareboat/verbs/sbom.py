"""sbom: every package of an image as a document that other tools read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bareboat import __version__
from bareboat.errors import UsageError
from bareboat.record.values import timestamp
from bareboat.verbs.collaborators import Work
from bareboat.verbs.subject import Subject

if TYPE_CHECKING:
    from bareboat.builder.sbom import Document
    from bareboat.image.plan import Plan
    from bareboat.image.spec import Descriptor
    from bareboat.registry.base import Repository


def sbom(of: Subject, form: str, work: Work, env: Mapping[str, str] = os.environ) -> Document:
    """The bill of materials in a form of builder.sbom.FORMS: the same image gives the same bytes, on every machine.

    SOURCE_DATE_EPOCH in env stands in for the lock's date. What cannot be listed is said.
    """
    from bareboat.builder.sbom import sbom_document

    document = sbom_document(work.store, of.plan, form, of.name, created(env))
    for note in document.notes:
        work.tell.say(note)
    return document


def attach(images: Sequence[tuple[Descriptor, Plan]], target: Repository, form: str, work: Work) -> int:
    """Bring a bill of materials of each image to where it was pushed, as its referrer; how many were taken.

    Idempotent: the same image has the same document, wherever it is made. A registry that does not take artifacts has
    the image already, so that is told and is no failure.
    """
    from bareboat.builder.pushing import Shipment, push
    from bareboat.builder.sbom import attach_sbom
    from bareboat.registry.base import RegistryError

    taken = 0
    for image, plan in images:
        content, blobs = attach_sbom(image, _kept(plan, form, work))
        for blob in blobs:
            work.store.put_blob(blob.open(0), sha256=blob.descriptor.digest.removeprefix("sha256:"))
        try:
            push(work.store, target, Shipment((content,)), "", work.tell.progress)
            taken += 1
        except RegistryError as error:
            work.tell.say(f"the bill of materials was not taken: {error.what} [{error.code}]; the image was")
    return taken


def _kept(plan: Plan, form: str, work: Work) -> Document:
    """The document of a plan, from the last time it was made where it was: a push that sends nothing is not to wait."""
    from bareboat.builder.sbom import FORMAT, Document, sbom_document

    key = f"sbom-{FORMAT}-{__version__}-{form}-{plan.digest.removeprefix('sha256:')}"
    note = work.store.get_json("cache", key)
    path = work.store.verified_blob(str(note["blobs"][0])) if isinstance(note, dict) else None
    if path is not None and isinstance(note, dict):
        return Document(str(note["type"]), path.read_bytes())
    made = sbom_document(work.store, plan, form)
    blob = work.store.put_blob([made.data])
    work.store.put_json("cache", key, {"blobs": [blob], "type": made.media_type})
    return made


def created(env: Mapping[str, str]) -> str:
    """SOURCE_DATE_EPOCH as ISO 8601, "" where it is not set (reproducible-builds.org). UsageError "sbom.epoch"."""
    text = env.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return ""
    if not (text.isascii() and text.isdigit() and len(text) < 20) or int(text) > 253402300799:  # year 9999
        raise UsageError("sbom.epoch", f"SOURCE_DATE_EPOCH is {text!r}, no number of seconds since 1970")
    return timestamp(int(text))
