"""A push attaches the bill of materials to the image as its referrer."""

from __future__ import annotations

import json

import pytest
from tests.world_kit import World

from bareboat.project import load
from bareboat.registry.base import Content, RegistryError
from bareboat.registry.memory import MemoryRegistry, MemoryRepository
from bareboat.registry.places import Place, parse_place
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import environment
from bareboat.verbs.lock_mode import LockMode
from bareboat.verbs.push import push

PLACE = "host.example/lab/seg:1"


class Shop:
    """A world whose registries are in memory."""

    def __init__(self, world: World) -> None:
        world.require("beta")
        self.registry = MemoryRegistry()
        self.world = world
        self.work = Work(world.store, world.engine, world.settings, world.tell, self.open)
        world.store.tag("seg:1", environment(load(world.root), LockMode(), self.work).plan)

    def open(self, place: Place) -> MemoryRepository:
        assert place.reference is not None
        return self.registry.repository(place.reference.name)

    @property
    def there(self) -> MemoryRepository:
        return self.open(parse_place(PLACE))


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


@pytest.mark.parametrize(("form", "kind"), [("", "application/spdx+json"), ("spdx", "application/spdx+json"),
                                            ("cyclonedx", "application/vnd.cyclonedx+json")])
def test_it_is_found_by_the_images_digest(shop: Shop, form: str, kind: str) -> None:
    pushed = push("seg:1", parse_place(PLACE), shop.work, form)
    [referrer] = shop.there.referrers(pushed.digest)
    assert shop.there.referrers(pushed.digest, kind) == (referrer,)
    manifest = json.loads(shop.there.manifest(referrer.digest).data)
    assert manifest["subject"]["digest"] == pushed.digest and manifest["artifactType"] == kind
    [layer] = manifest["layers"]
    from bareboat.image.spec import Descriptor

    document = b"".join(shop.there.blob(Descriptor(layer["mediaType"], layer["digest"], layer["size"])))
    assert b"pkg:pypi/beta@2.0" in document and layer["mediaType"] == kind
    assert shop.there.tags() == ["1"]
    again = push("seg:1", parse_place("host.example/lab/seg:2"), shop.work, form)
    assert again.digest == pushed.digest and shop.there.referrers(pushed.digest) == (referrer,)


def test_nothing_is_attached_where_nothing_is_asked_for(shop: Shop) -> None:
    pushed = push("seg:1", parse_place(PLACE), shop.work, "none")
    assert shop.there.referrers(pushed.digest) == ()


def test_a_registry_that_refuses_artifacts_has_the_image(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    put = MemoryRepository.put_manifest

    def refusing(self: MemoryRepository, content: Content, tag: str = "") -> None:
        if b"artifactType" in content.data:
            raise RegistryError("registry.refused", "manifest invalid")
        put(self, content, tag)

    monkeypatch.setattr(MemoryRepository, "put_manifest", refusing)
    pushed = push("seg:1", parse_place(PLACE), shop.work)
    assert shop.there.manifest("1").digest == pushed.digest
    assert "the bill of materials was not taken: manifest invalid" in shop.world.tell.text
