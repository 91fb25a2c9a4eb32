from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace

import pytest

from bareboat.errors import RecordError, StoreError
from bareboat.store import Store, codepack, packs
from bareboat.store.codetree import content, listing, materialise, repack
from bareboat.store.codewalk import CodeRules
from bareboat.store.snapshots import keep, snapshot, take

RULES = CodeRules()


@pytest.fixture
def store(tmp_path):
    with_home = Store.open(tmp_path / "home")
    yield with_home
    with_home.close()


@pytest.fixture
def code(tmp_path):
    root = tmp_path / "project"
    (root / "src/deep").mkdir(parents=True)
    (root / "src/run.py").write_text("print(1)\n")
    (root / "src/deep/tool.sh").write_text("#!/bin/sh\n")
    (root / "src/deep/tool.sh").chmod(0o750)
    (root / "src/link").symlink_to("deep/tool.sh")
    (root / "src/empty").mkdir()
    (root / "src/none.py").write_text("")
    return root


def later():
    """A clock far enough ahead that no file looks young."""
    return time.time() + 10


def test_what_is_kept_comes_back(store, code):
    taken = snapshot(store, code, RULES)
    tree = materialise(store, taken.snapshot)
    assert (tree / "src/run.py").read_text() == "print(1)\n"
    assert (tree / "src/deep/tool.sh").stat().st_mode & 0o777 == 0o755
    assert os.readlink(tree / "src/link") == "deep/tool.sh"
    assert (tree / "src/empty").is_dir() and (tree / "src/none.py").read_bytes() == b""
    assert (taken.snapshot.files, taken.snapshot.bytes) == (3, 19)
    assert materialise(store, taken.snapshot) == tree


def test_places_for_mounts_are_in_a_tree_of_their_own(store, code):
    taken = snapshot(store, code, RULES).snapshot
    there = (("src/deep", True), ("src/empty", True), ("src/run.py", False))
    assert materialise(store, taken, there) == materialise(store, taken)
    points = (("results", True), ("src/new/x.json", False), *there,
              ("src/run.py/below", True), ("src/link/below", True), ("../out", True), ("/abs", True), ("a//b", True))
    tree = materialise(store, taken, points)
    assert tree != materialise(store, taken) and tree == materialise(store, taken, points)
    assert (tree / "results").is_dir() and (tree / "src/new/x.json").read_bytes() == b""
    assert (tree / "src/run.py").read_text() == "print(1)\n"
    assert sorted(os.listdir(tree)) == ["results", "src"] and not os.path.lexists(tree.parent / "out")
    assert not (materialise(store, taken) / "results").exists()


def test_the_digest_is_of_paths_modes_and_contents_alone(store, code, tmp_path):
    first = snapshot(store, code, RULES).snapshot
    copy = tmp_path / "copy"
    shutil.copytree(code, copy, symlinks=True)
    for path in copy.rglob("*.py"):
        os.utime(path, (1, 1))
    assert snapshot(Store.open(tmp_path / "other"), copy, RULES).snapshot.digest == first.digest
    (copy / "src/run.py").chmod(0o755)
    assert snapshot(store, copy, RULES).snapshot.digest != first.digest


def test_an_unchanged_folder_is_only_walked(store, code, monkeypatch):
    first = take(store, code, RULES, later())
    keep(store, first)
    monkeypatch.setattr(codepack, "pack_code", lambda *a: pytest.fail("read again"))
    again = take(store, code, RULES, later())
    assert again.snapshot == first.snapshot and again.packed is None
    keep(store, again)


def test_young_files_are_read_again_but_not_kept_twice(store, code):
    first = snapshot(store, code, RULES)
    assert first.packed.racy
    again = snapshot(store, code, RULES)
    assert again.snapshot == first.snapshot and again.packed.pack.size == 0


