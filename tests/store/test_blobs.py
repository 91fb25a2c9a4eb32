from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from bareboat.errors import ArchiveError, StoreError
from bareboat.store import Store
from bareboat.store.gc import DAY, Policy

HELLO = hashlib.sha256(b"hello").hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def test_a_blob_is_there_after_put_and_not_before(store: Store) -> None:
    assert store.blob(HELLO) is None
    assert store.put_blob([b"hel", b"lo"], sha256=HELLO, size=5) == HELLO
    path = store.blob(HELLO)
    assert path is not None and path.read_bytes() == b"hello"
    assert os.listdir(store.home / "tmp") == []


def test_put_again_does_not_read_its_source(store: Store) -> None:
    store.put_blob([b"hello"])

    def never() -> object:
        raise AssertionError
        yield b""

    assert store.put_blob(never(), sha256=HELLO) == HELLO  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chunks", "size", "code"),
    [([b"hellO"], None, "blob.digest"), ([b"hell"], 5, "blob.size"), ([b"hello!"], 5, "blob.size")],
)
def test_wrong_bytes_leave_nothing(store: Store, chunks: list[bytes], size: int | None, code: str) -> None:
    with pytest.raises(ArchiveError) as error:
        store.put_blob(chunks, sha256=HELLO, size=size, where="https://index.example/x.whl")
    assert error.value.code == code and error.value.where == "https://index.example/x.whl"
    assert store.blob(HELLO) is None
    assert os.listdir(store.home / "tmp") == [] == os.listdir(store.home / "blobs" / "sha256")


def test_a_source_that_fails_leaves_nothing(store: Store) -> None:
    def broken() -> object:
        yield b"hel"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        store.put_blob(broken(), sha256=HELLO)  # type: ignore[arg-type]
    assert os.listdir(store.home / "tmp") == []


@pytest.mark.parametrize("bad", ["", "abc", HELLO.upper(), "../" + HELLO[3:], HELLO + "\n", "/" * 64])
def test_a_digest_never_becomes_another_path(store: Store, bad: str) -> None:
    with pytest.raises(StoreError) as error:
        store.blob(bad)
    assert error.value.code == "store.bad-digest"


def test_put_file_copies_from_elsewhere_and_takes_from_its_own_tmp(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "a file"
    outside.write_bytes(b"hello")
    assert store.put_file(outside) == HELLO and outside.exists()
    inside = store.home / "tmp" / "partial-x"
    inside.write_bytes(b"other")
    digest = store.put_file(inside, size=5)
    assert not inside.exists()
    path = store.blob(digest)
    assert path is not None and path.read_bytes() == b"other" and path.stat().st_mode & 0o777 == 0o444


def test_put_file_refused_stays_where_it_was(store: Store) -> None:
    inside = store.home / "tmp" / "partial-x"
    inside.write_bytes(b"other")
    with pytest.raises(ArchiveError) as error:
        store.put_file(inside, sha256=HELLO)
    assert error.value.code == "blob.digest" and inside.exists()


def test_a_fifo_is_no_file(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StoreError) as error:
        store.put_file(tmp_path / "fifo")
    assert error.value.code == "store.not-a-file"


def test_what_cannot_fit_is_refused_before_the_first_byte(store: Store) -> None:
    with pytest.raises(StoreError) as error:
        store.put_blob(iter([b"x"]), size=1 << 60, where="x")
    assert error.value.code == "store.full" and "1,152,921,504,606,846,976 bytes" in error.value.what
    assert "gc" in error.value.hint and "BAREBOAT_HOME" in error.value.hint


def test_a_rotten_blob_is_noticed_removed_and_can_be_put_again(store: Store) -> None:
    store.put_blob([b"hello"])
    path = store.verified_blob(HELLO)
    assert path is not None
    path.chmod(0o600)
    path.write_bytes(b"hellp")
    assert store.blob(HELLO) is not None
    assert store.verified_blob(HELLO) is None and store.blob(HELLO) is None
    store.put_blob([b"hello"], sha256=HELLO)
    assert store.verified_blob(HELLO) is not None


def test_an_acknowledged_blob_was_synced_file_then_name(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd: int) -> None:
        calls.append("fsync " + ("directory" if os.path.isdir(f"/proc/self/fd/{fd}") else "file"))
        real_fsync(fd)

    def rename(source: str, target: str) -> None:
        calls.append("rename")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    store.put_blob([b"hello"])
    assert calls == ["fsync file", "rename", "fsync directory"]
    calls.clear()
    store.put_blob([b"hello"], sha256=HELLO)
    assert calls == ["fsync directory"]  # another process may have renamed it and not synced yet


def fresh(store: Store) -> Path:
    (store.home / "tmp/partial-x").write_bytes(b"hello")
    store.adopt_fresh(store.home / "tmp/partial-x", HELLO)
    path = store.blob(HELLO)
    assert path is not None and path.read_bytes() == b"hello" and os.listdir(store.home / "tmp") == []
    return path


def test_a_fresh_blob_is_used_at_once_and_durable_when_settled(store: Store) -> None:
    early = fresh(store)
    assert store.unsettled() == [HELLO] and os.listdir(store.home / "blobs/sha256") == []
    assert store.settle() == 1 and store.settle() == 0 and store.unsettled() == []
    assert os.listdir(store.home / "blobs/sha256") == [HELLO]
    assert early.read_bytes() == b"hello"  # who was about to open it still can
    assert store.verified_blob(HELLO) == store.home / "blobs/sha256" / HELLO


@pytest.mark.parametrize("settled", [False, True])
def test_after_a_crash_a_fresh_blob_counts_as_absent(
    store: Store, settled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh(store)
    if settled:
        store.settle()
    monkeypatch.setattr("bareboat.host.files.boot_id", lambda: "another")
    after = Store.open(store.home)
    assert (after.blob(HELLO) is not None) is settled
    after.settle()
    assert os.listdir(store.home / "blobs/fresh") == []
    assert (after.blob(HELLO) is not None) is settled


def test_what_is_acknowledged_is_durable_though_it_was_fresh(store: Store) -> None:
    fresh(store)
    assert store.put_blob([b"hello"], sha256=HELLO) == HELLO
    assert os.listdir(store.home / "blobs/sha256") == [HELLO]


def test_a_sync_that_fails_takes_fresh_blobs_out_of_sight(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(store)

    def broken(_: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("bareboat.host.files.syncfs", broken)
    with pytest.raises(StoreError):
        store.settle()
    assert store.blob(HELLO) is None


def test_gc_and_remove_take_both_names(store: Store) -> None:
    fresh(store)
    store.settle()
    store.close()
    store.gc(Policy(now=time.time() + 100 * DAY))
    assert os.listdir(store.home / "blobs/sha256") == [] == os.listdir(store.home / "blobs/fresh")
    fresh(store)
    store.remove_blob(HELLO)
    assert store.blob(HELLO) is None


def test_without_a_boot_id_what_is_fresh_is_synced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bareboat.host.files.boot_id", lambda: "")
    assert fresh(store) == store.home / "blobs/sha256" / HELLO and store.unsettled() == []
