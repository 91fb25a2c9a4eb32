"""What was written last into a results folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bareboat.store import newest as rooms
from bareboat.store.newest import Written, newest


def test_the_newest_first(tmp_path: Path) -> None:
    for number in range(8):
        path = tmp_path / f"a{number % 2}/{number}.pt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(number))
        os.utime(path, (number, number))
    assert newest(tmp_path)[0] == Written(7.0, "a1/7.pt", 7)
    assert [file.size for file in newest(tmp_path)] == [7, 6, 5, 4, 3]


def test_what_is_no_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    assert newest(tmp_path) == newest(tmp_path / "none") == ()


def test_it_looks_at_so_many_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "LOOKED_AT", 3)
    for number in range(9):
        (tmp_path / str(number)).touch()
    assert len(newest(tmp_path)) == 3
