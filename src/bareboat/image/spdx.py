"""An inventory as SPDX 2.3 JSON, by spdx-tools. Pure: the same inventory gives the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bareboat import __version__
from bareboat.image.inventory import Component, Inventory
from bareboat.image.spec import canonical

if TYPE_CHECKING:
    from spdx_tools.spdx.model import Package

MEDIA_TYPE = "application/spdx+json"
IMAGE = "SPDXRef-Image"


def spdx(inventory: Inventory) -> bytes:
    """The document; times and identifiers are the inventory's."""
    from datetime import datetime

    from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
    from spdx_tools.spdx.model import (
        Actor,
        ActorType,
        CreationInfo,
        Document,
        Package,
        PackagePurpose,
        Relationship,
        RelationshipType,
        SpdxNoAssertion,
    )

    about = CreationInfo(
        spdx_version="SPDX-2.3", spdx_id="SPDXRef-DOCUMENT", name=inventory.name,
        document_namespace=f"https://spdx.org/spdxdocs/bareboat-{inventory.id}",
        creators=[Actor(ActorType.TOOL, f"bareboat-{__version__}")],
        created=datetime.fromisoformat(inventory.created.removesuffix("Z")),
        document_comment="\n".join((f"plan {inventory.plan}", f"platform {inventory.platform}", *inventory.notes)))
    image = Package(spdx_id=IMAGE, name=inventory.name, version=inventory.plan, download_location=SpdxNoAssertion(),
                    files_analyzed=False, primary_package_purpose=PackagePurpose.CONTAINER)
    packages = [_package(component) for component in inventory.components]
    relations = [Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, IMAGE)]
    relations += [Relationship(IMAGE, RelationshipType.CONTAINS, p.spdx_id) for p in packages]
    document = Document(about, packages=[image, *packages], relationships=relations)
    return canonical(DocumentConverter().convert(document))  # type: ignore[no-untyped-call]


def _package(component: Component) -> Package:
    from spdx_tools.spdx.model import (
        Checksum,
        ChecksumAlgorithm,
        ExternalPackageRef,
        ExternalPackageRefCategory,
        Package,
        SpdxNoAssertion,
    )

    where = component.source if component.source.startswith(("https://", "http://")) else SpdxNoAssertion()
    told = ", ".join(f"/{path}" for path in component.paths)
    return Package(
        spdx_id=f"SPDXRef-{component.kind}-{component.id}", name=component.name, version=component.version,
        download_location=where, files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, component.sha256)] if component.sha256 else [],
        source_info=f"told by {told}" if told else None,
        external_references=[ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", component.purl)])
