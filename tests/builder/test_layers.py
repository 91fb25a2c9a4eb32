from __future__ import annotations

import gzip
import os
import py_compile
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest
from tests.builder.layer_factory import GZIP, PLAIN, TYPES, ZSTD, E, d, hard, image, look, put, sym, tar

from bareboat.builder.layers import layer_entries, layer_tree_key, make_image_tree, unpack_layer
from bareboat.errors import ArchiveError
from bareboat.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store.open(tmp_path / "home")
    yield found
    found.close()


def merged(store: Store, *layers: list[E | bytes], removed: tuple[str, ...] = ()) -> dict[str, tuple[object, ...]]:
    return look(make_image_tree(store, image([put(store, tar(entries)) for entries in layers], removed)))


def refused(store: Store, *layers: list[E | bytes]) -> str:
    with pytest.raises(ArchiveError) as caught:
        merged(store, *layers)
    return caught.value.code


@pytest.mark.parametrize("media_type", TYPES)
@pytest.mark.parametrize("said", TYPES)
def test_the_bytes_count_not_the_media_type(store: Store, media_type: str, said: str) -> None:
    data = tar([d("a"), E("a/f", b"x" * 300_000)])
    layer = put(store, data, said, TYPES[media_type](data))
    assert look(make_image_tree(store, image([layer]))) == {"a": ("dir", 0o755), "a/f": ("file", 0o644, b"x" * 300_000)}


def test_many_gzip_members_and_zstd_frames(store: Store) -> None:
    data = tar([E("f", bytes(range(256)) * 100)])
    parts = [data[at : at + 777] for at in range(0, len(data), 777)]
    skippable = b"\x5e\x2a\x4d\x18\x04\0\0\0abcd"
    zstd = skippable + b"".join(TYPES[ZSTD](p) for p in parts) + skippable
    layers = [put(store, data, GZIP, b"".join(gzip.compress(p) for p in parts))]
    make_image_tree(store, image(layers))
    other = Store.open(store.home.parent / "other")
    make_image_tree(other, image([put(other, data, ZSTD, zstd)]))
    other.close()


def test_the_diff_id_is_verified(store: Store) -> None:
    good = put(store, tar([E("f", b"1")]))
    other = put(store, tar([E("f", b"2")]), GZIP, gzip.compress(tar([E("f", b"1")])))
    with pytest.raises(ArchiveError) as caught:
        unpack_layer(store, other)
    assert caught.value.code == "layer.diff-id"
    assert store.tree(layer_tree_key(other.diff_id)) is None
    unpack_layer(store, good)


def test_a_blob_that_is_not_there(store: Store) -> None:
    layer = put(store, tar([E("f")]))
    store.remove_blob(layer.digest.partition(":")[2])
    with pytest.raises(ArchiveError) as caught:
        make_image_tree(store, image([layer]))
    assert caught.value.code == "layer.missing"


def test_it_is_made_once_and_needs_no_blobs_then(store: Store) -> None:
    layers = [put(store, tar([E("f", b"1")])), put(store, tar([E("g", b"2")], b""), PLAIN)]
    first = make_image_tree(store, image(layers))
    for layer in layers:
        store.remove_blob(layer.digest.partition(":")[2])
    assert make_image_tree(store, image(layers)) == first
    assert look(make_image_tree(store, image(layers, ("f",)))) == {"g": ("file", 0o644, b"2")}


def test_whiteouts_before_and_after_what_they_stand_beside(store: Store) -> None:
    lower = [d("a"), E("a/old", b"o"), E("a/kept", b"k"), d("b"), d("b/c"), E("b/c/old"), E("b/both", b"lower")]
    upper = [E("b/c/new", b"n"), E("b/.wh..wh..opq"), E("a/.wh.old"), E("b/both", b"upper"), E("a/.wh.none")]
    found = merged(store, lower, upper)
    assert merged(store, lower, upper[::-1]) == found
    assert sorted(found) == ["a", "a/kept", "b", "b/both", "b/c", "b/c/new"]
    assert found["b/both"] == ("file", 0o644, b"upper")


def test_a_whiteout_spares_what_its_own_layer_brings(store: Store) -> None:
    found = merged(store, [d("a"), E("a/x", b"1"), E("f", b"1")], [d("a"), E("a/y"), E("f", b"2"), E(".wh.a")],
                   [E(".wh.f"), E("f", b"3")])
    assert sorted(found) == ["a", "a/y", "f"] and found["f"][2] == b"3"


def test_an_opaque_root(store: Store) -> None:
    assert sorted(merged(store, [d("a"), E("a/b"), E("c")], [E("new"), E(".wh..wh..opq")])) == ["new"]


def test_parents_that_are_links_below(store: Store) -> None:
    found = merged(store, [d("usr"), d("usr/lib"), E("usr/lib/libc.so", b"c"), sym("lib", "usr/lib"), sym("up", "..")],
                   [E("lib/libm.so", b"m"), E("lib/.wh.libc.so"), E("up/usr/x")])
    assert found["lib"] == ("link", "usr/lib") and found["usr/lib/libm.so"][2] == b"m"
    assert "usr/lib/libc.so" not in found and "usr/x" in found


