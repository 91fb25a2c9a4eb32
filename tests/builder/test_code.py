"""The tree of an image's code: of the snapshot alone, whatever its plan says."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bareboat.builder.code import make_code_tree
from bareboat.errors import ArchiveError
from bareboat.image.plan import PlanCode
from bareboat.store import Store
from bareboat.store.snapshots import CodeRules, snapshot


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


@pytest.fixture
def code(store: Store, tmp_path: Path) -> PlanCode:
    root = tmp_path / "project"
    (root / "src/in").mkdir(parents=True)
    (root / "src/in/run.py").write_text("1\n")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("private\n")
    (root / "src/way").symlink_to(tmp_path / "secret")
    of = snapshot(store, root, CodeRules(only=(), exclude=(), ignored=None)).snapshot
    return PlanCode(of.digest, of.index, of.packs, ())


def test_places_within_the_code(store: Store, code: PlanCode) -> None:
    tree = make_code_tree(store, replace(code, places=(("src/in", "/app/in"), ("src/in/run.py", "/opt/run.py"),
                                                       ("src/way", "/app/way"))))
    assert (tree / "app/in/run.py").read_text() == (tree / "opt/run.py").read_text() == "1\n"
    assert (tree / "app/way").is_symlink()  # the link itself, which means something in the image alone


@pytest.mark.parametrize("within", ["{secret}", "{secret}/key", "../../../../secret", "src/../../../../../secret/key",
                                    "src/way/key", "src/way/", "src//in", "./src", "..", "src/\0"])
def test_nothing_outside_of_the_code_comes_into_an_image(store: Store, code: PlanCode, tmp_path: Path,
                                                         within: str) -> None:
    within = within.format(secret=tmp_path / "secret")
    with pytest.raises(ArchiveError) as caught:
        make_code_tree(store, replace(code, places=((within, "/app"),)))
    assert caught.value.code == "code.place"
    for folder, _, names in os.walk(store.home / "trees"):
        assert not any("private" in Path(folder, n).read_text() for n in names if not os.path.islink(f"{folder}/{n}"))
