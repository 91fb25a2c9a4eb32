from __future__ import annotations

import os
from pathlib import Path

import pytest

from bareboat.errors import StoreError
from bareboat.store import Store


def test_a_store_is_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Store.open(tmp_path / "a b" / "home")
    finally:
        os.umask(old)
    assert (tmp_path / "a b/home").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a b/home/format").read_text() == "1\n"


def test_making_it_is_idempotent_and_survives_a_half_made_one(tmp_path: Path) -> None:
    (tmp_path / "home/blobs").mkdir(parents=True)
    (tmp_path / "home/.format-x").write_text("")
    Store.open(tmp_path / "home")
    (tmp_path / "home/anything").touch()
    Store.open(tmp_path / "home")


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (lambda home: (home / "format").write_text("2\n"), "store.newer"),
        (lambda home: (home / "format").write_text("x"), "store.damaged"),
        (lambda home: home.chmod(0o770), "store.not-private"),
        (lambda home: ((home / "format").unlink(), (home / "thesis.tex").touch()), "store.not-a-store"),
    ],
)
def test_what_is_not_our_store_is_refused(tmp_path: Path, prepare: object, code: str) -> None:
    home = tmp_path / "home"
    Store.open(home)
    prepare(home)  # type: ignore[operator]
    with pytest.raises(StoreError) as error:
        Store.open(home)
    assert error.value.code == code and error.value.hint and str(home) in error.value.where


def test_another_users_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(tmp_path / "home")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(StoreError) as error:
        Store.open(tmp_path / "home")
    assert error.value.code == "store.foreign"


def test_a_copy_made_with_a_plain_umask_is_closed(tmp_path: Path) -> None:
    Store.open(tmp_path / "home")
    (tmp_path / "home").chmod(0o755)
    Store.open(tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as error:
        Store.open(tmp_path / "file" / "home")
    assert error.value.code == "store.not-a-directory"
