"""An inventory as CycloneDX 1.6 JSON, by cyclonedx-python-lib. Pure: the same inventory gives the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bareboat import __version__
from bareboat.image.inventory import Component as Package
from bareboat.image.inventory import Inventory

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

MEDIA_TYPE = "application/vnd.cyclonedx+json"


def cyclonedx(inventory: Inventory) -> bytes:
    """The document, valid by the specification's schema; times and identifiers are the inventory's."""
    from datetime import datetime
    from uuid import UUID

    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    bom = Bom(serial_number=UUID(inventory.id))
    bom.metadata.timestamp = datetime.fromisoformat(inventory.created.replace("Z", "+00:00"))
    bom.metadata.tools.components.add(Component(name="bareboat", version=__version__, type=ComponentType.APPLICATION))
    told = [("bareboat:plan", inventory.plan), ("bareboat:platform", inventory.platform)]
    told += [(f"bareboat:note:{n}", note) for n, note in enumerate(inventory.notes)]
    image = Component(name=inventory.name, version=inventory.plan, type=ComponentType.CONTAINER,
                      bom_ref=inventory.plan, properties=[Property(name=n, value=v) for n, v in told])
    bom.metadata.component = image
    parts = [_component(package) for package in inventory.components]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(image, parts)
    return JsonV1Dot6(bom).output_as_string().encode()


def _component(package: Package) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    kind = ComponentType.CONTAINER if package.kind == "oci" else ComponentType.LIBRARY
    references = []
    if "://" in package.source:
        references = [ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(package.source))]
    return Component(
        name=package.name, version=package.version, type=kind, bom_ref=package.id,
        purl=PackageURL.from_string(package.purl),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=package.sha256)] if package.sha256 else [],
        external_references=references,
        properties=[Property(name="bareboat:path", value=f"/{path}") for path in package.paths])
