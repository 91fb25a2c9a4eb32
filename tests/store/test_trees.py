from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from bareboat.errors import StoreError
from bareboat.host import files
from bareboat.store import Store
from bareboat.store.treewriter import TreeWriter


def fill(writer: TreeWriter) -> None:
    writer.file("a/b", 0o644, [b"content"])
    writer.symlink("a/l", "b")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def reboot(monkeypatch: pytest.MonkeyPatch, boot: str = "another") -> None:
    monkeypatch.setattr(files, "boot_id", lambda: boot)


def test_a_tree_is_made_once_and_found(store: Store) -> None:
    assert store.tree("k") is None
    root = store.make_tree("k", fill)
    assert (root / "a/b").read_bytes() == b"content" and store.tree("k") == root

    def never(writer: TreeWriter) -> None:
        raise AssertionError

    assert store.make_tree("k", never) == root
    assert os.listdir(store.home / "tmp") == []


def test_a_maker_that_fails_leaves_nothing(store: Store) -> None:
    def broken(writer: TreeWriter) -> None:
        writer.directory("shut", 0o500)
        writer.file("shut/a", 0o644, [b"x"])
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        store.make_tree("k", broken)
    assert store.tree("k") is None and os.listdir(store.home / "tmp") == []


@pytest.mark.parametrize("key", ["", ".x", "a/b", "..", "A", "a" * 201, "a\n", "é"])
def test_a_key_never_becomes_another_path(store: Store, key: str) -> None:
    with pytest.raises(StoreError) as error:
        store.tree(key)
    assert error.value.code == "store.bad-key"


def test_two_makers_of_one_key_make_it_once(store: Store) -> None:
    made: list[int] = []

    def slow(writer: TreeWriter) -> None:
        made.append(1)
        time.sleep(0.05)
        fill(writer)

    def make() -> None:
        Store.open(store.home).make_tree("k", slow)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1] and store.tree("k") is not None


def test_a_tree_may_be_made_of_others(store: Store) -> None:
    def outer(writer: TreeWriter) -> None:
        inner = store.make_tree("inner", fill)
        writer.link_file(inner / "a/b", "linked")

    root = store.make_tree("outer", outer)
    assert (root / "linked").stat().st_nlink == 2


def test_before_it_is_synced_a_tree_counts_until_the_next_boot(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make_tree("k", fill)
    assert store.unsettled() == ["k"]
    reboot(monkeypatch)
    again = Store.open(store.home)
    assert again.tree("k") is None
    (store.home / "trees/k/root/a/b").write_bytes(b"torn")  # what a crash may leave
    root = again.make_tree("k", fill)
    assert (root / "a/b").read_bytes() == b"content" and again.tree("k") == root


def test_once_synced_a_tree_outlives_the_boot(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.make_tree("k", fill)
    assert store.settle() == 1 and store.settle() == 0 and store.unsettled() == []
    reboot(monkeypatch)
    assert Store.open(store.home).tree("k") is not None


def test_a_sync_of_today_says_nothing_about_a_tree_of_yesterday(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make_tree("k", fill)
    reboot(monkeypatch)
    again = Store.open(store.home)
    again.settle()
    assert again.tree("k") is None


def test_a_failed_sync_takes_the_trees_out_of_sight(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.make_tree("old", fill)
    store.settle()
    store.make_tree("k", fill)

    def fail(path: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "syncfs", fail)
    with pytest.raises(StoreError) as error:
        store.settle()
    assert error.value.code == "store.io"
    assert store.tree("k") is None and store.tree("old") is not None


@pytest.mark.parametrize("local", [True, False])
def test_where_nothing_unsynced_can_be_trusted_it_is_synced_first(
    store: Store, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    synced: list[object] = []
    monkeypatch.setattr(files, "syncfs", synced.append)
    if local:
        reboot(monkeypatch, "")  # a kernel that does not say
    else:
        monkeypatch.setattr(files, "filesystem", lambda home: files.FileSystem("nfs4", False))
    store.make_tree("k", fill)
    assert len(synced) == 1 and store.unsettled() == []
    reboot(monkeypatch)
    assert Store.open(store.home).tree("k") is not None


def test_a_copied_store_works(store: Store, tmp_path: Path) -> None:
    import shutil

    store.make_tree("k", fill)
    store.settle()
    digest = store.put_blob([b"x"])
    store.put_json("notes", "a/b:c", [1])
    shutil.copytree(store.home, tmp_path / "copy", symlinks=True)
    copy = Store.open(tmp_path / "copy")
    root = copy.tree("k")
    assert root is not None and str(root).startswith(str(tmp_path / "copy"))
    assert copy.verified_blob(digest) is not None and copy.get_json("notes", "a/b:c") == [1]


def test_many_at_once_in_their_order(store: Store) -> None:
    root = store.make_tree("k", fill)
    store.close()
    assert store.trees(["missing", "k"]) == [None, root]
    assert len(list((store.home / "leases").iterdir())) == 1
