"""The checkpoint folder as a program may leave it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bareboat.errors import RecordError
from bareboat.store import checkpoints


def test_half_written_ones_are_not_resumed_from(tmp_path: Path) -> None:
    folder = checkpoints.prepared(tmp_path)
    assert folder == tmp_path / "checkpoints" and checkpoints.resume_from(folder) == ""
    (folder / "step-1.txt").write_text("1")
    (folder / "step-2.txt").write_text("")  # opened, and then the disk was full
    (folder / "step-3.txt.tmp").write_text("3")
    (folder / "checkpoint-4").mkdir()
    (folder / "checkpoint-4" / "model.safetensors").write_bytes(b"x")
    assert checkpoints.resume_from(folder) == "step-1.txt"
    (folder / "checkpoint-4" / "trainer_state.json").write_text("{}")
    assert checkpoints.resume_from(folder) == "checkpoint-4"


def test_links_are_neither_resumed_from_nor_followed(tmp_path: Path) -> None:
    folder = checkpoints.prepared(tmp_path / "results") if (tmp_path / "results").mkdir() is None else tmp_path
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "trainer_state.json").write_text("{}")
    (folder / "step-9").symlink_to(outside)
    (folder / "step-8.txt").symlink_to(outside / "trainer_state.json")
    (folder / "step-1.txt").write_text("1")
    assert checkpoints.resume_from(folder) == "step-1.txt"
    assert checkpoints.prune(folder, 1) == [] and outside.exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_took_the_folders_place_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    results = tmp_path / "results"
    results.mkdir()
    if kind == "file":
        (results / "checkpoints").write_text("mine")
    else:
        (results / "checkpoints").symlink_to(outside)
    with pytest.raises(RecordError) as told:
        checkpoints.prepared(results)
    assert told.value.code == "checkpoints.folder" and os.fspath(results) in told.value.where
    assert checkpoints.found(results / "checkpoints") == []
    assert list(outside.iterdir()) == []


def test_a_folder_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    folder = checkpoints.prepared(tmp_path)
    shutil.rmtree(folder)
    assert checkpoints.found(folder) == [] and checkpoints.prune(folder, 2) == []
    assert checkpoints.prepared(tmp_path).is_dir()


def test_as_many_are_kept_as_was_said_and_unfinished_ones_are_left(tmp_path: Path) -> None:
    folder = checkpoints.prepared(tmp_path)
    for step in range(5):
        (folder / f"step-{step}.txt").write_text("x")
        made = folder / f"checkpoint-{step + 10}"
        made.mkdir()
        (made / ".complete").touch()
    (folder / "step-99.txt.tmp").write_text("x")
    (folder / "notes").mkdir()
    gone = checkpoints.prune(folder, 2)
    assert len(gone) == 8
    assert sorted(os.listdir(folder)) == ["checkpoint-13", "checkpoint-14", "notes", "step-99.txt.tmp"]
    assert checkpoints.prune(folder, 0) == []


def test_one_that_cannot_be_read_is_no_checkpoint(tmp_path: Path) -> None:
    folder = checkpoints.prepared(tmp_path)
    os.mkfifo(folder / "step-7.txt")  # nobody writes to it: who opened it would wait
    (folder / "step-1.txt").write_text("1")
    assert checkpoints.resume_from(folder) == "step-1.txt"
