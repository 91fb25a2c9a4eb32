from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from bareboat.errors import StoreError
from bareboat.store import Store, copies
from bareboat.store.copies import copied, entries_of, own_place, room_for, size_of
from bareboat.store.treewriter import TreeWriter


def fill(writer: TreeWriter) -> None:
    writer.file("usr/lib/a.py", 0o644, [b"a = 1\n"], mtime=1_700_000_000)
    writer.file("usr/bin/tool", 0o755, [b"#!/bin/sh\n"])
    writer.hardlink("usr/bin/other", "usr/bin/tool")
    writer.symlink("lib", "usr/lib")
    writer.directory("tmp", 0o1777)
    writer.directory("shut", 0o700)
    writer.opaque("shut")
    writer.file("empty", 0o600, [])


@pytest.fixture
def far(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "far")


@pytest.fixture
def near(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "near")


def copy(tree: Path, into: Store) -> Path:
    return copied(tree, entries_of(tree), into)


def test_a_copy_is_the_same_tree(far: Store, near: Store) -> None:
    tree = far.make_tree("k", fill)
    found = copy(tree, near)
    assert found == near.tree("k") and found.is_relative_to(near.home)
    assert {path: entry[:3] for path, entry in entries_of(found).items()} == {
        path: entry[:3] for path, entry in entries_of(tree).items()}
    assert near.check().damaged == ()
    assert (found / "usr/lib/a.py").stat().st_mtime == 1_700_000_000  # what bytecode is compared with
    assert (found / "usr/bin/tool").stat().st_ino == (found / "usr/bin/other").stat().st_ino
    assert os.readlink(found / "lib") == "usr/lib"
    for name in ("tmp", "shut", "usr"):
        assert (found / name).stat().st_mtime == (tree / name).stat().st_mtime
    try:
        assert os.getxattr(found / "shut", "user.overlay.opaque") == os.getxattr(tree / "shut", "user.overlay.opaque")
    except OSError as error:
        pytest.skip(f"no such marks on this file system: {error}")


@pytest.mark.parametrize("how", ["bytes", "longer", "kind", "gone"])
def test_what_is_not_as_it_was_written_is_not_copied(far: Store, near: Store, how: str) -> None:
    tree = far.make_tree("k", fill)
    file = tree / "usr/lib/a.py"
    if how == "bytes":
        file.write_bytes(b"a = 2\n")
    elif how == "longer":
        file.write_bytes(b"a = 1\n\n")
    else:
        file.unlink()
        if how == "kind":
            file.symlink_to("elsewhere")
    with pytest.raises((StoreError, OSError)):
        copy(tree, near)
    assert near.tree("k") is None and os.listdir(near.home / "tmp") == []


def test_one_that_was_killed_in_the_middle_is_followed_by_the_next(far: Store, near: Store) -> None:
    tree = far.make_tree("k", fill)
    pid = os.fork()
    if not pid:
        def killed(source: str, entry: object) -> object:
            os.kill(os.getpid(), signal.SIGKILL)

        copies._compared = killed  # type: ignore[assignment]
        copy(tree, near.again())
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    assert near.tree("k") is None and len(os.listdir(near.home / "tmp")) == 1
    assert copy(tree, near) == near.tree("k")


# Whose place it is


def test_the_place_is_the_users_alone(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    folder.chmod(0o1777)
    place = own_place(folder)
    assert place == folder / f"bareboat-{os.geteuid()}" and place.stat().st_mode & 0o777 == 0o700
    assert own_place(folder) == place


@pytest.mark.parametrize("how", ["link", "file", "open", "group", "not sticky", "not there", "a file above"])
def test_a_place_in_which_others_could_have_a_hand_is_refused(tmp_path: Path, how: str) -> None:
    folder, aim = tmp_path / "scratch", tmp_path / "aim"
    folder.mkdir()
    folder.chmod(0o1777)
    aim.mkdir(mode=0o700)
    place = folder / f"bareboat-{os.geteuid()}"
    if how == "link":
        place.symlink_to(aim)
    elif how == "file":
        place.touch(0o600)
    elif how in ("open", "group"):
        place.mkdir()
        place.chmod(0o777 if how == "open" else 0o750)
    elif how == "not sticky":
        folder.chmod(0o777)
    elif how == "not there":
        folder.rmdir()
    else:
        folder = aim / "file"
        folder.touch()
    with pytest.raises(StoreError) as caught:
        own_place(folder)
    assert caught.value.code == "copies.place"
    assert not list(aim.glob("bareboat-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give things away")
@pytest.mark.parametrize("whose", ["the directory", "what it lies in"])
def test_what_belongs_to_another_is_refused(tmp_path: Path, whose: str) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    folder.chmod(0o1777)
    given = folder
    if whose == "the directory":
        given = folder / f"bareboat-{os.geteuid()}"
        given.mkdir(0o700)
    os.chown(given, 12345, 12345)
    with pytest.raises(StoreError, match=r"12345|not a directory of yours"):
        own_place(folder)


# How large it may become


def made(store: Store, key: str, size: int, used: float) -> None:
    tree = store.make_tree(key, lambda writer: writer.file("f", 0o644, [b"x" * size]))
    os.utime(tree.parent / "boot", (used, used))


def keys(store: Store) -> list[str]:
    return sorted(os.listdir(store.home / "trees"))


def test_what_was_not_used_for_longest_goes(near: Store) -> None:
    for number, key in enumerate(("b", "a", "c")):
        made(near, key, 100_000, 1_700_000_000 + number * 10_000)
    size = size_of(entries_of(near.home / "trees/a/root"))
    near.close()
    assert room_for(size, 4 * size, near) == "" and keys(near) == ["a", "b", "c"]
    assert room_for(size, 3 * size, near) == "" and keys(near) == ["a", "c"]
    assert room_for(2 * size, 3 * size, near) == "" and keys(near) == ["c"]


def test_what_is_in_use_stays_and_leaves_no_room(near: Store) -> None:
    made(near, "used", 100_000, 1_700_000_000)
    made(near, "old", 100_000, 1_600_000_000)
    near.close()
    other = near.again()
    assert other.tree("used") is not None
    size = size_of(entries_of(near.home / "trees/used/root"))
    assert "in use now" in room_for(size, size + 1, near) and keys(near) == ["used"]
    other.close()
    assert room_for(size, size + 1, near) == "" and keys(near) == []


def test_what_is_larger_than_all_of_it_moves_nothing(near: Store) -> None:
    made(near, "k", 100_000, 1_700_000_000)
    near.close()
    assert "the cache may take 1,000" in room_for(1001, 1000, near) and keys(near) == ["k"]
    assert "are free" in room_for(1 << 60, 1 << 61, near) and keys(near) == ["k"]
