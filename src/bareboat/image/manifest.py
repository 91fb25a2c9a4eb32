"""Manifests, indexes and configs of others, read strictly; what could be read in two ways is refused. Pure.

OCI image-spec 1.1 (manifest.md, image-index.md, config.md, descriptor.md) and Docker's schema 2. The bytes are kept by
whoever has them: nothing here is ever written out again (trap 43).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from bareboat.errors import ArchiveError
from bareboat.image.reference import is_digest
from bareboat.image.spec import CONFIG, INDEX, MANIFEST, Descriptor
from bareboat.values import Any, dataclass

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
INDEXES = (INDEX, DOCKER_INDEX)
ACCEPTED = (*MANIFESTS, *INDEXES)
CONFIGS = (CONFIG, DOCKER_CONFIG)
EMPTY = "application/vnd.oci.empty.v1+json"
GZIP, ZSTD, PLAIN = "gzip", "zstd", "plain"
LAYERS = {
    "application/vnd.oci.image.layer.v1.tar+gzip": GZIP,
    "application/vnd.oci.image.layer.v1.tar+zstd": ZSTD,
    "application/vnd.oci.image.layer.v1.tar": PLAIN,
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": GZIP,
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": ZSTD,
    "application/vnd.oci.image.layer.nondistributable.v1.tar": PLAIN,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": PLAIN,
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": GZIP,
}  # media type → how its bytes are compressed
MANIFEST_MOST = 4 << 20  # bytes; the usual cap of registries (distribution-spec, "Pushing manifests")
CONFIG_MOST = 8 << 20
INDEX_DEPTH = 8
_LAYERS_MOST = 500


@dataclass(frozen=True)
class Platform:
    """As image-index.md has it; "" for what is not said."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(p for p in (self.os, self.architecture, self.variant) if p)


@dataclass(frozen=True)
class Entry:
    """A row of an index or a layer of a manifest. data: the bytes themselves where the descriptor carries them."""

    descriptor: Descriptor
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str = ""
    urls: tuple[str, ...] = ()
    data: bytes | None = None