def test_a_directory_over_a_link_replaces_it_as_in_docker(store: Store) -> None:
    found = merged(store, [d("usr"), d("usr/lib"), E("usr/lib/x"), sym("lib", "usr/lib")], [d("lib"), E("lib/y")])
    assert found["lib"] == ("dir", 0o755) and "lib/y" in found and "usr/lib/x" in found


def test_files_over_directories_and_back(store: Store) -> None:
    found = merged(store, [d("a"), E("a/f"), E("b")], [E("a", b"now a file"), d("b"), E("b/f")])
    assert found["a"][0] == "file" and found["b/f"][0] == "file" and "a/f" not in found


def test_within_one_layer_the_later_wins(store: Store) -> None:
    found = merged(store, [E("a/f", b"1"), d("a", 0o700), E("a/f", b"2"), d("x"), E("x/y"), E("x", b"file")])
    assert found == {"a": ("dir", 0o700), "a/f": ("file", 0o644, b"2"), "x": ("file", 0o644, b"file")}


def test_links_stay_links(store: Store) -> None:
    layers = [put(store, tar([E("f", b"1"), hard("g", "f"), sym("s", "/f"), hard("t", "/s"), hard("bin/h", "./f")])),
              put(store, tar([hard("over", "f"), E("f", b"2")]))]
    root = make_image_tree(store, image(layers))
    found = look(root)
    assert found["s"] == found["t"] == ("link", "/f")
    assert found["g"][2] == found["bin/h"][2] == found["over"][2] == b"1" and found["f"][2] == b"2"
    assert os.stat(root / "g").st_ino == os.stat(root / "bin/h").st_ino == os.stat(root / "over").st_ino


def test_odd_names_are_names(store: Store) -> None:
    found = merged(store, [E("/abs"), E("./dot"), E("a//b/./c"), d("./"), E("new\nline"), E(b"\xff\xfe"), E("Case"),
                           E("case"), E("back\\slash"), E("n" * 120), E(" "), E("x" * 255)])
    assert {"abs", "dot", "a/b/c", "new\nline", "\udcff\udcfe", "Case", "case", "back\\slash", "n" * 120} <= set(found)


def test_what_cannot_be_made_is_listed(store: Store) -> None:
    layer = put(store, tar([E("dev/null", kind=b"3", mode=0o666), E("pipe", kind=b"6"), E("su", mode=0o4755, uid=7),
                            E("x", pax={"SCHILY.xattr.user.overlay.opaque": "y"}), E("shut", mode=0, gid=1 << 40),
                            d("tmp", 0o1777), d("closed", 0)]))
    root = make_image_tree(store, image([layer]))
    found = look(root)
    assert sorted(found) == ["closed", "dev", "shut", "su", "tmp", "x"]
    assert (found["su"][1], found["shut"][1], found["closed"][1], found["tmp"][1]) == (0o755, 0o400, 0o700, 0o1777)
    assert os.listxattr(root / "x") == []
    listed = {e.path: e for e in layer_entries(store, layer.diff_id)}
    assert listed["dev/null"].notes["device"] == ["3", 0, 0] and listed["su"].mode == 0o4755
    assert listed["su"].uid == 7 and listed["shut"].gid == 1 << 40
    assert listed["x"].notes == {"xattrs": {"user.overlay.opaque": "y"}}


def test_times_are_kept_in_whole_seconds(store: Store) -> None:
    layer = put(store, tar([d("d", mtime=1_500_000_000), E("d/f", mtime=5, pax={"mtime": "1234567890.75"}),
                            E("old", mtime=-1), E("plain", mtime=77)]))
    root = make_image_tree(store, image([layer]))
    assert {n: os.stat(root / n).st_mtime for n in ("d", "d/f", "old", "plain")} == {
        "d": 1_500_000_000, "d/f": 1234567890, "old": 0, "plain": 77}


def test_removed_paths_are_left_out(store: Store) -> None:
    found = merged(store, [d("site"), E("site/a.py"), d("site/pkg"), E("site/pkg/b.py"), E("site/kept")],
                   removed=("site/a.py", "site/pkg", "site/none"))
    assert sorted(found) == ["site", "site/kept"]


def test_bytecode_that_others_compiled_is_not_stale(store: Store, tmp_path: Path) -> None:
    """PEP 552: a timestamp .pyc holds the source's time in seconds; without it every import would compile again."""
    source, compiled = tmp_path / "m.py", tmp_path / "m.pyc"
    source.write_text("x = 1\n")
    os.utime(source, ns=(0, 1_650_000_000_750_000_000))
    py_compile.compile(str(source), str(compiled), doraise=True, invalidation_mode=PycInvalidationMode.TIMESTAMP)
    root = make_image_tree(store, image([put(store, tar([
        E("m.py", source.read_bytes(), pax={"mtime": "1650000000.75"}), E("m.pyc", compiled.read_bytes())]))]))
    header = (root / "m.pyc").read_bytes()[:16]
    status = (root / "m.py").stat()
    assert int.from_bytes(header[8:12], "little") == int(status.st_mtime)
    assert int.from_bytes(header[12:16], "little") == status.st_size
