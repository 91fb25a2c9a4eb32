"""A layer as bytes: tar headers, and gzip made by splicing a wheel's own compressed members. Pure.

A zip member is raw DEFLATE with CRC-32 and size; a gzip member (RFC 1952) is a header and the same three. So
the layer's blob is one small gzip member of stored blocks for each tar header, and the wheel's bytes verbatim
between them. No compressor's version is in the result: the same layout gives the same digest for ever.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bareboat.errors import ArchiveError
from bareboat.image.inflate import Inflater, packed_chunks
from bareboat.image.plan import EPOCH
from bareboat.image.wheel import Entry, Layout, Promise
from bareboat.image.wheelzip import STORED, Source

_GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no time, unknown OS (trap 27)
_BLOCK = 512
_STORED_MOST = 0xFFFF  # bytes in one stored block of DEFLATE (RFC 1951 3.2.4)
_USTAR_SIZE = 1 << 33  # from here on a size needs a PAX record
# Where gzip members end is part of the bytes: to change either is to raise builder.blobs.LAYER_FORMAT.
_PLAIN_MOST = 1 << 20
_TREE_MEMBER = 1 << 20

FILE, SYMLINK, DIRECTORY = b"0", b"2", b"5"  # tar's type flags


@dataclass(frozen=True)
class LayerDigests:
    """A layer that was made. digest and size: of the blob; diff_id and tar_size: of the tar in it (trap 28)."""

    digest: str
    size: int
    diff_id: str
    tar_size: int


@dataclass(frozen=True)
class TreeEntry:
    """A file, link or directory of a tree. path: relative; size: of a file's content, which chunks gives."""

    path: str
    mode: int
    kind: bytes = FILE
    size: int = 0
    link: str = ""
    chunks: Callable[[], Iterable[bytes]] = tuple


def splice(source: Source, layout: Layout) -> Generator[bytes, None, LayerDigests]:
    """The gzip blob of one wheel's layer in chunks; the generator returns its digests. Deterministic.

    Everything is inflated on the way, for the DiffID, and verified as in a tree. Raises ArchiveError
    "wheel.*",
    also after chunks were yielded: nothing is good before the end.
    """
    return splice_group([(source, layout)])


def splice_group(wheels: Sequence[tuple[Source, Layout]], beside: Iterable[TreeEntry] = ()) -> Generator[
        bytes, None, LayerDigests]:
    """As splice, for several wheels in one layer, in this order. No path is in it twice (trap 29).

    A file that two wheels bring is taken from the first: they are known to be equal (find_conflict). beside: files
    that come with them, sorted, as bytecode does; they are compressed, by the one pinned compressor.
    """
    return _digested(_parts(wheels, beside))


def store_tree(entries: Iterable[TreeEntry]) -> Generator[bytes, None, LayerDigests]:
    """The gzip blob of a tree's layer, in stored blocks; the generator returns its digests. Deterministic.

    entries: sorted by the UTF-8 bytes of their paths, parents among them; the root's entry is made here, since
    engines invent different modes where it is missing (trap 30). Raises ArchiveError "layer.size".
    """
    return _digested(_tree_parts(entries))


def _digested(parts: Iterable[tuple[bytes, bytes]]) -> Generator[bytes, None, LayerDigests]:
    blob, diff, size, tar_size = hashlib.sha256(), hashlib.sha256(), 0, 0
    for chunk, content in parts:
        if chunk:
            blob.update(chunk)
            size += len(chunk)
            yield chunk
        if content:
            diff.update(content)
            tar_size += len(content)
    return LayerDigests("sha256:" + blob.hexdigest(), size, "sha256:" + diff.hexdigest(), tar_size)


def _tree_parts(entries: Iterable[TreeEntry]) -> Iterator[tuple[bytes, bytes]]:
    """As _parts. A member ends at a multiple of a fixed number of bytes, whatever the chunks were."""
    plain = bytearray(tar_header("./", 0, 0o755, b"5"))
    for e in entries:
        path = f"{e.path}/" if e.kind == DIRECTORY else e.path
        plain += tar_header(path, e.size, e.mode, e.kind, e.link)
        left = e.size
        for chunk in e.chunks():
            plain += chunk
            left -= len(chunk)
            while len(plain) >= _TREE_MEMBER:
                piece = bytes(plain[:_TREE_MEMBER])
                del plain[:_TREE_MEMBER]
                yield gzip_stored(piece), piece
        if left:
            raise ArchiveError("layer.size", "the file's size is not what it was", where=f"/{e.path}")
        plain += bytes(-e.size % _BLOCK)
    plain += bytes(2 * _BLOCK)
    yield gzip_stored(plain), bytes(plain)


def _parts(wheels: Sequence[tuple[Source, Layout]], beside: Iterable[TreeEntry] = ()) -> Iterator[tuple[bytes, bytes]]:
    """Pairs of bytes of the blob and bytes of the tar, each in order; either may be empty."""
    made: set[str] = set()
    plain = bytearray()  # headers and padding that wait for their gzip member

    def parents(path: str) -> None:
        for parent in _parents(path):
            if parent not in made:
                made.add(parent)
                plain.extend(tar_header(f"{parent}/", 0, 0o755, b"5"))

    for source, entry, filename in _files(wheels):
        parents(entry.path)
        plain += tar_header(entry.path, entry.size, entry.mode)
        if entry.member is None:
            plain += entry.content
        elif entry.size:
            yield gzip_stored(plain), bytes(plain)
            plain.clear()
            yield from _member(source, entry, filename)
        else:
            _verify_empty(source, entry, filename)
        plain += bytes(-entry.size % _BLOCK)
        if len(plain) > _PLAIN_MOST:
            yield gzip_stored(plain), bytes(plain)
            plain.clear()
    for e in beside:
        parents(e.path)
        plain += tar_header(e.path, e.size, e.mode)
        yield gzip_stored(plain), bytes(plain)
        plain.clear()
        content = b"".join(e.chunks())
        if len(content) != e.size:
            raise ArchiveError("layer.size", "the file's size is not what it was", where=f"/{e.path}")
        yield gzip_packed(content), content
        plain += bytes(-e.size % _BLOCK)
    plain += bytes(2 * _BLOCK)
    yield gzip_stored(plain), bytes(plain)