@dataclass(frozen=True)
class Manifest:
    """An image or artifact manifest. subject: the manifest it speaks of, None where there is none."""

    media_type: str
    config: Entry
    layers: tuple[Entry, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Index:
    """An image index or manifest list."""

    media_type: str
    manifests: tuple[Entry, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Config:
    """What of an image config is used. diff_ids: bottom to top; labels, env in order."""

    platform: Platform
    diff_ids: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    created: str = ""


def read_manifest(data: bytes, media_type: str, where: str) -> Manifest | Index:
    """A manifest or an index. media_type: what the server or descriptor called it, "" when nobody said.

    Raises ArchiveError "manifest.*": what is not JSON, too large, of two kinds at once (CVE-2021-41190), or names
    digests that are none (CVE-2024-3727).
    """
    doc = _object(data, MANIFEST_MOST, "manifest", where)
    said = doc.get("mediaType")
    if said is not None and not isinstance(said, str):
        raise _bad("mediaType is not text", where)
    if said and media_type and said != media_type and media_type in ACCEPTED:
        raise _bad(f"the document calls itself {said}, the server {media_type}", where)
    kind = said or (media_type if media_type in ACCEPTED else "")
    if "manifests" in doc and ("layers" in doc or "config" in doc or "fsLayers" in doc):
        raise _bad("has manifests and layers: an index and a manifest at once", where)
    if doc.get("schemaVersion") == 1 or "fsLayers" in doc:
        raise ArchiveError("manifest.old", "Docker's schema 1, which nothing has written since 2017", where=where,
                           hint="push it again with a newer Docker, and pull that")
    if doc.get("schemaVersion") != 2:
        raise _bad("schemaVersion is not 2", where)
    subject = _entry(doc["subject"], where).descriptor if doc.get("subject") is not None else None
    artifact = _text(doc, "artifactType", where)
    notes = _pairs(doc.get("annotations"), where)
    if "manifests" in doc:
        if kind and kind not in INDEXES:
            raise _bad(f"an index that calls itself {kind}", where)
        rows = tuple(_entry(row, where) for row in _list(doc, "manifests", where))
        return Index(kind or INDEX, rows, subject, artifact, notes)
    if kind and kind not in MANIFESTS:
        raise _bad(f"a manifest that calls itself {kind}", where)
    layers = tuple(_entry(row, where) for row in _list(doc, "layers", where))
    if len(layers) > _LAYERS_MOST:
        raise _bad(f"{len(layers)} layers", where)
    return Manifest(kind or MANIFEST, _entry(doc.get("config"), where), layers, subject, artifact, notes)


def read_config(data: bytes, where: str) -> Config:
    """An image config (config.md). Raises ArchiveError "config.malformed"."""
    doc = _object(data, CONFIG_MOST, "config", where)
    rootfs, run = doc.get("rootfs"), {} if doc.get("config") is None else doc["config"]
    if not isinstance(rootfs, dict) or not isinstance(run, dict):
        raise _bad("rootfs or config is missing or no object", where, "config")
    ids = _list(rootfs, "diff_ids", where, "config")
    if not all(is_digest(i) for i in ids):
        raise _bad("a DiffID is no digest", where, "config")
    env = []
    for item in _list(run, "Env", where, "config"):
        if not isinstance(item, str) or not item.partition("=")[0] or "\0" in item:
            raise _bad(f"the variable {item!r} has no name", where, "config")
        name, _, value = item.partition("=")
        env.append((name, value))
    return Config(
        platform=Platform(_text(doc, "os", where, "config"), _text(doc, "architecture", where, "config"),
                          _text(doc, "variant", where, "config")),
        diff_ids=tuple(ids), env=tuple(dict(env).items()),
        entrypoint=_words(run, "Entrypoint", where), cmd=_words(run, "Cmd", where),
        workdir=_text(run, "WorkingDir", where, "config"), user=_text(run, "User", where, "config"),
        labels=_pairs(run.get("Labels"), where, "config"), created=_text(doc, "created", where, "config"))


def choose(entries: Sequence[Entry], platform: str) -> Entry | None:
    """The row of an index for a platform: the one with the closest variant; None when there is none.

    arm64 is arm64/v8; amd64 takes v1; a higher variant of what was asked for never runs. Rows that say no platform,
    and those that Docker attaches for attestations (unknown/unknown), are not taken.
    """
    os_name, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    wanted = _rank(architecture, variant)
    best: tuple[int, Entry] | None = None
    for entry in entries:
        p = entry.platform
        if p is None or p.os != os_name or p.architecture != architecture:
            continue
        rank = _rank(architecture, p.variant)
        if rank <= wanted and (best is None or rank > best[0]):
            best = rank, entry
    return best[1] if best else None


def _rank(architecture: str, variant: str) -> int:
    default = {"arm64": 8, "arm": 7, "amd64": 1}.get(architecture, 0)
    digits = variant.lstrip("v").partition(".")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else default


def _object(data: bytes, most: int, what: str, where: str) -> dict[str, Any]:
    if len(data) > most:
        raise ArchiveError(f"{what}.too-large", f"a {what} of {len(data):,} bytes; {most:,} are allowed", where=where)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _bad("a key stands in it twice", where, what)
        return found

    def refuse(word: str) -> None:
        raise _bad(f"{word} is no JSON", where, what)

    try:
        doc = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
        if b"\\u" in data:  # half a character: what was read could not be written, hashed or shown
            json.dumps(doc, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise _bad("is not JSON", where, what) from None
    if not isinstance(doc, dict):
        raise _bad("is no JSON object", where, what)
    return doc


def _entry(row: object, where: str) -> Entry:
    if not isinstance(row, dict):
        raise _bad("a descriptor is missing or no object", where)
    digest, size = row.get("digest"), row.get("size")
    if not is_digest(digest):
        raise _bad(f"{str(digest)[:80]!r} is no digest", where)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 62:
        raise _bad(f"{str(size)[:40]!r} is no size", where)
    platform = row.get("platform")
    if platform is not None and not isinstance(platform, dict):
        raise _bad("platform is no object", where)
    urls = row.get("urls") or []
    data = row.get("data")
    return Entry(
        Descriptor(_text(row, "mediaType", where), str(digest), size),
        Platform(_text(platform, "os", where), _text(platform, "architecture", where),
                 _text(platform, "variant", where)) if platform else None,
        _pairs(row.get("annotations"), where), _text(row, "artifactType", where),
        tuple(u for u in urls if isinstance(u, str)) if isinstance(urls, list) else (),
        _embedded(data, str(digest), size, where) if data is not None else None)


def _embedded(data: object, digest: str, size: int, where: str) -> bytes:
    """descriptor.md, "Embedded Content": base64, and what the descriptor says of it must hold."""
    import base64
    import binascii
    import hashlib

    try:
        found = base64.b64decode(str(data), validate=True)
    except (binascii.Error, ValueError):
        raise _bad("data is not base64", where) from None
    algorithm, _, hexed = digest.partition(":")
    if len(found) != size or hashlib.new(algorithm, found).hexdigest() != hexed:
        raise _bad("data is not what its descriptor says", where)
    return found


def _list(doc: dict[str, Any], key: str, where: str, what: str = "manifest") -> list[Any]:
    found = doc.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise _bad(f"{key} is no list", where, what)
    return found


def _text(doc: dict[str, Any], key: str, where: str, what: str = "manifest") -> str:
    found = doc.get(key)
    if found is None:
        return ""
    if not isinstance(found, str) or "\0" in found:
        raise _bad(f"{key} is no text", where, what)
    return found


def _words(doc: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = _list(doc, key, where, "config")
    if not all(isinstance(w, str) and "\0" not in w for w in found):
        raise _bad(f"{key} is no list of words", where, "config")
    return tuple(found)


def _pairs(doc: object, where: str, what: str = "manifest") -> tuple[tuple[str, str], ...]:
    if doc is None:
        return ()
    if not isinstance(doc, dict) or not all(isinstance(v, str) for v in doc.values()):
        raise _bad("annotations or labels are no table of texts", where, what)
    return tuple(doc.items())


def _bad(what: str, where: str, kind: str = "manifest") -> ArchiveError:
    return ArchiveError(f"{kind}.malformed", what, where=where,
                        hint="the registry or whoever pushed it is at fault; nothing was kept")
