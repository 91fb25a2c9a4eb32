from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.errors import StoreError
from bareboat.store import Store
from bareboat.store.paths import document_name


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def test_the_last_value_counts(store: Store) -> None:
    assert store.get_json("tags", "a") is None and store.keys("tags") == []
    store.put_json("tags", "a", {"x": 1})
    store.put_json("tags", "a", {"x": 2})
    store.put_json("tags", "registry.example/a/b:latest", None)
    assert store.get_json("tags", "a") == {"x": 2}
    assert store.keys("tags") == ["a", "registry.example/a/b:latest"]
    assert store.remove_json("tags", "a") and not store.remove_json("tags", "a")
    assert store.keys("tags") == ["registry.example/a/b:latest"]


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_each_key_has_a_file_name_of_its_own(one: str, other: str) -> None:
    names = document_name(one), document_name(other)
    assert all("/" not in n and "\0" not in n and n[0] != "." and len(n) <= 200 for n in names)
    assert (names[0] == names[1]) == (one == other)


def test_long_and_odd_keys(store: Store) -> None:
    for key in ["x" * 300, "..", ".", "/", "%", "%%", "a\nb", "é" * 100]:
        store.put_json("notes", key, key)
    for key in ["x" * 300, "..", ".", "/", "%", "%%", "a\nb", "é" * 100]:
        assert store.get_json("notes", key) == key
    assert set(store.keys("notes")) == {"x" * 300, "..", ".", "/", "%", "%%", "a\nb", "é" * 100}


@pytest.mark.parametrize("kind", ["tags", "plans"])
def test_every_flipped_bit_and_a_swap_are_noticed(store: Store, kind: str) -> None:
    store.put_json(kind, "a", {"x": [1, 2]})
    store.put_json(kind, "b", {"x": [1, 3]})
    path = store.home / "documents" / kind / "a"
    good = path.read_bytes()

    def noticed() -> bool:
        try:
            return store.get_json(kind, "a") is None
        except StoreError as error:
            return error.code == "store.damaged" and kind == "tags"

    for place in range(len(good)):
        if good[:place].count(b" ") == 3 and b"\n" not in good[:place]:
            continue  # the key's own spelling in the head serves listing only
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert noticed(), place
    for wrong in (b"", good[:-1], good + b" ", (path.parent / "b").read_bytes()):
        path.write_bytes(wrong)
        assert noticed(), wrong
    path.write_bytes(good)
    assert store.get_json(kind, "a") == {"x": [1, 2]}


def test_what_can_be_made_again_is_not_synced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store.put_json("cache", "k", 1)
    store.put_json("plans", "k", 1)
    assert synced == []
    store.put_json("tags", "k", 1)
    assert len(synced) == 3  # the new directory's name, the file, its name
