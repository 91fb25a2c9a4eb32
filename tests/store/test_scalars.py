"""The metrics of a run, from its results folder."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.store import scalars


def test_tables_of_the_folder_and_below(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "metrics.csv").write_text("loss\n1\n")
    (tmp_path / "a/b/deep.jsonl").write_text('{"f1": 0.5}\n')
    (tmp_path / "a/b/c/deeper.csv").write_text("deeper\n1\n")
    (tmp_path / "checkpoints/x.csv").write_text("state\n1\n")
    (tmp_path / "notes.txt").write_text("x\n1\n")
    assert scalars.metrics_of(tmp_path) == {"loss": [1.0], "f1": [0.5]}
    assert scalars.metrics_of(tmp_path / "none") == {}


def test_the_newer_table_has_the_word(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("loss\n1\n")
    (tmp_path / "b.csv").write_text("loss\n2\n")
    os.utime(tmp_path / "b.csv", (1, 1))
    assert scalars.metrics_of(tmp_path) == {"loss": [1.0]}


def test_nothing_is_followed_waited_for_or_read_beyond_the_bound(tmp_path: Path, monkeypatch) -> None:  # type: ignore
    (tmp_path / "secret").write_text("loss\n1\n")
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "link.csv").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.csv")
    (folder / "bad.csv").write_bytes(b"loss\n\xff\n")
    monkeypatch.setattr(scalars, "BYTES", 100)
    (folder / "large.csv").write_text("large\n" + "1\n" * 100)
    assert scalars.metrics_of(folder) == {}
