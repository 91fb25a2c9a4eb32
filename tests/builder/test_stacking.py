"""Lowers of a run: twins in place of wheels, and small wheels merged where there are too many."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bareboat.builder.stacking import lowers, stack
from bareboat.store import Store
from bareboat.store.treewriter import TreeWriter


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store")
    yield opened
    opened.close()


def made(store: Store, *keys: str) -> tuple[str, ...]:
    for key in keys:

        def fill(tree: TreeWriter, key: str = key) -> None:
            tree.file("site/shared/__init__.py", 0o644, [b""])  # as every nvidia wheel has
            tree.file(f"site/{key}.py", 0o644, [key.encode()])
            tree.file(f"bin/{key}", 0o755, [b"#!"])
            tree.symlink(f"site/{key}.link", f"{key}.py")
            if key.endswith("0"):
                tree.directory(f"site/{key}.d")
                tree.file(f"site/{key}-more.py", 0o644, [b"more"])

        store.make_tree(key, fill)
    return keys


def content(roots: tuple[Path, ...]) -> dict[str, tuple[int, float, bytes]]:
    """What an overlay of these shows: path → mode, mtime, bytes."""
    seen: dict[str, tuple[int, float, bytes]] = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            s = path.lstat()
            data = b"" if path.is_dir() else os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            seen[str(path.relative_to(root))] = (s.st_mode, s.st_mtime, data)
    return seen


def test_up_to_the_bound_nothing_changes(store: Store) -> None:
    assert stack(store, ("wheel-a", "wheel-b"), 2) == ("wheel-a", "wheel-b")
    assert os.listdir(store.home / "trees") == []


def test_five_hundred_wheels_fit_and_look_the_same(store: Store) -> None:
    keys = made(store, *(f"wheel-{n}" for n in range(500)))
    found = stack(store, keys)
    assert len(found) <= 380 and stack(store, keys) == found
    trees = [store.tree(k) for k in keys], [store.tree(k) for k in found]
    before, after = (tuple(t for t in ts if t is not None) for ts in trees)
    assert content(before) == content(after)
    merged = next(t for t in after if "merged-" in str(t))
    assert all(p.is_dir() or p.is_symlink() or p.stat().st_nlink > 1 for p in merged.rglob("*"))  # no bytes of its own
    assert not list(merged.rglob("wheel-10.py"))  # the larger ones stay what they are


def test_a_twin_stands_in_its_wheels_place_as_soon_as_it_is_there(store: Store) -> None:
    trees = made(store, "base-1", "wheel-a", "wheel-b", "gen-1")
    bytecode = ("pyc-base", "pyc-a", "pyc-b")

    def names() -> list[str]:
        return [root.parent.name for root in lowers(store, trees, bytecode)]

    assert names() == list(trees)
    made(store, "pyc-b")
    assert names() == ["base-1", "wheel-a", "pyc-b", "gen-1"]
    made(store, "pyc-base", "pyc-a")
    assert names() == ["base-1", "pyc-base", "pyc-a", "pyc-b", "gen-1"]
    assert [r.parent.name for r in lowers(store, trees, ())] == list(trees)


def test_the_bound_holds_with_base_and_generated_files(store: Store) -> None:
    trees = made(store, "base-1", "base-extra-1", *(f"wheel-{n}" for n in range(20)), "gen-1")
    found = [root.parent.name for root in lowers(store, trees, (), 10)]
    assert len(found) == 10 and found[:2] == ["base-1", "base-extra-1"] and found[-1] == "gen-1"
