"""Images in a tar, read once from front to back into the store: OCI layouts, and what `docker save` writes.

Docker before 25 writes config and uncompressed layers by names of its own with a manifest.json (Docker image
specification 1.2); later ones and all others an OCI layout (image-layout.md). Every file is stored under the digest of
its bytes, so a name in the tar never becomes a path; what an index then names is verified as from a registry.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from bareboat.errors import ArchiveError
from bareboat.image.layout import CONTAINERD_NAME, REF_NAME
from bareboat.image.manifest import DOCKER_CONFIG, DOCKER_MANIFEST, MANIFEST_MOST, Index, read_manifest
from bareboat.image.reference import is_digest
from bareboat.image.spec import INDEX, Descriptor, canonical
from bareboat.image.tarstream import FILE, SYMLINK, Readable, TarStream
from bareboat.registry.base import Blob, Content, RegistryError, Sent

if TYPE_CHECKING:
    from bareboat.store import Store

PLAIN_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Named:
    """An image of an archive. names: as it was saved under, none where it had none."""

    names: tuple[str, ...]
    content: Descriptor


@dataclass
class StoredRepository:
    """A Repository whose blobs and manifests lie in the store: what an archive brought. Nothing can be put."""

    store: Store
    name: str
    media_types: dict[str, str] = field(default_factory=dict)  # digest → as whoever points at it says

    def manifest(self, reference: str) -> Content:
        """By digest."""
        path = self.store.verified_blob(reference.removeprefix("sha256:")) if is_digest(reference) else None
        if path is None or path.stat().st_size > MANIFEST_MOST:
            raise self._missing(reference)
        return Content(self.media_types.get(reference, ""), reference, path.read_bytes())

    def head(self, reference: str) -> Descriptor | None:
        """Of what is there."""
        try:
            return self.manifest(reference).descriptor
        except RegistryError:
            return None

    def blob(self, descriptor: Descriptor, at: int = 0) -> Iterator[bytes]:
        """From the store's file."""
        path = self.store.blob(descriptor.digest.removeprefix("sha256:"))
        if path is None:
            raise self._missing(descriptor.digest)
        return file_chunks(path.open("rb"), at)

    def put_blob(self, blob: Blob, mount: str = "") -> Sent:
        """Refused."""
        raise self._read_only()

    def put_manifest(self, content: Content, tag: str = "") -> None:
        """Refused."""
        raise self._read_only()

    def tags(self) -> list[str]:
        """None: an archive's names are its Named's."""
        return []

    def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """None."""
        return ()

    def close(self) -> None:
        """Nothing is held."""

    def _missing(self, what: str) -> RegistryError:
        return RegistryError("registry.not-found", f"there is no {what} in it", where=self.name,
                             hint="the archive is incomplete: save it again")

    def _read_only(self) -> RegistryError:
        return RegistryError("registry.read-only", "an archive is only read", where=self.name)


def file_chunks(file: BinaryIO, at: int = 0) -> Iterator[bytes]:
    """A file's bytes from an offset on; closed at the end."""
    with file:
        file.seek(at)
        while chunk := file.read(_CHUNK):
            yield chunk


def read_archive(store: Store, source: Readable, where: str) -> tuple[StoredRepository, tuple[Named, ...]]:
    """Everything of a tar into the store, and the images it names. Raises ArchiveError "archive.*", "tar.*".

    What was read stays in the store also when a later part is broken: it is right by digest, and gc takes it.
    """
    files: dict[str, str] = {}  # path → sha256
    small: dict[str, bytes] = {}
    links: dict[str, str] = {}
    stream = TarStream(source, where)
    for member in stream:
        if member.kind == SYMLINK:
            links[member.path] = posixpath.normpath(posixpath.join(posixpath.dirname(member.path), member.link))
        elif member.kind == FILE:
            if member.path in ("index.json", "manifest.json", "oci-layout"):
                if member.size > MANIFEST_MOST:
                    raise _malformed(f"{member.path} has {member.size:,} bytes", where)
                small[member.path] = b"".join(stream.chunks())
            else:
                files[member.path] = _put(store, stream, member.path, where)
    for path, target in links.items():
        if target in files:
            files[path] = files[target]
    repository = StoredRepository(store, where)
    if "index.json" in small:
        return repository, _of_index(repository, small["index.json"], where)
    if "manifest.json" in small:
        return repository, _of_docker(store, repository, files, small["manifest.json"], where)
    raise ArchiveError("archive.unknown", "holds no image: neither index.json nor manifest.json is in it", where=where,
                       hint="archives of `bareboat save`, `docker save` and OCI layouts are understood")


def _put(store: Store, stream: TarStream, path: str, where: str) -> str:
    """A file of the tar in the store. One that is named by its digest must have it."""
    folder, _, name = path.rpartition("/")
    named = name if folder == "blobs/sha256" and is_digest(f"sha256:{name}") else None
    if named is not None and store.blob(named) is not None:
        return named  # what is here needs no second reading
    return store.put_blob(stream.chunks(), sha256=named, where=f"{where}: {path}")


def _of_index(repository: StoredRepository, data: bytes, where: str) -> tuple[Named, ...]:
    index = read_manifest(data, INDEX, f"{where}: index.json")
    if not isinstance(index, Index):
        raise _malformed("index.json is no index", where)
    found: dict[Descriptor, list[str]] = {}
    for entry in index.manifests:
        if entry.artifact_type:  # what lies beside images: sources of `bareboat archive`, attached documents
            continue
        notes = dict(entry.annotations)
        name = notes.get(CONTAINERD_NAME) or notes.get(REF_NAME, "")
        repository.media_types[entry.descriptor.digest] = entry.descriptor.media_type
        names = found.setdefault(entry.descriptor, [])
        if name and name not in names:
            names.append(name)
    return tuple(Named(tuple(names), descriptor) for descriptor, names in found.items())


def _of_docker(store: Store, repository: StoredRepository, files: dict[str, str], data: bytes,
               where: str) -> tuple[Named, ...]:
    """Images of Docker's own format: a manifest is written for each, since the format has none."""
    try:
        rows = json.loads(data)
        wanted = [(str(r["Config"]), _texts(r["Layers"]), _texts(r.get("RepoTags") or [])) for r in rows]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _malformed("manifest.json is not as `docker save` writes it", where) from None
    found = []
    for config, layers, names in wanted:
        missing = [p for p in (config, *layers) if p not in files]
        if missing:
            raise _malformed(f"manifest.json names {missing[0]!r}, which is not in the archive", where)
        document = canonical({
            "schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
            "config": _descriptor(store, files[config], DOCKER_CONFIG).document(),
            "layers": [_descriptor(store, files[p], PLAIN_LAYER).document() for p in layers]})
        sha256 = store.put_blob([document])
        digest = f"sha256:{sha256}"
        repository.media_types[digest] = DOCKER_MANIFEST
        found.append(Named(tuple(names), Descriptor(DOCKER_MANIFEST, digest, len(document))))
    return tuple(found)


def _texts(found: object) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(x, str) for x in found):
        raise TypeError("no list of texts")
    return found


def _descriptor(store: Store, sha256: str, media_type: str) -> Descriptor:
    path = store.blob(sha256)
    assert path is not None  # put just now, and leased by this process
    return Descriptor(media_type, f"sha256:{sha256}", path.stat().st_size)


def _malformed(what: str, where: str) -> ArchiveError:
    return ArchiveError("archive.malformed", what, where=where,
                        hint="save it again, or copy it again: it is incomplete or no image archive")
