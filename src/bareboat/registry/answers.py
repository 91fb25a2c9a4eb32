"""What registries answer, read strictly: digests, ranges, links, lists. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from bareboat.image.manifest import ACCEPTED, INDEXES
from bareboat.image.reference import is_digest
from bareboat.image.spec import INDEX, MANIFEST, Descriptor

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_LINK = re.compile(r"<([^<>]*)>((?:[ \t]*;[ \t]*[A-Za-z0-9*_-]+(?:=(?:\"[^\"]*\"|[^\s\",;]+))?)*)")
_REL_NEXT = re.compile(r";[ \t]*rel=(?:\"next\"|next)(?=[ \t]*(?:;|$))", re.IGNORECASE)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def digest_of(data: bytes, like: str = "sha256:") -> str:
    """The digest of these bytes, by the algorithm of another digest."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def media_type_of(data: bytes, said: str) -> str:
    """What a manifest is: as the server said where that is a manifest's type, else as the document says or looks."""
    said = said.partition(";")[0].strip().lower()
    if said in ACCEPTED:
        return said
    try:
        doc: Any = json.loads(data)
    except (ValueError, RecursionError):
        return said
    if not isinstance(doc, dict):
        return said
    own = doc.get("mediaType")
    if isinstance(own, str) and own:
        return own
    return INDEX if "manifests" in doc else MANIFEST if "layers" in doc or "config" in doc else said


def content_range(text: str) -> tuple[int, int, int | None] | None:
    """First byte, last byte and whole size of a Content-Range (RFC 9110 14.4); None for what is none."""
    found = _CONTENT_RANGE.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        return None
    whole = None if found[3] == "*" else int(found[3])
    if whole is not None and int(found[2]) >= whole:
        return None
    return int(found[1]), int(found[2]), whole


def upload_offset(text: str) -> int | None:
    """How many bytes of an upload are there, by its Range header ("0-99"); None where it does not say.

    "0-0" is what registries say of an upload that holds nothing, and of one that holds a byte: taken as nothing.
    """
    found = _RANGE.fullmatch(text.strip())
    if not found:
        return None
    return int(found[1]) + 1 if found[1] != "0" else 0


def next_link(headers: Iterable[str]) -> str:
    """The URL of the next page (RFC 8288); "" for none."""
    for header in headers:
        for url, parameters in _LINK.findall(header[:8192]):
            if _REL_NEXT.search(parameters):
                return str(url)
    return ""


def unique_json(data: bytes) -> Any:
    """A JSON document without a key twice. Raises ValueError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands in it twice")
        return found

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def tag_list(data: bytes) -> list[str]:
    """The tags of one page ("Listing Tags"). Raises ValueError."""
    doc = unique_json(data)
    tags = doc.get("tags", 0) if isinstance(doc, dict) else 0
    if tags is None:
        return []
    if not isinstance(tags, list) or not all(isinstance(t, str) and _TAG.fullmatch(t) for t in tags):
        raise ValueError("holds what is no list of tags")
    return tags


def described(digest: str, length: int | None, media_type: str) -> Descriptor | None:
    """The descriptor that the headers of a HEAD make; None where they do not."""
    media_type = media_type.partition(";")[0].strip().lower()
    if not is_digest(digest) or length is None or length <= 0 or media_type not in ACCEPTED:
        return None
    return Descriptor(media_type, digest, length)


def is_index(media_type: str) -> bool:
    """Whether a Content-Type is an image index's."""
    return media_type.partition(";")[0].strip().lower() in INDEXES
