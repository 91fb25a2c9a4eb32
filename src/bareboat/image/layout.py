"""An image as an OCI image layout (image-layout.md), in a directory or a tar that `docker load` takes too. Pure.

Docker reads manifest.json of its own archive format (trap 45), which points at the same blobs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence

from bareboat.image.layer import DIRECTORY, tar_header
from bareboat.image.spec import INDEX, Image, canonical, describe, image_index, platform_index
from bareboat.values import dataclass

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"  # what docker load and ctr import name the image by
BLOBS = "blobs/sha256"
_BLOCK = 512
_RECORD = 20 * _BLOCK  # tar archives end at a multiple of it (POSIX.1-2017 pax)


@dataclass(frozen=True)
class Member:
    """A file of the layout. content: its bytes, or None where `blob` (64 hex digits) names a stored one."""

    path: str
    size: int
    content: bytes | None = None
    blob: str = ""


def members(image: Image, name: str = "", *, archive: bool = False) -> tuple[Member, ...]:
    """The files of a layout that holds one image; name: REPOSITORY:TAG, or "" for an image without one.

    archive: with Docker's manifest.json. A layer that two wheels happen to share is there once.
    """
    config = image.config_descriptor.digest.removeprefix("sha256:")
    manifest = image.descriptor.digest.removeprefix("sha256:")
    small = [("oci-layout", canonical({"imageLayoutVersion": "1.0.0"}))]
    small.append(("index.json", image_index(image, names(name))))
    if archive:
        small.append(("manifest.json", docker_manifest(image, name)))
    small += [(f"{BLOBS}/{config}", image.config), (f"{BLOBS}/{manifest}", image.manifest)]
    found = [Member(path, len(data), data) for path, data in small]
    for layer in dict.fromkeys(image.layers):
        digest = layer.digest.removeprefix("sha256:")
        found.append(Member(f"{BLOBS}/{digest}", layer.size, None, digest))
    return tuple(found)


def platform_members(images: Sequence[Image], name: str = "", *, archive: bool = False) -> tuple[Member, ...]:
    """The files of a layout with one image index over images for several platforms; what they share is there once.

    images: this machine's first; Docker's manifest.json, which knows no platforms, names that one.
    """
    inner = platform_index(images)
    index = describe(INDEX, inner)
    row: dict[str, object] = index.document()
    if name:
        row["annotations"] = names(name)
    found = {"oci-layout": canonical({"imageLayoutVersion": "1.0.0"}),
             "index.json": canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [row]})}
    if archive:
        found["manifest.json"] = docker_manifest(images[0], name)
    found[f"{BLOBS}/{index.digest.removeprefix('sha256:')}"] = inner
    files = {path: Member(path, len(data), data) for path, data in found.items()}
    for image in images:
        for member in members(image):
            files.setdefault(member.path, member)
    return tuple(files.values())


def names(name: str) -> dict[str, str]:
    """The annotations by which programs name an image of a layout."""
    if not name:
        return {}
    repository, tag = split(name)
    return {REF_NAME: tag, CONTAINERD_NAME: f"{full(repository)}:{tag}"}


def split(name: str) -> tuple[str, str]:
    """Repository and tag; the tag is "latest" where none is said."""
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "latest")


def full(repository: str) -> str:
    """A repository with the host that Docker means where none is said (trap 70)."""
    first, slash, _ = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return repository
    return f"docker.io/{repository}" if slash else f"docker.io/library/{repository}"


def docker_manifest(image: Image, name: str) -> bytes:
    """manifest.json of Docker's archive format: where config and layers lie in the tar."""
    repository, tag = split(name)
    return canonical([{
        "Config": f"{BLOBS}/{image.config_descriptor.digest.removeprefix('sha256:')}",
        "RepoTags": [f"{repository}:{tag}"] if name else None,
        "Layers": [f"{BLOBS}/{x.digest.removeprefix('sha256:')}" for x in image.layers],
    }])


def tar_of(files: Sequence[Member], read: Callable[[Member], Iterable[bytes]]) -> Generator[bytes, None, None]:
    """The layout as one tar, streamed; read: the bytes of a blob. The same image gives the same tar."""
    done = 0
    for folder in ("blobs", BLOBS):
        yield tar_header(f"{folder}/", 0, 0o755, DIRECTORY)
        done += _BLOCK
    for file in files:
        head = tar_header(file.path, file.size, 0o644)
        yield head
        yield from [file.content] if file.content is not None else read(file)
        padding = bytes(-file.size % _BLOCK)
        yield padding
        done += len(head) + file.size + len(padding)
    done += 2 * _BLOCK
    yield bytes(2 * _BLOCK + -done % _RECORD)
