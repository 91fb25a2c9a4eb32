"""The fake: a registry in memory, for tests of what stands on the seam."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from bareboat.image.reference import is_digest
from bareboat.image.spec import Descriptor
from bareboat.registry import answers, referrers
from bareboat.registry.base import Blob, Content, RegistryError, Sent

_CHUNK = 1 << 16


@dataclass
class MemoryRegistry:
    """Repositories by name; cut: digests whose next reading ends after so many bytes, once."""

    repositories: dict[str, MemoryRepository] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)

    def repository(self, name: str) -> MemoryRepository:
        """The repository of this name, made when it is first asked for."""
        return self.repositories.setdefault(name, MemoryRepository(name, self))


class MemoryRepository:
    """As base.Repository has it. sent: what put_blob did, in order."""

    def __init__(self, name: str = "memory/repository", registry: MemoryRegistry | None = None) -> None:
        self._name, self._registry = name, registry or MemoryRegistry()
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, Content] = {}
        self.names: dict[str, str] = {}
        self.sent: list[Sent] = []

    @property
    def name(self) -> str:
        """As it was made."""
        return self._name

    def manifest(self, reference: str) -> Content:
        """By tag or digest."""
        digest = reference if is_digest(reference) else self.names.get(reference, "")
        if digest not in self.manifests:
            raise self._missing(reference)
        return self.manifests[digest]

    def head(self, reference: str) -> Descriptor | None:
        """The descriptor, or None."""
        try:
            return self.manifest(reference).descriptor
        except RegistryError:
            return None

    def blob(self, descriptor: Descriptor, at: int = 0) -> Iterator[bytes]:
        """The bytes, cut where the registry is told to."""
        if descriptor.digest not in self.blobs:
            raise self._missing(descriptor.digest)
        return self._bytes(descriptor.digest, at)

    def put_blob(self, blob: Blob, mount: str = "") -> Sent:
        """Verified, as registries do."""
        digest = blob.descriptor.digest
        source = self._registry.repositories.get(mount)
        if digest in self.blobs:
            sent = Sent("there")
        elif source is not None and digest in source.blobs:
            self.blobs[digest] = source.blobs[digest]
            sent = Sent("mounted")
        else:
            data = b"".join(blob.open(0))
            algorithm, _, hexed = digest.partition(":")
            if not is_digest(digest) or hashlib.new(algorithm, data).hexdigest() != hexed:
                raise RegistryError("registry.digest", "these bytes are not what their descriptor says", where=digest)
            self.blobs[digest] = data
            sent = Sent("sent", len(data))
        self.sent.append(sent)
        return sent

    def put_manifest(self, content: Content, tag: str = "") -> None:
        """By digest, and by tag where one is given."""
        if answers.digest_of(content.data, content.digest) != content.digest:
            raise RegistryError("registry.digest", "these bytes are not what their digest says", where=self._name)
        referrers.subject_of(content, self._name)
        self.manifests[content.digest] = content
        if tag:
            self.names[tag] = content.digest

    def tags(self) -> list[str]:
        """Every tag, sorted."""
        return sorted(self.names)

    def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """The manifests whose subject it is."""
        found = []
        for content in self.manifests.values():
            subject = referrers.subject_of(content, self._name)
            kind = referrers.row(content, self._name).get("artifactType")
            if subject is not None and subject.digest == digest and artifact_type in ("", kind):
                found.append(content.descriptor)
        return tuple(found)

    def close(self) -> None:
        """Nothing is held."""

    def _bytes(self, digest: str, at: int) -> Iterator[bytes]:
        data = self.blobs[digest]
        end = self._registry.cut.pop(digest, len(data))
        for start in range(at, min(end, len(data)), _CHUNK):
            yield data[start:min(start + _CHUNK, end)]
        if end < len(data):
            raise RegistryError("registry.cut", "the connection ended early", where=digest)

    def _missing(self, reference: str) -> RegistryError:
        return RegistryError("registry.not-found", "the registry does not have it", where=f"{self._name} {reference}")
