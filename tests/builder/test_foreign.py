"""Images of others in what is shipped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.builder.image_factory import plan_in
from tests.builder.layer_factory import E, d
from tests.image_kit import Made, registry

from bareboat.builder.blobs import make_blobs
from bareboat.builder.foreign import removals
from bareboat.builder.image import Sources
from bareboat.builder.pulling import pull
from bareboat.errors import BareboatError
from bareboat.image.planning import image_plan
from bareboat.lock import BaseImage
from bareboat.registry.memory import MemoryRepository
from bareboat.registry.places import parse_place
from bareboat.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


@pytest.fixture
def theirs(store: Store) -> tuple[MemoryRepository, BaseImage]:
    _, repository = registry()
    Made(layers=((d("usr"), d("usr/lib", 0o711), E("usr/lib/old.py", b"1"), d("usr/lib/gone"), E("usr/lib/gone/a"),
                  E("keep", b"k")),),
         run={"Env": ["A=1", "PATH=/x"], "Entrypoint": ["/nv"], "Healthcheck": {"Test": ["NONE"]}, "Shell": ["/b"],
              "Labels": {"theirs": "yes"}, "User": "root"}).put(repository, "1")
    return repository, pull(store, repository, parse_place("host.example/lab/seg:1"), "linux/amd64",
                            lambda *_: None).image


def sources(repository: MemoryRepository) -> Sources:
    return Sources(lambda _: pytest.fail("no archive is needed"), images=lambda _: repository)


def test_alone_it_ships_as_the_bytes_it_came_as(store: Store, theirs: tuple[MemoryRepository, BaseImage],
                                                tmp_path: Path) -> None:
    repository, image = theirs
    made = make_blobs(store, image_plan(image, "linux/amd64"), sources(repository), lambda *_: None)
    assert made.manifest == repository.manifest("1").data and made.descriptor.digest == image.manifest
    other = Store.open(tmp_path / "other")  # where nothing of it is left
    again = make_blobs(other, image_plan(image, "linux/amd64"), sources(repository), lambda *_: None)
    assert again == made
    assert all(other.blob(x.digest.removeprefix("sha256:")) for x in made.layers)
    alone = replace(sources(repository), images=None)
    with pytest.raises(BareboatError) as caught:
        make_blobs(Store.open(tmp_path / "third"), image_plan(image, "linux/amd64"), alone, lambda *_: None)
    assert caught.value.code == "image.missing"


def test_with_wheels_its_layers_come_first_and_what_it_says_stays(
        store: Store, theirs: tuple[MemoryRepository, BaseImage]) -> None:
    repository, image = theirs
    image = replace(image, removed=("usr/lib/old.py", "usr/lib/gone/a", "never/there"))
    plan = plan_in(store, {"one": {"one/__init__.py": b"x = 1\n"}})
    plan = replace(plan, image=image, debs=(), family="oci", suite=image.reference)
    made = make_blobs(store, plan, sources(repository), lambda *_: None)
    document, config = json.loads(made.manifest), json.loads(made.config)
    assert document["layers"][0]["digest"] == image.layers[0].digest
    assert len(document["layers"]) == len(config["rootfs"]["diff_ids"]) == 4  # theirs, removals, the wheel, generated
    assert len([h for h in config["history"] if not h.get("empty_layer")]) == 4
    run = config["config"]
    assert (run["Healthcheck"], run["Shell"]) == ({"Test": ["NONE"]}, ["/b"])
    assert run["Labels"]["theirs"] == "yes" and "Entrypoint" not in run and run["User"] == "1000:1000"


def test_whiteouts_of_what_is_taken_out(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib").chmod(0o711)
    (tmp_path / "usr/lib/stays").touch()
    found = list(removals(tmp_path, ("usr/lib/old.py", "usr/lib/gone/a", "usr/lib/gone/b", "/usr/lib/stays")))
    assert [(e.path, oct(e.mode)) for e in found] == [
        ("usr", oct((tmp_path / "usr").stat().st_mode & 0o7777)), ("usr/lib", "0o711"),
        ("usr/lib/.wh.gone", "0o644"), ("usr/lib/.wh.old.py", "0o644")]
