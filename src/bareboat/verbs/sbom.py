"""sbom: every package of an image as a document that other tools read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bareboat.errors import UsageError
from bareboat.record.values import timestamp
from bareboat.verbs.collaborators import Work
from bareboat.verbs.subject import Subject

if TYPE_CHECKING:
    from bareboat.builder.sbom import Document


def sbom(of: Subject, form: str, work: Work, env: Mapping[str, str] = os.environ) -> Document:
    """The bill of materials in a form of builder.sbom.FORMS: the same image gives the same bytes, on every machine.

    SOURCE_DATE_EPOCH in env stands in for the lock's date. What cannot be listed is said.
    """
    from bareboat.builder.sbom import sbom_document

    document = sbom_document(work.store, of.plan, form, of.name, created(env))
    for note in document.notes:
        work.tell.say(note)
    return document


def created(env: Mapping[str, str]) -> str:
    """SOURCE_DATE_EPOCH as ISO 8601, "" where it is not set (reproducible-builds.org). UsageError "sbom.epoch"."""
    text = env.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return ""
    if not text.isdigit() or int(text) > 253402300799:  # year 9999
        raise UsageError("sbom.epoch", f"SOURCE_DATE_EPOCH is {text!r}, no number of seconds since 1970")
    return timestamp(int(text))
