"""Manifests of the store to a repository: in what order, and what does not go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.builder.layer_factory import E, d
from tests.image_kit import Made, digest, put, registry

from bareboat.builder.outgoing import RottenError
from bareboat.builder.pushing import Shipment, push
from bareboat.image.spec import INDEX, MANIFEST, platform_document
from bareboat.registry.base import Blob, Content, RegistryError, Sent
from bareboat.registry.memory import MemoryRegistry, MemoryRepository
from bareboat.store import Store


class Watched(MemoryRepository):
    """What arrives, in order. fails: digests whose blobs are refused."""

    def __init__(self, made: MemoryRegistry) -> None:
        super().__init__("host.example/there", made)
        self.came: list[str] = []
        self.fails: set[str] = set()

    def put_blob(self, blob: Blob, mount: str = "") -> Sent:
        if blob.descriptor.digest in self.fails:
            raise RegistryError("registry.server", "HTTP status 500", where=blob.descriptor.digest)
        sent = super().put_blob(blob, mount)
        self.came.append(blob.descriptor.digest)
        return sent

    def put_manifest(self, content: Content, tag: str = "") -> None:
        super().put_manifest(content, tag)
        self.came.append(f"{content.digest} {tag}".strip())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


@pytest.fixture
def there() -> Watched:
    return Watched(MemoryRegistry())


def image(store: Store, text: bytes = b"made\n", **changes: object) -> tuple[Content, list[str]]:
    """An image whose blobs are in the store; its manifest and its blobs' digests, the config last."""
    _, repository = registry()
    content = Made(layers=((d("etc"), E("etc/name", text)), (E("top", text * 2),))).put(repository, **changes)
    for data in repository.blobs.values():
        store.put_blob([data])
    return content, list(repository.blobs)


def send(store: Store, there: Watched, shipment: Shipment, tag: str = "1") -> None:
    push(store, there, shipment, tag, lambda *_: None)


def over(*contents: Content) -> Content:
    rows = [{**c.descriptor.document(), "platform": platform_document("linux/amd64")} for c in contents]
    _, repository = registry()
    return put(repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": rows}, INDEX)


def test_blobs_then_manifests_then_what_the_tag_names_then_what_speaks_of_it(store: Store, there: Watched) -> None:
    (one, blobs), (two, more) = image(store), image(store, b"other\n")
    about, extra = image(store, b"about\n", subject=one.descriptor.document())
    index = over(one, two)
    send(store, there, Shipment((one, two), index, (about,)))
    count = len({*blobs, *more, *extra})
    assert set(there.came[:count]) == {*blobs, *more, *extra}
    assert there.came[count:] == [one.digest, two.digest, f"{index.digest} 1", about.digest]


def test_of_one_image_the_tag_names_its_manifest(store: Store, there: Watched) -> None:
    content, _ = image(store)
    send(store, there, Shipment((content,)))
    assert there.came[-1] == f"{content.digest} 1" and there.names == {"1": content.digest}


@pytest.mark.parametrize("which", [0, -1])
def test_a_blob_that_fails_leaves_no_manifest(store: Store, there: Watched, which: int) -> None:
    content, blobs = image(store)
    there.fails = {blobs[which]}
    with pytest.raises(RegistryError):
        send(store, there, Shipment((content,)))
    assert not there.manifests and not there.names
    there.fails = set()
    before = set(there.blobs)
    send(store, there, Shipment((content,)))
    assert there.names and [s.how for s in there.sent if s.how == "there"] == ["there"] * len(before)


@pytest.mark.parametrize("damage", ["flip", "gone"])
def test_a_blob_that_rotted_is_not_sent_and_not_kept(store: Store, there: Watched, damage: str) -> None:
    content, blobs = image(store)
    path = store.blob(blobs[0].removeprefix("sha256:"))
    assert path is not None
    if damage == "gone":
        store.remove_blob(path.name)
    else:
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(RottenError):
        send(store, there, Shipment((content,)))
    assert not there.manifests and blobs[0] not in there.blobs and store.blob(path.name) is None


def test_layers_that_are_fetched_where_they_are_licensed_are_not_sent(store: Store, there: Watched) -> None:
    plain, blobs = image(store)
    document = json.loads(plain.data)
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    document["layers"][0] |= {"mediaType": kind, "urls": ["https://elsewhere.example/layer"]}
    document["layers"][1] |= {"mediaType": kind}  # nowhere else to be had: sent
    _, repository = registry()
    content = put(repository, document, MANIFEST)
    send(store, there, Shipment((content,)))
    assert digest(content.data) == there.names["1"] and set(there.blobs) == {*blobs[1:]}
