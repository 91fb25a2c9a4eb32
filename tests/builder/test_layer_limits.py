"""SECURITY row 8: bombs stop at the limit, say which one it was and how to go on, and leave nothing."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from tests.builder.layer_factory import GZIP, PLAIN, ZSTD, E, block, d, image, member, put, tar

from bareboat.builder.layers import make_image_tree, unpack_layer
from bareboat.errors import ArchiveError
from bareboat.image.limits import Limits
from bareboat.image.tarstream import CHUNK
from bareboat.lock import ImageLayer
from bareboat.store import Store

SMALL = Limits(bytes=8 << 20, entries=1000, ratio_after=1 << 20)
ZEROS = bytes(1 << 20)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store.open(tmp_path / "home")
    yield found
    found.close()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes go to the disk, as they go."""
    found, write = [0], os.write

    def counting(fd: int, data: bytes) -> int:
        done = write(fd, data)
        found[0] += done
        return done

    monkeypatch.setattr(os, "write", counting)
    return found


def layer_of(store: Store, blob: bytes, media_type: str = GZIP) -> ImageLayer:
    return ImageLayer(f"sha256:{store.put_blob([blob])}", len(blob), "sha256:" + "1" * 64, media_type)


def repeated(head: bytes, piece: bytes, times: int) -> bytes:
    """Gzip of a head and a piece so many times over, without holding it."""
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    return stream.compress(head) + b"".join(stream.compress(piece) for _ in range(times)) + stream.flush()


def big(size: int) -> bytes:
    return block(E("big"), b"big", b"", size)


def sparse(size: int) -> bytes:
    return member(E("s", pax={"GNU.sparse.major": "0", "GNU.sparse.size": str(size), "GNU.sparse.map": ""}))


GIB = 1 << 30
BOMBS: dict[str, tuple[Callable[[], tuple[bytes, str]], str]] = {
    "gzip": (lambda: (repeated(big(GIB), ZEROS, 1024), GZIP), "layer.too-large"),
    "gzip, its size not told": (lambda: (repeated(b"", tar([E("f", ZEROS[:500_000])], b""), 12), GZIP), "layer.ratio"),
    "zstd": (lambda: (zstandard.compress(big(GIB) + ZEROS * 256, 19), ZSTD), "layer.too-large"),
    "zstd, its size not told": (lambda: (zstandard.compress(tar([E("f", ZEROS[:500_000])], b"") * 12), ZSTD),
                                "layer.ratio"),
    "what follows the end": (lambda: (repeated(tar([E("f")]), ZEROS, 1024), GZIP), "layer.too-large"),
    "many small entries": (lambda: (gzip.compress(b"".join(member(E(str(n))) for n in range(2000))), GZIP),
                           "layer.entries"),
    "many directories": (lambda: (gzip.compress(b"".join(member(d(str(n))) for n in range(2000))), GZIP),
                         "layer.entries"),
    "a pax header of 1 GiB": (lambda: (repeated(block(E("x", kind=b"x"), b"x", b"", GIB), ZEROS, 1024), GZIP),
                              "tar.header"),
    "a long name of 1 GiB": (lambda: (repeated(block(E("L", kind=b"L"), b"L", b"", GIB), b"a" * (1 << 20), 1024), GZIP),
                             "tar.header"),
    "a gzip header without end": (lambda: (b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"a" * (8 << 20), GZIP),
                                  "layer.corrupt"),
    "holes of 8 EiB": (lambda: (tar([sparse((8 << 60) - 1)]), PLAIN), "tar.header"),
    "holes of 1 EiB": (lambda: (tar([sparse(1 << 60)]), PLAIN), "layer.too-large"),
    "many holes": (lambda: (tar([sparse(3 << 20)] * 3), PLAIN), "layer.too-large"),
    "deep": (lambda: (tar([E("d/" * 2000 + "f")]), PLAIN), "tar.path"),
}


SETTINGS = {"layer.too-large": "layer-size", "layer.ratio": "layer-ratio", "layer.entries": "layer-entries"}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_stop(name: str, store: Store, written: list[int]) -> None:
    make, code = BOMBS[name]
    blob, media_type = make()
    layer = layer_of(store, blob, media_type)
    written[0] = 0
    with pytest.raises(ArchiveError) as caught:
        unpack_layer(store, layer, SMALL)
    assert caught.value.code == code, caught.value
    assert written[0] <= SMALL.bytes + CHUNK
    if code in SETTINGS:
        assert SETTINGS[code] in caught.value.hint and any(c.isdigit() for c in caught.value.what)
    assert not os.listdir(store.home / "tmp") and not list((store.home / "trees").glob("layer-*"))


def test_an_honest_layer_of_zeros_is_unpacked(store: Store) -> None:
    data = tar([E("zeros", bytes(64 << 20))])
    made = image([put(store, data)])
    assert (make_image_tree(store, made) / "zeros").stat().st_size == 64 << 20


def test_holes_take_no_room(store: Store) -> None:
    data = tar([member(E("s", b"x" * 10, pax={"GNU.sparse.major": "0", "GNU.sparse.size": str(300 << 20),
                                              "GNU.sparse.map": f"{100 << 20},10"}))])
    status = (make_image_tree(store, image([put(store, data)])) / "s").stat()
    assert status.st_size == 300 << 20 and status.st_blocks * 512 < 1 << 20