def test_an_edit_that_keeps_size_and_time_is_seen(store, code):
    path = code / "src/run.py"
    first = take(store, code, RULES, later())
    keep(store, first)
    status = path.stat()
    path.write_text("print(2)\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # ctime tells
    assert take(store, code, RULES, later()).snapshot.digest != first.snapshot.digest


def test_only_what_changed_is_stored(store, code):
    keep(store, take(store, code, RULES, later()))
    (code / "src/run.py").write_text("print('changed')\n")
    second = take(store, code, RULES, later())
    assert second.packed.pack.size == 17 and len(second.snapshot.packs) == 2
    keep(store, second)
    (code / "src/copy.py").write_text("print('changed')\n")  # the same content elsewhere
    third = take(store, code, RULES, later())
    assert third.packed.pack.size == 0
    keep(store, third)
    assert (materialise(store, third.snapshot) / "src/copy.py").read_text() == "print('changed')\n"


def test_contents_that_gc_took_are_stored_again(store, code):
    first = take(store, code, RULES, later())
    keep(store, first)
    store.remove_blob(first.snapshot.packs[0])
    again = take(store, code, RULES, later())
    keep(store, again)
    assert (materialise(store, again.snapshot) / "src/run.py").read_text() == "print(1)\n"


def test_many_packs_become_one(store, code, monkeypatch):
    monkeypatch.setattr(codepack, "MANY_PACKS", 2)
    for n in range(4):
        (code / f"src/f{n}.py").write_text(f"{n}\n")
        taken = take(store, code, RULES, later())
        keep(store, taken)
    assert len(taken.snapshot.packs) <= 3
    assert len(listing(store, taken.snapshot)) == 3 + 4 + 2


def test_large_contents_leave_memory(store, code, monkeypatch):
    (code / "src/a.bin").write_bytes(b"a" * 5000)
    (code / "src/b.bin").write_bytes(b"b" * 5000)
    monkeypatch.setattr(packs.Pack.__init__, "__defaults__", (1000,))
    taken = snapshot(store, code, RULES)
    tree = materialise(store, taken.snapshot)
    assert (tree / "src/a.bin").read_bytes() == b"a" * 5000
    assert (tree / "src/b.bin").read_bytes() == b"b" * 5000
    assert (tree / "src/run.py").read_text() == "print(1)\n"


def test_beyond_the_bound_only_the_digest_is_kept(store, code, monkeypatch):
    monkeypatch.setattr(codepack, "BOUND", 1000)
    (code / "src/model.bin").write_bytes(b"m" * 5000)
    taken = snapshot(store, code, RULES)
    assert taken.snapshot.left_out == ("src/model.bin",)
    with pytest.raises(RecordError) as error:
        materialise(store, taken.snapshot)
    assert (error.value.code, error.value.where) == ("record.code-gone", "src/model.bin")


def test_a_huge_file_is_warned_of(store, code, monkeypatch):
    monkeypatch.setattr(codepack, "HUGE", 100)
    (code / "src/big.bin").write_bytes(b"m" * 101)
    first = take(store, code, RULES, later())
    keep(store, first)
    assert "src/big.bin" in first.warnings[0]
    assert take(store, code, RULES, later()).warnings == first.warnings


def test_odd_names_and_odd_files(store, code):
    os.mkfifo(code / "src/fifo")
    name = os.fsdecode(b"src/\xff caf\xc3\xa9\n.py")
    (code / name).write_text("odd")
    taken = snapshot(store, code, RULES)
    assert (materialise(store, taken.snapshot) / name).read_text() == "odd"
    assert not (materialise(store, taken.snapshot) / "src/fifo").exists()


def test_what_vanishes_or_cannot_be_read(store, code, monkeypatch):
    (code / "src/gone.py").write_text("x")
    (code / "src/shut.py").write_text("x")
    real = os.open

    def opening(path, *more, **kwargs):
        if str(path).endswith("gone.py"):
            raise FileNotFoundError(path)
        if str(path).endswith("shut.py"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *more, **kwargs)

    monkeypatch.setattr(codepack.os, "open", opening)
    taken = take(store, code, RULES)
    monkeypatch.undo()
    assert taken.snapshot.files == 3 and taken.snapshot.left_out == ("src/shut.py",)
    assert "shut.py" in taken.warnings[0]


def test_damage_is_found(store, code):
    taken = snapshot(store, code, RULES)
    [entry] = [e for e in listing(store, taken.snapshot) if e.path == "src/run.py"]
    assert content(store, entry) == b"print(1)\n"
    for broken, code_ in (
        (replace(entry, offset=entry.offset + 1), "record.code-damaged"),
        (replace(entry, size=entry.size - 1), "record.code-damaged"),
        (replace(entry, pack="f" * 64), "record.code-gone"),
    ):
        with pytest.raises(RecordError) as error:
            content(store, broken)
        assert error.value.code == code_
    with pytest.raises(RecordError) as error:
        listing(store, replace(taken.snapshot, digest="sha256:" + "0" * 64))
    assert error.value.code == "record.code-damaged"
    with pytest.raises(RecordError) as error:
        listing(store, replace(taken.snapshot, index="0" * 64))
    assert error.value.code == "record.code-gone"
    not_json = store.put_blob([b"{"])
    with pytest.raises(RecordError):
        listing(store, replace(taken.snapshot, index=not_json))


def test_a_manifest_cannot_leave_the_tree(store, tmp_path):
    from bareboat.errors import ArchiveError
    from bareboat.record.values import CodeSnapshot
    from bareboat.store.codepack import FORMAT, Entry, _json, canonical_digest

    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for path in ("../escape", "/tmp/escape", "a/../../escape"):
        entry = Entry("f", path, 0o644, empty)
        index = _json({"format": FORMAT, "packs": [], "entries": [["f", path, 0o644, empty, 0, -1, 0]]})
        code = CodeSnapshot(canonical_digest([entry]), store.put_blob([index]))
        with pytest.raises((ArchiveError, RecordError)):
            materialise(store, code)


def test_a_folder_that_cannot_be_read_is_an_error(store, tmp_path):
    with pytest.raises(RecordError) as error:
        take(store, tmp_path / "nowhere", RULES)
    assert error.value.code == "record.code"


def test_a_full_disk_leaves_no_snapshot(store, code, monkeypatch):
    taken = take(store, code, RULES, later())

    def full(*a, **k):
        raise StoreError("store.full", "no space left")

    monkeypatch.setattr(store, "put_blob", full)
    with pytest.raises(StoreError):
        keep(store, taken)
    monkeypatch.undo()
    assert store.blob(taken.snapshot.index) is None
    keep(store, take(store, code, RULES, later()))
    assert store.blob(taken.snapshot.index)


def test_repacked_code_is_the_same_and_holds_nothing_else(store, tmp_path):
    """Packs grow from run to run; who is given one run's code gets no other's."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "secret.py").write_text("PASSWORD = 'geheim'")
    (root / "run.py").write_text("print(1)")
    (root / "twin.py").write_text("print(1)")
    (root / "empty.py").write_text("")
    (root / "link").symlink_to("run.py")
    snapshot(store, root, RULES)
    (root / "secret.py").unlink()
    later = snapshot(store, root, RULES).snapshot
    assert any(b"geheim" in store.blob(p).read_bytes() for p in later.packs)  # the control: the packs as they are
    alone = repack(store, later)
    assert alone.digest == later.digest and repack(store, later) == alone and repack(store, alone) == alone
    assert store.blob(alone.packs[0]).read_bytes() == b"print(1)"
    tree = materialise(store, alone)
    assert (tree / "twin.py").read_text() == "print(1)" and os.readlink(tree / "link") == "run.py"
