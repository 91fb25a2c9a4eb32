"""Which repositories have which blobs: what a push mounts."""

from __future__ import annotations

import pytest
from tests.world_kit import World

from bareboat.image.reference import parse_reference
from bareboat.verbs.origins import MOST, mounts, remember

ONE, TWO = parse_reference("host.example/lab/one:1"), parse_reference("host.example/lab/two:1")


def test_what_is_known_of_another_repository_of_the_same_registry(world: World) -> None:
    work = world.work
    remember(ONE, ["a", "b"], work)
    assert [mounts(TWO, work)(d) for d in "abc"] == ["lab/one", "lab/one", ""]
    assert mounts(ONE, work)("a") == ""  # it is there itself
    assert mounts(parse_reference("other.example/lab/two:1"), work)("a") == ""  # never another registry's
    assert mounts(parse_reference("host.example:5000/lab/two:1"), work)("a") == ""


def test_the_last_place_counts_and_the_oldest_go(world: World) -> None:
    work = world.work
    remember(ONE, ["a"], work)
    remember(TWO, ["a"], work)
    assert mounts(ONE, work)("a") == "lab/two"
    remember(ONE, (str(n) for n in range(MOST)), work)
    assert mounts(TWO, work)("a") == "" and mounts(TWO, work)("0") == "lab/one"


def test_a_place_that_is_no_registry(world: World) -> None:
    remember(None, ["a"], world.work)
    assert mounts(None, world.work)("a") == "" and not [k for k in world.store.keys("cache") if "origins" in k]


@pytest.mark.parametrize("note", [[], {"at": 1}, {}, 7])
def test_a_note_of_another_form_is_nothing(world: World, note: object) -> None:
    world.store.put_json("cache", "origins host.example", note)
    assert mounts(TWO, world.work)("a") == ""
