from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from bareboat.engine.memory import MemoryEngine
from bareboat.host import files
from bareboat.host.files import FileSystem
from bareboat.settings import Settings
from bareboat.store import Store, copies
from bareboat.store.treewriter import TreeWriter
from bareboat.verbs.collaborators import Work
from bareboat.verbs.nearby import brought
from bareboat.workload import Rootfs, Workload


class Said:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    detail = say

    def progress(self, what: str, done: int, total: int) -> None:
        """Nothing."""


class Node:
    """A node with a disk of its own, and a store that it shares with others."""

    def __init__(self, base: Path) -> None:
        self.disk, self.said = base / "disk", Said()
        self.disk.mkdir()
        self.disk.chmod(0o1777)
        self.store = Store.open(base / "home")
        trees = []
        for key in ("base", "wheel-a", "wheel-b"):
            def fill(writer: TreeWriter, key: str = key) -> None:
                writer.file(f"usr/{key}", 0o644, [key.encode() * 1000])

            trees.append(self.store.make_tree(key, fill))
        self.load = Workload(Rootfs(tuple(trees)), ("true",), (), "/")

    def work(self, size: int | None = None, disk: Path | None = None) -> Work:
        settings = Settings(home=self.store.home, cluster_cache=disk or self.disk, cluster_cache_size=size)
        return Work(self.store, MemoryEngine({}), settings, self.said)

    @property
    def place(self) -> Path:
        return self.disk / f"bareboat-{os.geteuid()}"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_the_image_is_copied_once_and_then_there(node: Node) -> None:
    with brought(node.load, node.work()) as load:
        assert [tree.parent.name for tree in load.root.trees] == ["base", "wheel-a", "wheel-b"]
        assert all(tree.is_relative_to(node.place) and tree.is_dir() for tree in load.root.trees)
    assert len(node.said.lines) == 1 and node.said.lines[0].startswith("copied 3 layers of the image (")
    first = [tree.stat().st_ino for tree in load.root.trees]
    assert Store.open(node.place).unsettled() == []  # it survives the node's next start
    with brought(node.load, node.work()) as load:
        assert [tree.stat().st_ino for tree in load.root.trees] == first
    assert len(node.said.lines) == 1


def test_without_a_place_nothing_changes(node: Node) -> None:
    work = Work(node.store, MemoryEngine({}), Settings(home=node.store.home), node.said)
    with brought(node.load, work) as load:
        assert load is node.load
    assert node.said.lines == [] and not node.place.exists()


def test_what_is_used_is_leased(node: Node) -> None:
    from bareboat.store.gc import Policy

    everything = Policy(older_than=0.0, grace=0.0)
    with brought(node.load, node.work()) as load:
        Store.open(node.place).gc(everything)
        assert all(tree.is_dir() for tree in load.root.trees)
    Store.open(node.place).gc(everything)
    assert not any(tree.is_dir() for tree in load.root.trees)


def test_several_at_once_copy_it_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    fill = copies._fill

    def counted(writer: TreeWriter, root: str, entries: object) -> None:
        made.append(root)
        fill(writer, root, entries)  # type: ignore[arg-type]

    monkeypatch.setattr(copies, "_fill", counted)
    found: list[tuple[Path, ...]] = []

    def job() -> None:
        with brought(node.load, node.work()) as load:
            found.append(load.root.trees)

    jobs = [threading.Thread(target=job) for _ in range(6)]
    for each in jobs:
        each.start()
    for each in jobs:
        each.join()
    assert len(made) == 3 and len(set(found)) == 1 and found[0][0].is_relative_to(node.place)


def test_a_full_disk_leaves_the_image_where_it_is(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = copies._fill

    def full(writer: TreeWriter, root: str, entries: object) -> None:
        if "wheel-a" in root:
            raise OSError(errno.ENOSPC, "No space left on device", root)
        fill(writer, root, entries)  # type: ignore[arg-type]

    monkeypatch.setattr(copies, "_fill", full)
    with brought(node.load, node.work()) as load:
        base, first, second = load.root.trees
        assert first == node.load.root.trees[1]
        assert base.is_relative_to(node.place) and second.is_relative_to(node.place)
    assert "1 layers of the image are read from the shared store" in node.said.lines[0]
    assert "the disk is full" in node.said.lines[0]


def test_an_image_larger_than_the_cache_is_read_where_it_is(node: Node) -> None:
    with brought(node.load, node.work(size=1000)) as load:
        assert load == node.load
    assert node.said.lines == ["the image is read from the shared store: it takes 45,056 bytes, and the cache may take "
                               "1,000"]


@pytest.mark.parametrize("how", ["link", "not there", "network", "another's store"])
def test_a_place_that_is_none_is_said_and_not_used(node: Node, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    disk = node.disk
    if how == "link":
        node.place.symlink_to(node.store.home)
    elif how == "not there":
        disk = node.disk / "nowhere"
    elif how == "network":
        monkeypatch.setattr(files, "filesystem", lambda path: FileSystem("nfs4", False))
    else:
        node.place.mkdir(0o700)
        (node.place / "thesis.tex").touch()
    with brought(node.load, node.work(disk=disk)) as load:
        assert load == node.load
    assert len(node.said.lines) == 1 and node.said.lines[0].startswith("cluster.cache is not used: ")
    assert node.store.check().damaged == ()


def test_a_damaged_layer_is_not_copied(node: Node) -> None:
    (node.load.root.trees[0] / "usr/base").write_text("rot")
    with brought(node.load, node.work()) as load:
        assert load.root.trees[0] == node.load.root.trees[0]
    assert "usr/base: a file of the image is not as it was written" in node.said.lines[0]
