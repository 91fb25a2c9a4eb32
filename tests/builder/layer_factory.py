"""Small layers and images of our own making, down to the bytes of a tar header."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from bareboat.lock import BaseImage, ImageLayer
from bareboat.store import Store

TYPES = {
    "application/vnd.oci.image.layer.v1.tar+gzip": lambda data: gzip.compress(data, 1),
    "application/vnd.oci.image.layer.v1.tar+zstd": zstandard.ZstdCompressor(level=1).compress,
    "application/vnd.oci.image.layer.v1.tar": bytes,
}
GZIP, ZSTD, PLAIN = TYPES


@dataclass(frozen=True)
class E:
    """A member. kind: tar's type flag; size: what the header says, where it differs from the content's."""

    path: str | bytes
    content: bytes = b""
    kind: bytes = b"0"
    link: str | bytes = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 1_600_000_000
    size: int | None = None
    pax: dict[str, str | bytes] = field(default_factory=dict)
    magic: bytes = b"ustar\00000"


def d(path: str, mode: int = 0o755, **more: object) -> E:
    return E(path, kind=b"5", mode=mode, **more)  # type: ignore[arg-type]


def sym(path: str, link: str) -> E:
    return E(path, kind=b"2", link=link, mode=0o777)


def hard(path: str, link: str) -> E:
    return E(path, kind=b"1", link=link)


def raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def number(value: int, width: int) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return b"\x80" + value.to_bytes(width - 1, "big") if value >= 0 else b"\xff" * width


def block(e: E, name: bytes, link: bytes, size: int, prefix: bytes = b"") -> bytes:
    head = bytearray(512)
    fields = [(0, name[:100]), (100, number(e.mode, 8)), (108, number(e.uid, 8)), (116, number(e.gid, 8)),
              (124, number(size, 12)), (136, number(e.mtime, 12)), (148, b" " * 8), (156, e.kind), (157, link[:100]),
              (257, e.magic), (345, prefix)]
    for at, value in fields:
        head[at : at + len(value)] = value
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def records(pairs: dict[str, str | bytes]) -> bytes:
    out = b""
    for key, value in pairs.items():
        rest = b" " + raw(key) + b"=" + raw(value) + b"\n"
        size = len(rest) + 1
        while size != len(rest) + len(str(size)):
            size = len(rest) + len(str(size))
        out += b"%d" % size + rest
    return out


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(e: E) -> bytes:
    name, link = raw(e.path), raw(e.link)
    pax = dict(e.pax)
    if len(name) > 100 and "path" not in pax and "GNU.sparse.name" not in pax:
        pax["path"] = name
    if len(link) > 100 and "linkpath" not in pax:
        pax["linkpath"] = link
    out = b""
    if pax:
        body = records(pax)
        out += block(E("x", kind=b"x"), b"././@PaxHeader", b"", len(body)) + padded(body)
    size = len(e.content) if e.size is None else e.size
    return out + block(e, name, link, size) + padded(e.content)


def tar(entries: Sequence[E | bytes], end: bytes = bytes(1024)) -> bytes:
    return b"".join(e if isinstance(e, bytes) else member(e) for e in entries) + end


def put(store: Store, data: bytes, media_type: str = GZIP, blob: bytes | None = None) -> ImageLayer:
    """A tar as a layer whose blob is in the store."""
    packed = TYPES[media_type](data) if blob is None else blob
    digest = store.put_blob([packed])
    return ImageLayer(f"sha256:{digest}", len(packed), f"sha256:{hashlib.sha256(data).hexdigest()}", media_type)


def image(layers: Sequence[ImageLayer], removed: tuple[str, ...] = ()) -> BaseImage:
    empty = "sha256:" + "0" * 64
    return BaseImage("test", empty, 1, "", empty, 1, tuple(layers), removed=removed)


def look(root: Path) -> dict[str, tuple[object, ...]]:
    """A tree as (kind, mode, content or target) by path."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = f"{folder}/{name}"
            status = os.lstat(path)
            inside = os.path.relpath(path, root)
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                found[inside] = ("link", os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                found[inside] = ("dir", mode)
            else:
                found[inside] = ("file", mode, Path(path).read_bytes())
    return found
