"""The bill of materials of a plan as a document, and as an artifact whose subject is the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bareboat.builder.contents import contents
from bareboat.builder.image import bottom_keys, top_keys
from bareboat.errors import UsageError
from bareboat.image.artifact import EMPTY_CONFIG, artifact_manifest
from bareboat.image.inventory import Inventory, inventory
from bareboat.image.manifest import EMPTY
from bareboat.image.plan import Plan
from bareboat.image.spec import MANIFEST, TITLE, Descriptor, describe
from bareboat.image.wheel import wheel_tree_key

if TYPE_CHECKING:
    from bareboat.registry.base import Blob, Content
    from bareboat.store import Store

FORMAT = "2"  # raised when the same plan would give another document
SPDX, CYCLONEDX = "spdx", "cyclonedx"
FORMS = (SPDX, CYCLONEDX)


@dataclass(frozen=True)
class Document:
    """A bill of materials. listed: how many packages; notes: what of the image could not be listed."""

    media_type: str
    data: bytes
    listed: int = 0
    notes: tuple[str, ...] = ()


def plan_keys(plan: Plan) -> tuple[str, ...]:
    """The keys of all trees of a plan, bottom to top. Pure."""
    return (*bottom_keys(plan), *(wheel_tree_key(w, plan.interpreter) for w in plan.wheels), *top_keys(plan))


def take_inventory(store: Store, plan: Plan, name: str = "", created: str = "") -> Inventory:
    """Everything in the image of a plan whose trees are in the store: what was locked, and what its files tell."""
    return inventory(plan, contents(store, plan_keys(plan)), name, created)


def sbom_document(store: Store, plan: Plan, form: str = SPDX, name: str = "", created: str = "") -> Document:
    """The bill of materials of a plan in one of FORMS. The same plan and name give the same bytes.

    created: ISO 8601 UTC, instead of the lock's date. Its trees must be in the store.
    """
    taken = take_inventory(store, plan, name, created)
    if form == SPDX:
        from bareboat.image.spdx import MEDIA_TYPE, spdx

        return Document(MEDIA_TYPE, spdx(taken), len(taken.components), taken.notes)
    if form != CYCLONEDX:
        raise UsageError("sbom.format", f"there is no format {form!r}", hint=f"one of {', '.join(FORMS)}")
    from bareboat.image.cyclonedx import MEDIA_TYPE as CYCLONEDX_TYPE
    from bareboat.image.cyclonedx import cyclonedx

    return Document(CYCLONEDX_TYPE, cyclonedx(taken), len(taken.components), taken.notes)


def attach_sbom(image: Descriptor, document: Document) -> tuple[Content, tuple[Blob, ...]]:
    """The referrer of an image that holds a document: its manifest, and the blobs to send before it."""
    from bareboat.registry.base import Blob, Content

    layer = describe(document.media_type, document.data)
    manifest = artifact_manifest(document.media_type, [(layer, {TITLE: "sbom.json"})], image)
    found = describe(MANIFEST, manifest)

    def blob(descriptor: Descriptor, data: bytes) -> Blob:
        def read(at: int) -> Iterator[bytes]:
            yield from (data[n : n + (1 << 20)] for n in range(at, len(data), 1 << 20))

        return Blob(descriptor, read)

    return (Content(MANIFEST, found.digest, manifest),
            (blob(describe(EMPTY, EMPTY_CONFIG), EMPTY_CONFIG), blob(layer, document.data)))
