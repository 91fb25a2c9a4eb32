"""An image from a repository into the store: platforms, indexes, what is cut, wrong, missing."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from tests import image_kit as kit
from tests.builder.layer_factory import E, d
from tests.image_kit import Made, digest, index, registry

from bareboat.builder.layers import image_tree_key
from bareboat.builder.pulling import ensure, pull
from bareboat.errors import ArchiveError, BareboatError, ResolveError
from bareboat.image.manifest import DOCKER_CONFIG, DOCKER_MANIFEST, Platform
from bareboat.image.spec import CONFIG, INDEX, MANIFEST
from bareboat.lock import BaseImage
from bareboat.registry.memory import MemoryRepository
from bareboat.registry.places import parse_place
from bareboat.store import Store

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64", "v8")
PLACE = parse_place("host.example/lab/seg:1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def bring(store: Store, repository: MemoryRepository, place: str = str(PLACE)) -> BaseImage:
    return pull(store, repository, parse_place(place), "linux/amd64", lambda *_: None).image


def file_of(store: Store, image: BaseImage, path: str) -> bytes:
    tree = store.tree(image_tree_key(image))
    assert tree is not None
    return (tree / path).read_bytes()


def test_an_image(store: Store) -> None:
    _, repository = registry()
    content = Made().put(repository, "1")
    image = bring(store, repository)
    assert image.manifest == content.digest and image.reference == "host.example/lab/seg:1"
    assert (image.env, image.cmd, image.workdir) == ((("A", "1"),), ("sh",), "/w")
    assert file_of(store, image, "etc/name") == b"made\n"
    kept = store.blob(content.digest.removeprefix("sha256:"))
    assert kept is not None and kept.read_bytes() == content.data  # trap 43: the very bytes


def test_by_digest_and_again(store: Store) -> None:
    _, repository = registry()
    content = Made().put(repository, "1")
    place = parse_place(f"host.example/lab/seg@{content.digest}")
    first = pull(store, repository, place, "linux/amd64", lambda *_: None)
    assert first.unpacked == 1 and first.fetched > 0
    again = pull(store, repository, PLACE, "linux/amd64", lambda *_: None)
    assert (again.unpacked, again.fetched) == (0, 0)


def test_the_row_of_the_platform(store: Store) -> None:
    _, repository = registry()
    rows = [(Made(platform=p, run={"Cmd": [str(p)]}).put(repository), p) for p in (ARM64, AMD64)]
    top = index(repository, rows, "1")
    made = pull(store, repository, PLACE, "linux/amd64", lambda *_: None)
    assert made.image.cmd == ("linux/amd64",) and made.index == top.digest
    assert pull(store, repository, PLACE, "linux/arm64", lambda *_: None).image.cmd == ("linux/arm64/v8",)
    with pytest.raises(ResolveError) as caught:
        pull(store, repository, PLACE, "linux/riscv64", lambda *_: None)
    assert caught.value.code == "image.platform" and "linux/amd64, linux/arm64/v8" in caught.value.hint


def test_an_index_in_an_index(store: Store) -> None:
    _, repository = registry()
    inner = index(repository, [(Made().put(repository), AMD64)])
    index(repository, [(inner, None)], "1")
    assert file_of(store, bring(store, repository), "etc/name") == b"made\n"


def test_indexes_without_end(store: Store) -> None:
    _, repository = registry()
    top = index(repository, [(Made().put(repository), AMD64)])
    for _ in range(10):
        top = index(repository, [(top, None)], "1")
    with pytest.raises(ArchiveError) as caught:
        bring(store, repository)
    assert caught.value.code == "manifest.malformed"


def test_a_sparse_index_says_that_the_platform_was_left_out(store: Store) -> None:
    _, repository = registry()
    content = Made().put(repository)
    index(repository, [(content, AMD64)], "1")
    del repository.manifests[content.digest]
    with pytest.raises(ResolveError) as caught:
        bring(store, repository)
    assert caught.value.code == "registry.not-found" and "left this platform out" in caught.value.hint


def test_content_that_a_descriptor_carries_is_not_asked_for(store: Store) -> None:
    _, repository = registry()
    content = Made().put(repository)
    row = {**content.descriptor.document(), "platform": {"os": "linux", "architecture": "amd64"},
           "data": base64.b64encode(content.data).decode()}
    kit.put(repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [row]}, INDEX, "1")
    del repository.manifests[content.digest]
    assert bring(store, repository).manifest == content.digest


def test_a_cut_layer_goes_on_where_it_was(store: Store) -> None:
    made, repository = registry()
    big = hashlib.sha256(b"x").digest() * 40_000
    content = Made(layers=((E("big", big),),), media_type="application/vnd.oci.image.layer.v1.tar").put(repository, "1")
    layer = next(k for k, v in repository.blobs.items() if len(v) > 1_000_000)
    made.cut[layer] = 700_000
    image = bring(store, repository)
    assert image.manifest == content.digest and file_of(store, image, "big") == big


def test_a_wrong_layer_is_never_unpacked(store: Store) -> None:
    _, repository = registry()
    Made().put(repository, "1")
    [layer] = [k for k, v in repository.blobs.items() if v.startswith(b"\x1f\x8b")]
    repository.blobs[layer] = repository.blobs[layer][:-1] + b"!"
    with pytest.raises(BareboatError) as caught:
        bring(store, repository)
    assert caught.value.code == "download.digest"
    assert not list((store.home / "trees").iterdir())


def test_a_layer_whose_diff_id_is_another(store: Store) -> None:
    _, repository = registry()
    Made().put(repository, "1")
    other = Made(layers=((E("other", b"1"),),)).put(repository)
    Made().put(repository, "1", layers=json.loads(other.data)["layers"])
    with pytest.raises(ArchiveError) as caught:
        bring(store, repository)
    assert caught.value.code.startswith("layer.")


@pytest.mark.parametrize(("changes", "code"), [
    ({"layers": []}, "config.malformed"),
    ({"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest(b"{}"), "size": 2}},
     "image.artifact"),
    ({"config": {"mediaType": CONFIG, "digest": digest(b"{}"), "size": 2}}, "config.malformed"),
    ({"config": {"mediaType": CONFIG, "digest": digest(b"{}"), "size": 9 << 20}}, "config.too-large"),
    ({"config": {"mediaType": CONFIG, "digest": digest(b"{}"), "size": 3}}, "registry.size"),
    ({"layers": [{"mediaType": "application/x-encrypted", "digest": digest(b"{}"), "size": 2}]}, "image.layer"),
    ({"layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha512:" + "a" * 128, "size": 2}]},
     "image.algorithm"),
])
def test_what_is_refused(store: Store, changes: dict[str, object], code: str) -> None:
    _, repository = registry()
    repository.blobs[digest(b"{}")] = b"{}"
    Made().put(repository, "1", **changes)
    with pytest.raises(BareboatError) as caught:
        bring(store, repository)
    assert caught.value.code == code
    assert not list((store.home / "trees").iterdir())


def test_an_image_of_another_architecture(store: Store) -> None:
    _, repository = registry()
    Made(platform=ARM64).put(repository, "1")
    with pytest.raises(ResolveError) as caught:
        bring(store, repository)
    assert caught.value.code == "image.platform"


def test_docker_s_own_kind(store: Store) -> None:
    _, repository = registry()
    made = Made(media_type="application/vnd.oci.image.layer.v1.tar+gzip")
    document = json.loads(made.put(repository).data)
    document["mediaType"] = DOCKER_MANIFEST
    document["config"]["mediaType"] = DOCKER_CONFIG
    document["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    content = kit.put(repository, document, DOCKER_MANIFEST, "1")
    image = bring(store, repository)
    assert (image.manifest, image.media_type) == (content.digest, DOCKER_MANIFEST)


def test_nobody_is_asked_when_all_blobs_are_here(store: Store, tmp_path: Path) -> None:
    _, repository = registry()
    Made(layers=((d("a"), E("a/b", b"1")), (E("a/.wh.b"),))).put(repository, "1")
    image = bring(store, repository)
    other = Store.open(tmp_path / "other")
    with pytest.raises(ArchiveError) as caught:
        ensure(other, image, None, lambda *_: None)
    assert caught.value.code == "layer.missing"
    for layer in image.layers:
        other.put_blob([repository.blobs[layer.digest]])
    assert ensure(other, image, None, lambda *_: None) == (0, 0)
    tree = other.tree(image_tree_key(image))
    assert tree is not None and (tree / "a").is_dir() and not (tree / "a/b").exists()


def test_media_type_of_an_unknown_manifest(store: Store) -> None:
    _, repository = registry()
    kit.put(repository, b"<html>", MANIFEST, "1")
    with pytest.raises(ArchiveError) as caught:
        bring(store, repository)
    assert caught.value.code == "manifest.malformed"
