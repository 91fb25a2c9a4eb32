"""A repository of a registry, over HTTP (OCI distribution-spec 1.1).

Mirrors are read from first and never written to. Uploads are in uploads.py, requests in wire.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import quote

from bareboat.errors import ArchiveError
from bareboat.image.manifest import ACCEPTED, MANIFEST_MOST
from bareboat.image.reference import Reference, is_digest
from bareboat.image.spec import Descriptor
from bareboat.registry import answers, referrers
from bareboat.registry.ask import Answer, Ask
from bareboat.registry.base import Blob, Content, RegistryError, Sent
from bareboat.registry.credentials import finder
from bareboat.registry.hosts import Endpoint, RegistrySettings, endpoints
from bareboat.registry.policy import Tries, passes
from bareboat.registry.uploads import upload
from bareboat.registry.wire import INTERRUPTED, Wire

PAGES_MOST = 10_000
_ACCEPT = {"Accept": ", ".join(ACCEPTED)}
_T = TypeVar("_T")


def open_remote(reference: Reference, settings: RegistrySettings) -> RemoteRepository:
    """The repository of a reference; nothing is asked yet. Raises RegistryError "registry.blocked", "registry.config".
    """
    wires = tuple(_wire(endpoint, reference, settings) for endpoint in endpoints(reference, settings))
    return RemoteRepository(reference, wires, settings)


def _wire(endpoint: Endpoint, reference: Reference, settings: RegistrySettings) -> Wire:
    return Wire(endpoint, settings, finder(f"{endpoint.registry}/{endpoint.repository}", settings), reference.name)


class RemoteRepository:
    """As base.Repository has it. wires: mirrors, then the registry itself."""

    def __init__(self, reference: Reference, wires: tuple[Wire, ...], settings: RegistrySettings) -> None:
        self._reference, self._wires, self._settings = reference, wires, settings
        self._entering = threading.Lock()

    @property
    def name(self) -> str:
        """Registry and repository, as people write them."""
        return Reference(self._reference.registry, self._reference.repository).short

    def manifest(self, reference: str) -> Content:
        """By tag or digest, verified against the digest and the registry's own word for it."""
        return self._read(reference, lambda wire: self._manifest(wire, reference))

    def head(self, reference: str) -> Descriptor | None:
        """By HEAD; where that tells nothing of use, by GET."""
        try:
            return self._read(reference, lambda wire: self._head(wire, reference))
        except RegistryError as error:
            if error.code == "registry.not-found":
                return None
            raise

    def blob(self, descriptor: Descriptor, at: int = 0) -> Iterator[bytes]:
        """From an offset on; a registry that knows no ranges is read from the start and the beginning left out."""
        self._digest(descriptor.digest)
        if at >= descriptor.size:
            return iter(())
        return self._read(descriptor.digest, lambda wire: self._blob(wire, descriptor, at))

    def put_blob(self, blob: Blob, mount: str = "") -> Sent:
        """HEAD, mount, one PUT, and chunks where that was cut."""
        self._digest(blob.descriptor.digest)
        wire = self._wires[-1]
        return upload(wire, _scopes(wire, "pull,push"), blob, mount)

    def put_manifest(self, content: Content, tag: str = "") -> None:
        """By tag or digest; then its subject's list of referrers, where the registry did not say it did that."""
        self._digest(content.digest)
        where = self._where(tag or content.digest)
        subject = referrers.subject_of(content, where)
        answer = self._put(tag or content.digest, content)
        if subject is not None and answer.header("OCI-Subject") != subject.digest:
            with self._entering:  # there is no compare-and-swap of a tag: our own threads at least take turns
                self._enter(subject.digest, content, where)

    def tags(self) -> list[str]:
        """Every tag, page by page, sorted."""
        return self._read("", self._tags)

    def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """By the referrers API, else by the tag schema."""
        self._digest(digest)
        return self._read(digest, lambda wire: self._referrers(wire, digest, artifact_type))

    def close(self) -> None:
        """Close the connections that are not in use."""
        for wire in self._wires:
            wire.close()

    def _read(self, reference: str, ask: Callable[[Wire], _T]) -> _T:
        """From the first mirror that answers, at last from the registry, whose error is the one that counts."""
        for wire in self._wires[:-1]:
            if wire.endpoint.pulls == ("tag" if is_digest(reference) else "digest"):
                continue
            try:
                return ask(wire)
            except (RegistryError, ArchiveError):
                continue
        return ask(self._wires[-1])

    def _manifest(self, wire: Wire, reference: str) -> Content:
        tries = Tries(self._settings.policy)
        while True:
            ask = Ask("GET", _path(wire, "manifests", reference), _scopes(wire, "pull"), _ACCEPT,
                      where=self._where(reference))
            answer, data = wire.fetch(ask, MANIFEST_MOST, tries)
            try:
                return self._verified(wire, reference, answer, data)
            except RegistryError as error:  # a proxy may have mangled it once
                tries.again(error)

    def _verified(self, wire: Wire, reference: str, answer: Answer, data: bytes) -> Content:
        where = self._where(reference)
        said = answer.header("Docker-Content-Digest")
        if said and not is_digest(said):
            raise wire.wrong(f"{said[:100]!r} is no digest", where)
        wanted = reference if is_digest(reference) else said or answers.digest_of(data)
        found = answers.digest_of(data, wanted)
        if found != wanted or (said and said != wanted and answers.digest_of(data, said) != said):
            raise RegistryError("registry.digest", f"the registry sent other bytes: expected {wanted}, got {found}",
                                where=where, hint="nothing was kept; try again, and tell whoever runs the registry")
        return Content(answers.media_type_of(data, answer.header("Content-Type")), wanted, data)

    def _head(self, wire: Wire, reference: str) -> Descriptor | None:
        answer = wire.open(Ask("HEAD", _path(wire, "manifests", reference), _scopes(wire, "pull"), _ACCEPT,
                               expect=(200, 404, 400, 405, 406, 500, 501), where=self._where(reference)))
        answer.close()
        if answer.status == 404:
            raise wire.failure(answer, Ask("HEAD", "", where=self._where(reference)))
        if answer.status == 200:
            found = answers.described(answer.header("Docker-Content-Digest"), answer.length,
                                      answer.header("Content-Type"))
            if found is not None and found.digest == (reference if is_digest(reference) else found.digest):
                return found
        return self._manifest(wire, reference).descriptor

    def _blob(self, wire: Wire, descriptor: Descriptor, at: int) -> Iterator[bytes]:
        """Opened here, so that a mirror without it is passed over; what comes later is the caller's to repeat."""
        answer = self._open_blob(wire, descriptor, at)
        skip = at if answer.status == 200 else 0
        whole = answer.length + at - skip if answer.length is not None else descriptor.size
        # all of it is said to be of another size; a range that ends early is only asked for again
        if whole > descriptor.size or (whole < descriptor.size and answer.status == 200):
            answer.close()
            raise self._wrong_size(descriptor)
        return self._bytes(answer, skip, descriptor, at)

    def _open_blob(self, wire: Wire, descriptor: Descriptor, at: int) -> Answer:
        path, scopes = _path(wire, "blobs", descriptor.digest), _scopes(wire, "pull")
        where = self._where(descriptor.digest)
        if at:
            answer = wire.open(Ask("GET", path, scopes, {"Range": f"bytes={at}-"}, expect=(200, 206, 416), where=where))
            if answer.status == 200:
                return answer
            found = answers.content_range(answer.header("Content-Range"))
            if answer.status == 206 and found and found[0] == at and found[2] in (None, descriptor.size):
                return answer
            answer.close()  # another part than was asked for, or none: from the start, then
        return wire.open(Ask("GET", path, scopes, where=where))

    def _bytes(self, answer: Answer, skip: int, descriptor: Descriptor, at: int) -> Iterator[bytes]:
        left = descriptor.size - at
        try:
            for chunk in answer.chunks():
                if skip:
                    dropped = min(skip, len(chunk))
                    skip, chunk = skip - dropped, chunk[dropped:]
                left -= len(chunk)
                if left < 0:
                    raise self._wrong_size(descriptor)
                if chunk:
                    yield chunk
        finally:
            answer.close()
        if left:
            raise RegistryError("registry.cut", f"the connection ended {left:,} bytes early",
                                where=self._where(descriptor.digest),
                                hint="try again: it goes on where it stopped")

    def _wrong_size(self, descriptor: Descriptor) -> RegistryError:
        return RegistryError("registry.size", f"the registry does not send the {descriptor.size:,} bytes it should",
                             where=self._where(descriptor.digest), hint="the registry is at fault; nothing was kept")

    def _put(self, reference: str, content: Content) -> Answer:
        wire, where = self._wires[-1], self._where(reference)
        tries = Tries(self._settings.policy)
        ask = Ask("PUT", _path(wire, "manifests", reference), _scopes(wire, "pull,push"),
                  {"Content-Type": content.media_type}, lambda: iter((content.data,)), len(content.data),
                  (200, 201, 202, 204), where)
        while True:
            wait = 0.0
            try:
                answer = wire.once(ask)
                if answer.status in ask.expect:
                    answer.drain()
                    break
                error = wire.failure(answer, ask)
                if not passes(answer.status):
                    raise error
                wait = wire.wait(answer)
            except RegistryError as caught:
                if caught.code not in INTERRUPTED:
                    raise
                error = caught
            tries.again(error, wait)  # the same bytes under the same name: again is no harm
        if answer.status != 201:  # not what the specification says, though some say it
            try:
                self._head(wire, content.digest)
            except RegistryError as missing:
                raise wire.wrong(f"the registry answers with HTTP status {answer.status} and does not have it "
                                 f"afterwards: {missing.what}", where) from None
        said = answer.header("Docker-Content-Digest")
        if said and (not is_digest(said) or answers.digest_of(content.data, said) != said):
            raise RegistryError("registry.digest", f"the registry took it for {said[:100]!r}, which it is not",
                                where=where, hint="what lies there is not what was sent: tell whoever runs it")
        return answer

    def _tags(self, wire: Wire) -> list[str]:
        found: set[str] = set()
        ask = Ask("GET", f"{wire.endpoint.repository}/tags/list?n=1000", _scopes(wire, "pull"))
        for _, data in self._pages(wire, ask):
            try:
                found.update(answers.tag_list(data))
            except ValueError as error:
                raise wire.wrong(f"the list of tags {error}") from None
        return sorted(found)

    def _pages(self, wire: Wire, ask: Ask) -> Iterator[tuple[Answer, bytes]]:
        """Every page of a list; the next is only asked for where this one came from. Each page may be 4 MiB."""
        seen: set[str] = set()
        while True:
            answer, data = wire.fetch(ask, MANIFEST_MOST)
            yield answer, data
            link = answers.next_link(answer.all_of("Link"))
            if not link or answer.status != 200:
                return
            url = wire.follow(answer, link)
            if not url.startswith(wire.base + "/"):
                raise wire.wrong("the next page of a list is said to be elsewhere")
            if url in seen or len(seen) >= PAGES_MOST:
                raise wire.wrong("the pages of a list go round in a circle")
            seen.add(url)
            ask = Ask("GET", url, ask.scopes, ask.headers, expect=ask.expect, where=ask.where)

    def _referrers(self, wire: Wire, digest: str, artifact_type: str) -> tuple[Descriptor, ...]:
        where = self._where(digest)
        query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        ask = Ask("GET", f"{_path(wire, 'referrers', digest)}{query}", _scopes(wire, "pull"), _ACCEPT,
                  expect=(200, 400, 404, 405, 501), where=where)
        found: dict[str, Descriptor] = {}
        for answer, data in self._pages(wire, ask):
            if answer.status != 200 or not answers.is_index(answer.header("Content-Type")):
                return referrers.rows(self._fallback(wire, digest), artifact_type, where)
            # filtered here as well: whether the registry did is only a header (OCI-Filters-Applied)
            page = Content(answers.media_type_of(data, answer.header("Content-Type")), "", data)
            found |= {row.digest: row for row in referrers.rows(page, artifact_type, where)}
        return tuple(found.values())

    def _fallback(self, wire: Wire, digest: str) -> Content | None:
        try:
            return self._manifest(wire, referrers.fallback_tag(digest))
        except RegistryError as error:
            if error.code == "registry.not-found":
                return None
            raise

    def _enter(self, subject: str, content: Content, where: str) -> None:
        """Into the list under the tag; read again afterwards, since another may have written between."""
        wire = self._wires[-1]
        tries = Tries(self._settings.policy)
        while True:
            old = self._fallback(wire, subject)
            new = referrers.with_row(old.data if old else None, content, where)
            if new is None:
                return
            media_type = answers.media_type_of(new, "")
            self._put(referrers.fallback_tag(subject), Content(media_type, answers.digest_of(new), new))
            now = self._fallback(wire, subject)
            if now is not None and any(row.digest == content.digest for row in referrers.rows(now, "", where)):
                return
            tries.again(RegistryError("registry.referrers", "the list of referrers is being written by others",
                                      where=where, hint="try again"))

    def _where(self, reference: str) -> str:
        sign = "@" if is_digest(reference) else ":" if reference else ""
        return f"{self.name}{sign}{reference}"

    def _digest(self, digest: str) -> None:
        if not is_digest(digest):
            raise RegistryError("registry.digest", f"{digest[:80]!r} is no digest", where=self.name)


def _path(wire: Wire, kind: str, reference: str) -> str:
    return f"{wire.endpoint.repository}/{kind}/{quote(reference, safe=':')}"


def _scopes(wire: Wire, actions: str) -> tuple[str, ...]:
    return (f"repository:{wire.endpoint.repository}:{actions}",)
