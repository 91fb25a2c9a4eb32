"""The seam: one repository, wherever it is. Real ones are in client.py and layout.py, the fake in memory.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from bareboat.errors import ResolveError
from bareboat.image.spec import Descriptor


class RegistryError(ResolveError):
    """A registry could not be reached, refused, or answered what the specification does not allow."""


@dataclass(frozen=True)
class Content:
    """A manifest or index as the bytes that were hashed. digest is theirs; media_type as the server or layout said."""

    media_type: str
    digest: str
    data: bytes

    @property
    def descriptor(self) -> Descriptor:
        """What others point at it by."""
        return Descriptor(self.media_type, self.digest, len(self.data))


@dataclass(frozen=True)
class Blob:
    """A blob that can be sent. open(at): its bytes from there on, in chunks of at most 1 MiB; may be called again."""

    descriptor: Descriptor
    open: Callable[[int], Iterator[bytes]]


@dataclass(frozen=True)
class Sent:
    """How a blob got there. how: "there" (it was), "mounted" (from another repository), "sent"; bytes: on the wire."""

    how: str
    bytes: int = 0


class Repository(Protocol):
    """One repository. Safe to use from several threads. Failures: RegistryError "registry.*", where: the reference.

    Digests of manifests are verified here. Bytes of blobs are passed on as they come: whoever takes them verifies them
    (store.put_blob does), and asks again from where it stopped.
    """

    @property
    def name(self) -> str:
        """As a user would write it, without tag: "ghcr.io/lab/seg", "oci:/images/seg"."""

    def manifest(self, reference: str) -> Content:
        """By tag or digest, verified. Raises RegistryError "registry.not-found"."""

    def head(self, reference: str) -> Descriptor | None:
        """The descriptor behind a tag or digest without its bytes where that is possible; None when there is none."""

    def blob(self, descriptor: Descriptor, at: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from an offset on. Raises RegistryError "registry.not-found"; cut short: "registry.cut",
        after which the caller may ask again from where it is."""

    def put_blob(self, blob: Blob, mount: str = "") -> Sent:
        """Bring a blob there. mount: another repository of the same registry that has it. Idempotent; goes on where
        it was cut."""

    def put_manifest(self, content: Content, tag: str = "") -> None:
        """After all it names is there. Without a tag by digest alone. A subject is entered among its referrers, by the
        tag schema where the registry does not do it itself."""

    def tags(self) -> list[str]:
        """Every tag, sorted."""

    def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """Manifests whose subject this is (distribution-spec, "Listing Referrers"), of one artifact type when said."""

    def close(self) -> None:
        """Let connections go; idempotent. It can be used again."""