def _files(wheels: Sequence[tuple[Source, Layout]]) -> Iterator[tuple[Source, Entry, str]]:
    seen: set[str] = set()
    for source, layout in wheels:
        for entry in layout.entries:
            if len(wheels) == 1 or entry.path not in seen:
                seen.add(entry.path)
                yield source, entry, layout.filename


def _member(source: Source, entry: Entry, filename: str) -> Iterator[tuple[bytes, bytes]]:
    """One file: the wheel's compressed bytes for the blob, its content for the DiffID."""
    member = entry.member
    assert member is not None
    inflater, promise = Inflater(member, filename), Promise(entry, filename)
    yield _GZIP, b""
    left = member.packed
    for raw in packed_chunks(source, member, filename, 16 * _STORED_MOST):
        left -= len(raw)
        yield (_stored_blocks(raw, last=not left) if member.method == STORED else raw), b""
        for content in inflater.feed(raw):
            promise.update(content)
            yield b"", content
    for content in inflater.finish():
        promise.update(content)
        yield b"", content
    promise.check()
    yield struct.pack("<LL", member.crc, member.size & 0xFFFFFFFF), b""


def _verify_empty(source: Source, entry: Entry, filename: str) -> None:
    assert entry.member is not None
    inflater = Inflater(entry.member, filename)
    for raw in packed_chunks(source, entry.member, filename):
        for _ in inflater.feed(raw):
            pass
    for _ in inflater.finish():
        pass
    Promise(entry, filename).check()


def gzip_stored(data: bytes | bytearray) -> bytes:
    """A gzip member (RFC 1952) that holds the data as stored blocks: its bytes depend on no compressor."""
    return _GZIP + _stored_blocks(data, last=True) + struct.pack("<LL", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def gzip_packed(data: bytes) -> bytes:
    """A gzip member that holds the data compressed. Its bytes are those of one version of libdeflate, which pyproject
    pins and no distribution replaces; to raise it is to raise builder.blobs.BYTECODE_FORMAT.
    """
    from deflate import deflate_compress

    return _GZIP + bytes(deflate_compress(data, 6)) + struct.pack("<LL", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _stored_blocks(data: bytes | bytearray, *, last: bool) -> bytes:
    parts: list[bytes | bytearray] = []
    for at in range(0, len(data) or 1, _STORED_MOST):
        piece = data[at : at + _STORED_MOST]
        final = last and at + _STORED_MOST >= len(data)
        parts += struct.pack("<BHH", final, len(piece), len(piece) ^ 0xFFFF), piece
    return b"".join(parts)


def tar_header(path: str, size: int, mode: int, kind: bytes = b"0", link: str = "") -> bytes:
    """One ustar header (POSIX.1-2017 pax, "ustar Interchange Format"), with a PAX record only where it must
    be.

    path without leading "/", with a trailing one for a directory; kind: b"0" file, b"5" directory, b"2"
    symbolic
    link, b"1" hard link. Owner 0:0 without names, mtime EPOCH.
    """
    name, target = path.encode("utf-8", "surrogateescape"), link.encode("utf-8", "surrogateescape")
    prefix, fits = b"", len(name) <= 100
    if not fits:
        # The prefix must end at a "/" so that both parts fit; the longest prefix is the one choice we make.
        cut = name.rfind(b"/", 0, 156)
        if cut > 0 and 0 < len(name) - cut - 1 <= 100:
            prefix, name, fits = name[:cut], name[cut + 1 :], True
    records = b""
    if not fits:
        records += _pax(b"path", name)
        name = name[:100]
    if len(target) > 100:
        records += _pax(b"linkpath", target)
        target = target[:100]
    if size >= _USTAR_SIZE:
        records += _pax(b"size", str(size).encode())
    head = b""
    if records:
        head = _block(b"././@PaxHeader", b"", len(records), 0o644, b"x") + records + bytes(-len(records) % _BLOCK)
    return head + _block(name, prefix, size if size < _USTAR_SIZE else 0, mode, kind, target)


def _block(name: bytes, prefix: bytes, size: int, mode: int, kind: bytes, link: bytes = b"") -> bytes:
    block = struct.pack(
        "<100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x",
        name,
        b"%07o\0" % mode,
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % size,
        b"%011o\0" % EPOCH,
        b" " * 8,
        kind,
        link,
        b"ustar\00000",
        b"",
        b"",
        b"0000000\0",
        b"0000000\0",
        prefix,
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _pax(key: bytes, value: bytes) -> bytes:
    """A PAX record: its length in decimal counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest) + 1
    while size != len(rest) + len(str(size)):
        size = len(rest) + len(str(size))
    return b"%d" % size + rest


def _parents(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)
