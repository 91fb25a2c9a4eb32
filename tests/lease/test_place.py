"""Which directory the users of a machine meet in: by facts that are the same for all of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bareboat.errors import LeaseError
from bareboat.lease.place import Place, place

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make directories of root's")


def parents(base: Path, *modes: int) -> list[Path]:
    made = []
    for number, mode in enumerate(modes):
        (base / str(number)).mkdir()
        (base / str(number)).chmod(mode)
        made.append(base / str(number) / "leases")
    return made


def test_the_first_whose_parent_is_everybodys(tmp_path: Path) -> None:
    places = parents(tmp_path, 0o755, 0o1777, 0o1777)
    assert place(None, places) == Place(places[1])


def test_one_of_the_administrators_goes_before(tmp_path: Path) -> None:
    places = parents(tmp_path, 0o1777, 0o755)
    places[1].mkdir()
    assert place(None, places) == Place(places[1])
    os.chown(places[1], 12345, 12345)  # one that a user made in a place of his decides nothing
    assert place(None, places) == Place(places[0])


def test_a_parent_in_which_anybody_may_remove_is_none(tmp_path: Path) -> None:
    places = parents(tmp_path, 0o777, 0o1755)
    with pytest.raises(LeaseError) as caught:
        place(None, places)
    assert caught.value.code == "lease.nowhere" and str(places[0]) in caught.value.where
    os.chown(places[0].parent, 12345, 12345)
    places[0].parent.chmod(0o1777)
    with pytest.raises(LeaseError):
        place(None, places)


def test_what_was_said_is_taken(tmp_path: Path) -> None:
    assert place(tmp_path / "x", parents(tmp_path, 0o1777)) == Place(tmp_path / "x", True)
