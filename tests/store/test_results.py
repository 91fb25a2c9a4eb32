from __future__ import annotations

import hashlib
import os

import pytest

from bareboat.errors import RecordError
from bareboat.record.gathered import ResultFile
from bareboat.store import Store
from bareboat.store.results import ResultBounds, listing, read_kept, results


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "home")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "results"
    path.mkdir()
    (path / "old.csv").write_text("1")
    return path


def test_new_and_changed_files_are_found_and_kept(store, folder):
    before = listing(folder)
    (folder / "old.csv").write_text("2")
    (folder / "sub").mkdir()
    (folder / "sub/new.txt").write_text("new")
    (folder / "untouched").mkdir()
    found = results(store, folder, before)
    assert [(f.path, f.size, f.kept) for f in found.files] == [("old.csv", 1, True), ("sub/new.txt", 3, True)]
    assert found.files[1].sha256 == hashlib.sha256(b"new").hexdigest()
    assert [read_kept(store, found, f) for f in found.files] == [b"2", b"new"]
    assert results(store, folder, listing(folder)).files == ()


def test_a_folder_that_is_not_there_is_empty(store, tmp_path):
    assert listing(tmp_path / "none") == {}
    assert results(store, tmp_path / "none", {}).files == ()


def test_links_are_not_followed(store, folder, tmp_path):
    (tmp_path / "secret").write_text("secret")
    before = listing(folder)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "dir").symlink_to(tmp_path)
    os.mkfifo(folder / "fifo")
    found = results(store, folder, before)
    assert [(f.path, f.link) for f in found.files] == [
        ("dir", str(tmp_path)),
        ("link", str(tmp_path / "secret")),
    ]
    assert found.pack == "" and not any(f.kept for f in found.files)


def test_a_file_swapped_for_a_link_is_not_read(store, folder, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("secret")
    (folder / "a").write_text("a")
    from bareboat.store import results as module

    real = module.walk

    def walked(root, path):
        found = list(real(root, path))
        (folder / "a").unlink()
        (folder / "a").symlink_to(tmp_path / "secret")
        return found

    monkeypatch.setattr(module, "walk", walked)
    [file] = [f for f in results(store, folder, {}).files if f.path == "a"]
    assert (file.sha256, file.kept) == ("", False)


def test_bounds(store, folder):
    for n in range(6):
        (folder / f"f{n}").write_bytes(bytes([n]) * 10)
    (folder / "large").write_bytes(b"l" * 100)
    found = results(store, folder, {}, ResultBounds(each=50, all=25, count=7, hashed=1 << 30))
    assert [f.kept for f in found.files] == [True, True, False, False, False, False, False]
    assert found.more == 1 and all(f.sha256 for f in found.files)
    small = results(store, folder, {}, ResultBounds(hashed=50))
    assert next(f for f in small.files if f.path == "large").sha256 == ""
    assert results(None, folder, {}).pack == ""


def test_damage_and_absence(store, folder):
    (folder / "a").write_bytes(b"abc")
    found = results(store, folder, {})
    with pytest.raises(RecordError) as error:
        read_kept(store, found, ResultFile("a", 2, "0" * 64, True, offset=0))
    assert error.value.code == "record.result-damaged"
    assert read_kept(store, found, ResultFile("a", 2, "0" * 64, False)) is None
    store.remove_blob(found.pack)
    assert read_kept(store, found, found.files[0]) is None
