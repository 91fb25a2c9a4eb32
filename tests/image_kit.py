"""Whole images of our own making in a registry in memory: layers of layer_factory, config, manifest, index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.builder.layer_factory import GZIP, TYPES, E, d, tar

from bareboat.image.manifest import Platform
from bareboat.image.spec import CONFIG, INDEX, MANIFEST, Descriptor, canonical
from bareboat.registry.base import Content
from bareboat.registry.memory import MemoryRegistry, MemoryRepository


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Made:
    """An image. layers: their entries, bottom to top; run: the config's own part."""

    layers: Sequence[Sequence[E | bytes]] = ((d("etc"), E("etc/name", b"made\n")),)
    run: dict[str, object] = field(default_factory=lambda: {"Env": ["A=1"], "Cmd": ["sh"], "WorkingDir": "/w"})
    platform: Platform = Platform("linux", "amd64")  # noqa: RUF009 - a frozen value
    media_type: str = GZIP

    def put(self, repository: MemoryRepository, tag: str = "", **changes: object) -> Content:
        """Into a repository, under a tag; changes: of the manifest's document."""
        tars = [tar(entries) for entries in self.layers]
        blobs = [TYPES[self.media_type](data) for data in tars]
        config = canonical({"os": self.platform.os, "architecture": self.platform.architecture, "config": self.run,
                            "rootfs": {"type": "layers", "diff_ids": [digest(data) for data in tars]}})
        for blob in (*blobs, config):
            repository.blobs[digest(blob)] = blob
        document = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": Descriptor(CONFIG, digest(config), len(config)).document(),
                    "layers": [Descriptor(self.media_type, digest(b), len(b)).document() for b in blobs], **changes}
        return put(repository, document, MANIFEST, tag)


def put(repository: MemoryRepository, document: object, media_type: str, tag: str = "") -> Content:
    """Any document as a manifest, however wrong it is."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    content = Content(media_type, digest(data), data)
    repository.manifests[content.digest] = content
    if tag:
        repository.names[tag] = content.digest
    return content


def index(repository: MemoryRepository, rows: Sequence[tuple[Content, Platform | None]], tag: str = "") -> Content:
    """An image index over manifests."""
    manifests = []
    for content, platform in rows:
        row: dict[str, object] = content.descriptor.document()
        if platform is not None:
            row["platform"] = {"os": platform.os, "architecture": platform.architecture,
                               **({"variant": platform.variant} if platform.variant else {})}
        manifests.append(row)
    return put(repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, INDEX, tag)


def registry() -> tuple[MemoryRegistry, MemoryRepository]:
    made = MemoryRegistry()
    return made, made.repository("host.example/lab/seg")
