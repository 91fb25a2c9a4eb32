"""A layout in a directory: what other programs find in it, what theirs look like, and nothing outside."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_repository import CONFIG_BLOB, blob, index, manifest, push

from bareboat.errors import ArchiveError
from bareboat.image.spec import INDEX, LAYER, MANIFEST, canonical, describe
from bareboat.registry.base import Content, RegistryError
from bareboat.registry.layout import LayoutRepository, open_layout


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((path / "index.json").read_text())["manifests"]
    return found


def write_rows(path: Path, made: list[dict[str, Any]]) -> None:
    document = {"schemaVersion": 2, "manifests": made, "annotations": {"kept": "yes"}}
    (path / "index.json").write_text(json.dumps(document))


@pytest.fixture
def there(tmp_path: Path) -> LayoutRepository:
    return open_layout(tmp_path / "image", create=True)


def test_what_lies_there(there: LayoutRepository, tmp_path: Path) -> None:
    path = tmp_path / "image"
    content = manifest([blob(b"x")], CONFIG_BLOB)
    push(there, content, [blob(b"x"), CONFIG_BLOB], "1")
    assert json.loads((path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert rows(path) == [{**content.descriptor.document(), "annotations": {"org.opencontainers.image.ref.name": "1"}}]
    files = sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
    assert files == sorted(["index.json", "oci-layout", *(
        f"blobs/sha256/{d.partition(':')[2]}" for d in (content.digest, CONFIG_BLOB.descriptor.digest,
                                                        describe(LAYER, b"x").digest))])


def test_children_of_an_index_get_no_row(there: LayoutRepository, tmp_path: Path) -> None:
    images = [manifest([], CONFIG_BLOB, annotations={"n": str(n)}) for n in range(2)]
    push(there, images[0], [CONFIG_BLOB])
    there.put_manifest(images[1])
    there.put_manifest(index(images), "all")
    assert len(rows(tmp_path / "image")) == 1 and there.manifest("") == index(images)


def test_the_only_image_needs_no_name(there: LayoutRepository) -> None:
    with pytest.raises(RegistryError) as caught:
        there.manifest("")
    assert caught.value.code == "registry.not-found"
    content = manifest([], CONFIG_BLOB)
    push(there, content, [CONFIG_BLOB], "1")
    there.put_manifest(manifest([], CONFIG_BLOB, subject=content.descriptor.document()))
    assert there.manifest("") == content, "what speaks of it does not count"
    there.put_manifest(manifest([], CONFIG_BLOB, annotations={"other": "one"}), "2")
    with pytest.raises(RegistryError) as caught:
        there.manifest("")
    assert caught.value.code == "registry.ambiguous"


def test_rows_of_others_stay_and_are_understood(there: LayoutRepository, tmp_path: Path) -> None:
    path = tmp_path / "image"
    content, other = manifest([], CONFIG_BLOB), manifest([], CONFIG_BLOB, annotations={"a": "b"})
    push(there, content, [CONFIG_BLOB], "x")
    theirs = {**content.descriptor.document(), "platform": {"os": "linux", "architecture": "arm64"}, "annotations": {
        "io.containerd.image.name": "docker.io/library/python:3.12", "org.opencontainers.image.ref.name": "3.12-slim"}}
    write_rows(path, [theirs])
    assert there.manifest("3.12-slim") == content == there.manifest("3.12")
    there.put_manifest(other, "mine")
    assert rows(path)[0] == theirs and len(rows(path)) == 2
    assert json.loads((path / "index.json").read_text())["annotations"] == {"kept": "yes"}


def test_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "image"
    push(open_layout(path, create=True), manifest([], CONFIG_BLOB), [CONFIG_BLOB])
    workers = [multiprocessing.get_context("fork").Process(target=_tag, args=(path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert open_layout(path).tags() == sorted(f"t{n}-{i}" for n in range(4) for i in range(10))
    assert not list(path.glob(".draft-*"))


def _tag(path: Path, n: int) -> None:
    for i in range(10):
        open_layout(path).put_manifest(manifest([], CONFIG_BLOB), f"t{n}-{i}")


@pytest.mark.parametrize("part", ["blobs", "blobs/sha256", "blob", "index.json", "oci-layout"])
def test_links_are_not_followed(tmp_path: Path, part: str) -> None:
    path, outside = tmp_path / "image", tmp_path / "outside"
    layout = open_layout(path, create=True)
    content = manifest([blob(b"secret")], CONFIG_BLOB)
    push(layout, content, [blob(b"secret"), CONFIG_BLOB], "1")
    name = f"blobs/sha256/{describe(LAYER, b'secret').digest.partition(':')[2]}" if part == "blob" else part
    os.rename(path / name, outside)
    (path / name).symlink_to(outside)
    before = sorted(outside.rglob("*")) if outside.is_dir() else outside.read_bytes()
    with pytest.raises((RegistryError, ArchiveError)):
        again = open_layout(path)
        b"".join(again.blob(describe(LAYER, b"secret")))
        again.put_manifest(content, "2")
    if part.startswith("blobs"):
        with pytest.raises(RegistryError):
            layout.put_blob(blob(b"more"))
    after = sorted(outside.rglob("*")) if outside.is_dir() else outside.read_bytes()
    assert before == after


def test_damage_is_found(there: LayoutRepository, tmp_path: Path) -> None:
    content = manifest([blob(b"layer")], CONFIG_BLOB)
    push(there, content, [blob(b"layer"), CONFIG_BLOB], "1")
    file = tmp_path / "image/blobs/sha256" / content.digest.partition(":")[2]
    file.write_bytes(content.data.replace(b"layers", b"lavers"))
    with pytest.raises(RegistryError) as caught:
        there.manifest("1")
    assert caught.value.code == "registry.digest"
    (tmp_path / "image/blobs/sha256" / describe(LAYER, b"layer").digest.partition(":")[2]).write_bytes(b"longer layer")
    with pytest.raises(RegistryError) as caught:
        there.blob(describe(LAYER, b"layer"))
    assert caught.value.code == "registry.size"


@pytest.mark.parametrize("document", [
    b"", b"{}", b"[]", b'{"schemaVersion": 2, "manifests": 3}', b'{"schemaVersion": 2, "manifests": [{}]}',
    b'{"schemaVersion": 2, "manifests": [], "manifests": []}', b" " * (5 << 20),
    b'{"schemaVersion": 2, "manifests": [{"mediaType": "a/b", "digest": "sha256:../../x", "size": 1}]}',
])  # fmt: skip
def test_an_index_that_is_none(there: LayoutRepository, tmp_path: Path, document: bytes) -> None:
    (tmp_path / "image/index.json").write_bytes(document)
    for ask in (there.tags, lambda: there.manifest("1"), lambda: there.put_manifest(manifest([], CONFIG_BLOB), "1")):
        with pytest.raises((RegistryError, ArchiveError)):
            ask()
    assert (tmp_path / "image/index.json").read_bytes() == document


def test_what_is_no_layout(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none", "layout.missing"), (tmp_path, "layout.missing")):
        with pytest.raises(RegistryError) as caught:
            open_layout(path)
        assert caught.value.code == code
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    with pytest.raises(RegistryError) as caught:
        open_layout(tmp_path / "full", create=True)
    assert caught.value.code == "layout.not-empty" and os.listdir(tmp_path / "full") == ["file"]
    (tmp_path / "new").mkdir()
    (tmp_path / "new/oci-layout").write_bytes(canonical({"imageLayoutVersion": "2.0.0"}))
    with pytest.raises(RegistryError) as caught:
        open_layout(tmp_path / "new")
    assert caught.value.code == "layout.version"


def test_a_sparse_layout_has_what_it_has(there: LayoutRepository) -> None:
    images = [manifest([], CONFIG_BLOB, annotations={"n": str(n)}) for n in range(2)]
    push(there, images[0], [CONFIG_BLOB])
    there.put_manifest(index(images), "all")
    assert there.manifest("all").media_type == INDEX and there.manifest(images[0].digest) == images[0]
    assert there.head(images[1].digest) is None


def test_bytes_that_are_not_what_they_say_leave_nothing(there: LayoutRepository, tmp_path: Path) -> None:
    with pytest.raises(RegistryError):
        there.put_manifest(Content(MANIFEST, describe("", b"y").digest, manifest([], CONFIG_BLOB).data), "1")
    assert there.tags() == [] and sorted(os.listdir(tmp_path / "image")) == ["index.json", "oci-layout"]


def test_a_blob_that_was_cut_short_is_written_anew(tmp_path: Path) -> None:
    layout = open_layout(tmp_path / "layout", create=True)
    assert [layout.put_blob(CONFIG_BLOB).how for _ in range(2)] == ["sent", "there"]
    file = tmp_path / "layout/blobs/sha256" / CONFIG_BLOB.descriptor.digest.removeprefix("sha256:")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert layout.put_blob(CONFIG_BLOB).how == "sent" and file.read_bytes() == whole
