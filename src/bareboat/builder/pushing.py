"""Manifests of the store to a repository: blobs first, several at a time, then manifests, then the tag (trap 69)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bareboat.builder.outgoing import blob_chunks
from bareboat.image.manifest import Index, Manifest, read_manifest
from bareboat.image.spec import Descriptor
from bareboat.registry.base import Blob, Content, Repository

if TYPE_CHECKING:
    from bareboat.store import Store

Progress = Callable[[str, int, int], None]
THREADS = 4
_NOT_OURS_TO_GIVE = ("nondistributable", "foreign")  # media types of layers that are fetched where they are licensed


@dataclass(frozen=True)
class Pushed:
    """What a push did. digest: of what the tag names; counts of blobs; bytes: sent as blobs."""

    digest: str
    there: int = 0
    mounted: int = 0
    sent: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Shipment:
    """What goes together: manifests, each with config and layers in the store, and the index over them where there are
    several; extra: artifacts that speak of them, whose blobs are in the store too.
    """

    manifests: tuple[Content, ...]
    index: Content | None = None
    extra: tuple[Content, ...] = ()

    @property
    def top(self) -> Content:
        """What a tag names."""
        return self.index or self.manifests[0]


def push(store: Store, repository: Repository, shipment: Shipment, tag: str, progress: Progress,
         mount: Callable[[str], str] = lambda _digest: "") -> Pushed:
    """Bring everything there that is not. mount: a digest → another repository of that registry that should have it.

    Idempotent; blobs that arrived before a failure stay and are not sent again. Raises RegistryError, and
    RottenError where the store lacks a blob or its bytes are wrong: no manifest is sent then.
    """
    blobs = _blobs((*shipment.manifests, *shipment.extra))
    total, done, lock = sum(b.size for b in blobs), [0], threading.Lock()

    def opened(descriptor: Descriptor) -> Callable[[int], Iterator[bytes]]:
        def chunks(at: int) -> Iterator[bytes]:
            for chunk in blob_chunks(store, descriptor.digest.removeprefix("sha256:"), at):
                yield chunk
                with lock:
                    done[0] += len(chunk)
                    progress("push", min(done[0], total), total)

        return chunks

    def send(descriptor: Descriptor) -> tuple[str, int]:
        sent = repository.put_blob(Blob(descriptor, opened(descriptor)), mount(descriptor.digest))
        if sent.how != "sent":
            with lock:
                done[0] += descriptor.size
        return sent.how, sent.bytes

    with ThreadPoolExecutor(max(1, min(THREADS, len(blobs)))) as pool:
        hows = list(pool.map(send, blobs))
    top = shipment.top
    for content in shipment.manifests:
        repository.put_manifest(content, tag if content is top else "")
    if shipment.index is not None:
        repository.put_manifest(shipment.index, tag)
    for content in shipment.extra:
        repository.put_manifest(content)
    count = {how: sum(h == how for h, _ in hows) for how in ("there", "mounted", "sent")}
    return Pushed(top.digest, count["there"], count["mounted"], count["sent"], sum(size for _, size in hows))


def _blobs(contents: Sequence[Content]) -> list[Descriptor]:
    """Configs and layers of all of them, each once, the largest first."""
    found: dict[str, Descriptor] = {}
    for content in contents:
        document = read_manifest(content.data, content.media_type, content.digest)
        assert not isinstance(document, Index)
        for entry in _entries(document):
            found.setdefault(entry.digest, entry)
    return sorted(found.values(), key=lambda d: -d.size)


def _entries(document: Manifest) -> Iterator[Descriptor]:
    yield document.config.descriptor
    for layer in document.layers:
        if not (layer.urls and any(word in layer.descriptor.media_type for word in _NOT_OURS_TO_GIVE)):
            yield layer.descriptor
