"""Layer blobs: they hold exactly what the trees hold, are made once, and are made again when they are gone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from tests.builder.image_factory import SOURCES, plan_in, quiet
from tests.image_schemas import check_image

from bareboat.builder import blobs
from bareboat.builder.blobs import (
    bytecode_of,
    find_layer,
    layer_recipes,
    make_blobs,
    make_layer,
    tree_entries,
    wheel_groups,
)
from bareboat.builder.image import make_trees
from bareboat.builder.stacking import link_all
from bareboat.errors import ArchiveError
from bareboat.image.layer import gzip_packed
from bareboat.image.plan import EPOCH, Plan
from bareboat.image.spec import Image
from bareboat.lock import Wheel
from bareboat.store import Store
from bareboat.store.treewriter import TreeWriter

ZSTD = replace(SOURCES, compression="zstd")
WHEELS = {"one": {"one/__init__.py": b"x = 1\n" * 100}, "two": {"two/__init__.py": b"y = 2\n", "two/e.py": b""}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store")
    yield opened
    opened.close()


def content(store: Store, digest: str) -> bytes:
    path = store.blob(digest.removeprefix("sha256:"))
    assert path is not None
    return path.read_bytes()


def unpacked(store: Store, image: Image) -> dict[str, tuple[object, ...]]:
    """Path → kind, mode, mtime, content or link, of all layers in order, as tarfile reads them."""
    found: dict[str, tuple[object, ...]] = {}
    for layer in image.layers:
        seen = set()
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content(store, layer.digest)))) as tar:
            for m in tar:
                assert (m.uid, m.gid, m.uname, m.gname) == (0, 0, "", "") and m.name not in seen
                assert os.path.dirname(m.name) in (*seen, "")  # every parent stands before what is in it
                seen.add(m.name)
                file = tar.extractfile(m) if m.isreg() else None
                what = file.read() if file else m.linkname if m.issym() else b""
                found[m.name] = (m.type, 0o777 if m.issym() else m.mode, m.mtime, what)
    return found


def on_disk(store: Store, keys: tuple[str, ...]) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for key in keys:
        root = store.tree(key)
        assert root is not None
        for path in root.rglob("*"):
            s = path.lstat()
            kind, what = (tarfile.SYMTYPE, os.readlink(path)) if path.is_symlink() else \
                (tarfile.DIRTYPE, b"") if path.is_dir() else (tarfile.REGTYPE, path.read_bytes())
            mode = 0o777 if path.is_symlink() else stat.S_IMODE(s.st_mode)
            found[str(path.relative_to(root))] = (kind, mode, s.st_mtime, what)
    return found


def test_the_layers_hold_what_the_trees_hold(store: Store) -> None:
    plan = plan_in(store, WHEELS)
    image = make_blobs(store, plan, SOURCES, quiet)
    check_image(image.manifest, image.config)
    trees = make_trees(store, plan, SOURCES, quiet)
    found = unpacked(store, image)
    assert found.pop(".")[:3] == (tarfile.DIRTYPE, 0o755, EPOCH)
    assert found == on_disk(store, trees.keys)
    assert found["tmp"][1] == 0o1777 and {"app", "data", "results", "opt/venv/bin/python"} <= found.keys()
    config = json.loads(image.config)
    assert config["config"]["User"] == "1000:1000" and config["config"]["WorkingDir"] == "/app"
    assert len(image.layers) == len(config["history"]) == 2 + len(WHEELS) + 1
    for layer, diff_id in zip(image.layers, config["rootfs"]["diff_ids"], strict=True):
        raw = gzip.decompress(content(store, layer.digest))
        assert "sha256:" + hashlib.sha256(raw).hexdigest() == diff_id


def test_no_layer_is_made_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_in(store, WHEELS)
    first = make_blobs(store, plan, SOURCES, quiet)

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(blobs, "make_layer", never)
    monkeypatch.setattr(blobs, "fetch_wheels", lambda _store, wheels, *_: never() if wheels else None)
    for w in plan.wheels:
        store.remove_blob(w.sha256)  # a finished layer needs no wheel any more
    assert make_blobs(store, plan, SOURCES, quiet) == first


def test_what_went_is_made_again_with_the_same_digest(store: Store) -> None:
    plan = plan_in(store, WHEELS)
    first = make_blobs(store, plan, SOURCES, quiet)
    for layer in first.layers:
        store.remove_blob(layer.digest.removeprefix("sha256:"))
    assert all(find_layer(store, r.key) is None for r in layer_recipes(store, plan))
    assert make_blobs(store, plan, SOURCES, quiet) == first


def test_a_built_wheel_that_went_says_what_to_do(store: Store) -> None:
    plan = plan_in(store, WHEELS)
    make_trees(store, plan, SOURCES, quiet)
    store.remove_blob(plan.wheels[1].sha256)
    with pytest.raises(ArchiveError) as caught:
        make_blobs(store, plan, SOURCES, quiet)
    assert caught.value.code == "wheel.missing" and "bareboat lock" in caught.value.hint


def test_a_wheel_that_went_is_fetched_again(store: Store, tmp_path: Path) -> None:
    plan = plan_in(store, WHEELS)
    first = make_blobs(store, plan, SOURCES, quiet)
    place = tmp_path / "one.whl"
    blob = store.blob(plan.wheels[0].sha256)
    assert blob is not None
    place.write_bytes(blob.read_bytes())
    store.remove_blob(plan.wheels[0].sha256)
    for layer in first.layers:
        store.remove_blob(layer.digest.removeprefix("sha256:"))
    wheels = (replace(plan.wheels[0], url=place.as_uri()), *plan.wheels[1:])
    assert make_blobs(store, replace(plan, wheels=wheels), SOURCES, quiet) == first


def test_a_layer_that_fails_leaves_nothing(store: Store) -> None:
    plan = plan_in(store, WHEELS)
    make_trees(store, plan, SOURCES, quiet)
    [recipe] = [r for r in layer_recipes(store, plan) if r.what == "one 1.0"]
    path = store.blob(plan.wheels[0].sha256)
    assert path is not None
    data = bytearray(path.read_bytes())
    data[60] ^= 255
    path.chmod(0o600)
    path.write_bytes(data)
    with pytest.raises(ArchiveError):
        make_layer(store, recipe)
    assert find_layer(store, recipe.key) is None and os.listdir(store.home / "tmp") == []


def test_more_wheels_than_layers_share_some(store: Store) -> None:
    plan = plan_in(store, {f"p{n}": {f"p{n}/__init__.py": b"%d" % n} for n in range(130)})
    image = make_blobs(store, plan, SOURCES, quiet)
    assert len(image.layers) == 2 + 8 + 1
    found = unpacked(store, image)
    assert sum(p.endswith("/__init__.py") for p in found) == 130
    notes = [layer.get("annotations", {}) for layer in json.loads(image.manifest)["layers"]]
    named = [line.split("==")[0] for n in notes for line in n.get("bareboat.packages", "").split("\n") if "==" in line]
    assert sorted(named) == sorted(w.name for w in plan.wheels)
    before = {tuple(w.name for w in g.wheels) for g in wheel_groups(plan)}
    more = replace(plan, wheels=(*plan.wheels, Wheel("zz", "1.0", "zz-1.0-py3-none-any.whl", "", "a" * 64, 9)))
    assert len({tuple(w.name for w in g.wheels) for g in wheel_groups(more)} - before) == 1


def test_a_pipe_in_a_tree_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArchiveError) as caught:
        list(tree_entries(tmp_path))
    assert caught.value.code == "layer.kind"


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    [entry] = list(tree_entries(tmp_path))
    (tmp_path / "f").write_bytes(b"ab")
    with pytest.raises(ArchiveError) as caught:
        list(blobs.store_tree([entry]))
    assert caught.value.code == "layer.size"


def test_two_plans_share_the_layers_they_share(store: Store) -> None:
    small: Plan = plan_in(store, {"one": WHEELS["one"]})
    large: Plan = plan_in(store, WHEELS)
    a, b = make_blobs(store, small, SOURCES, quiet), make_blobs(store, large, SOURCES, quiet)
    assert set(a.layers) < set(b.layers) and len(b.layers) == len(a.layers) + 1


def compiler(store: Store):  # type: ignore[no-untyped-def]
    """A fake: bytecode of every wheel beside its files, and of one module of the standard library."""
    def compile_for(plan: Plan) -> None:
        for source, key in bytecode_of(plan).items():
            def fill(tree: TreeWriter, source: str = source) -> None:
                if not source:
                    tree.file("usr/lib/python3.13/__pycache__/os.cpython-313.pyc", 0o644, [b"os" * 5000])
                    return
                found = store.tree(source)
                assert found is not None
                link_all(tree, found)
                for path in sorted(found.rglob("*.py")):
                    inside = path.relative_to(found)
                    tree.file(f"{inside.parent}/__pycache__/{inside.stem}.cpython-313.pyc", 0o644,
                              [b"code of " + str(inside).encode() * 500])
            store.make_tree(key, fill)
    return compile_for


def test_bytecode_goes_with_its_wheel_and_says_the_same_everywhere(store: Store, tmp_path: Path) -> None:
    plan = plan_in(store, WHEELS)
    plain = make_blobs(store, plan, SOURCES, quiet)
    image = make_blobs(store, plan, replace(SOURCES, bytecode=compiler(store)), quiet)
    assert len(image.layers) == len(plain.layers) + 1
    found, without = unpacked(store, image), unpacked(store, plain)
    added = {p: found[p] for p in found.keys() - without.keys() if not p.endswith("__pycache__")}
    site = "opt/venv/lib/python3.13/site-packages"
    assert {p.removeprefix(f"{site}/") for p in added if p.endswith(".pyc")} == {
        "one/__pycache__/__init__.cpython-313.pyc", "two/__pycache__/__init__.cpython-313.pyc",
        "two/__pycache__/e.cpython-313.pyc", "usr/lib/python3.13/__pycache__/os.cpython-313.pyc"}
    assert all(found[p] == without[p] for p in without)
    bytecode = sum(len(x[3]) for p, x in added.items() if p.startswith(site))  # type: ignore[arg-type]
    more = sum(la.size for la in image.layers) - sum(la.size for la in plain.layers)
    assert bytecode > 30_000 and more < 20_000  # it is compressed; the headers are not
    again = Store.open(tmp_path / "again")
    same = plan_in(again, WHEELS)
    assert make_blobs(again, same, replace(SOURCES, bytecode=compiler(again)), quiet) == image
    again.close()
    assert make_blobs(store, plan, SOURCES, quiet) == image  # what is there is taken, whoever compiled it


def test_a_package_that_is_added_brings_its_own_layer_and_no_other(store: Store) -> None:
    sources = replace(SOURCES, bytecode=compiler(store))
    small, large = plan_in(store, {"one": WHEELS["one"]}), plan_in(store, WHEELS)
    a, b = make_blobs(store, small, sources, quiet), make_blobs(store, large, sources, quiet)
    assert len(set(b.layers) - set(a.layers)) == 1 and set(a.layers) < set(b.layers)


def test_the_pinned_compressor_has_not_changed() -> None:
    """The digest is in images: when this fails, pin the old version or raise BYTECODE_FORMAT."""
    data = b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() for n in range(5000))
    digest = "d12462676d7b14a91ca8ba5bbc64fa5e6f83e436965901770c0313968e26ba14"
    assert hashlib.sha256(gzip_packed(data)).hexdigest() == digest
    assert gzip.decompress(gzip_packed(data)) == data


def test_by_zstd_the_same_tars_with_other_digests_everywhere(store: Store, tmp_path: Path) -> None:
    plan = plan_in(store, WHEELS)
    image, zstd = make_blobs(store, plan, SOURCES, quiet), make_blobs(store, plan, ZSTD, quiet)
    check_image(zstd.manifest, zstd.config)
    assert json.loads(image.config) == json.loads(zstd.config)  # DiffIDs are of the tars
    for a, b in zip(image.layers, zstd.layers, strict=True):
        assert b.media_type == "application/vnd.oci.image.layer.v1.tar+zstd" and b.size < a.size
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(content(store, b.digest))
        assert raw == gzip.decompress(content(store, a.digest))
    again = Store.open(tmp_path / "again")
    assert make_blobs(again, plan_in(again, WHEELS), ZSTD, quiet) == zstd
    again.close()


def test_a_layer_that_rotted_is_not_compressed_anew(store: Store) -> None:
    plan = plan_in(store, WHEELS)
    image = make_blobs(store, plan, SOURCES, quiet)
    path = store.blob(image.layers[0].digest.removeprefix("sha256:"))
    assert path is not None
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    with pytest.raises(ArchiveError) as caught:
        make_blobs(store, plan, ZSTD, quiet)
    assert caught.value.code.startswith("layer.")
