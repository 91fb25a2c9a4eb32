"""The checkpoint folder as programs leave it: half-written, full, gone, and pointing elsewhere."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from pathlib import Path

import pytest

from bareboat.errors import RecordError
from bareboat.store.checkpoints import found, prepared, progressed, prune, resume_from


def written(folder: Path, name: str, when: int, cut: int = 0) -> Path:
    """An npz of a step, of which the last bytes may be missing."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("w.npy", bytes(200))
    file = folder / name
    file.write_bytes(out.getvalue()[:len(out.getvalue()) - cut])
    os.utime(file, (when, when))
    return file


def directory(folder: Path, name: str, *files: str, content: str = "{}") -> Path:
    made = folder / name
    made.mkdir()
    for file in files:
        (made / file).write_text(content)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepared(tmp_path)


def test_the_newest_that_is_whole(folder: Path) -> None:
    written(folder, "step-1.npz", 100)
    written(folder, "step-2.npz", 200)
    written(folder, "step-3.npz", 300, cut=5)
    written(folder, "step-4.npz.tmp", 400)
    (folder / "step-5.npz").touch()
    assert resume_from(folder) == "step-2.npz"


def test_directories_count_with_their_marker(folder: Path) -> None:
    directory(folder, "checkpoint-100", "pytorch_model.bin", "trainer_state.json")
    directory(folder, "checkpoint-200", "pytorch_model.bin")
    assert resume_from(folder) == "checkpoint-100"
    directory(folder, "checkpoint-300", "pytorch_model.bin", "trainer_state.json", content="{\"cut\": ")
    assert resume_from(folder) == "checkpoint-100", "a marker that was cut off is none"
    directory(folder, "checkpoint-400", ".complete", content="")
    assert resume_from(folder) == "checkpoint-400", "one of one's own may be empty"
    directory(folder, "checkpoint-500", "trainer_state.json", content="")
    assert resume_from(folder) == "checkpoint-400"
    assert resume_from(folder, "trainer_state.json") == "checkpoint-100"


def test_a_directory_with_a_file_that_was_cut_off_does_not_count(folder: Path) -> None:
    """As after a crash of the machine: the marker was on the disk before the weights."""
    directory(folder, "checkpoint-1", "trainer_state.json", "config.json")
    made = directory(folder, "checkpoint-2", "trainer_state.json")
    written(made, "optimizer.pt", 1)
    assert resume_from(folder) == "checkpoint-2"
    written(made, "optimizer.pt", 1, cut=5)
    assert resume_from(folder) == "checkpoint-1"
    written(made, "optimizer.pt.tmp", 1, cut=5)
    (made / "optimizer.pt").unlink()
    assert resume_from(folder) == "checkpoint-2", "what is temporary is not looked into"
    (made / "model.safetensors").touch()
    assert resume_from(folder) == "checkpoint-1"
    (made / "model.safetensors").unlink()
    (made / "model.safetensors").symlink_to(folder / "nowhere")
    assert resume_from(folder) == "checkpoint-2", "nor is a link"


def test_all_parts_that_an_index_tells_of_must_be_there(folder: Path) -> None:
    made = directory(folder, "checkpoint-1", "trainer_state.json")
    index = made / "model.safetensors.index.json"
    parts = [f"model-{number:05}-of-00002.safetensors" for number in (1, 2)]
    index.write_text(json.dumps({"weight_map": dict(zip("ab", parts, strict=True))}))
    for part in parts:
        assert resume_from(folder) == ""
        (made / part).write_bytes(b"\2\0\0\0\0\0\0\0{}")
    assert resume_from(folder) == "checkpoint-1"
    for odd in ("[]", '{"weight_map": 3}', "", '{"weight_map": {"a": ["x"]}}'):
        index.write_text(odd)
        assert resume_from(folder) in ("checkpoint-1", ""), "and is no error"


def test_hugging_face_at_sigterm(folder: Path) -> None:
    """It saves over what may be there, and says with a file of its own that it is not done."""
    made = directory(folder, "checkpoint-1", "trainer_state.json", "checkpoint-is-incomplete.txt")
    assert resume_from(folder) == ""
    (made / "checkpoint-is-incomplete.txt").unlink()
    assert resume_from(folder) == "checkpoint-1"


def test_orbax_where_it_cannot_rename(folder: Path) -> None:
    made = directory(folder, "10", "_CHECKPOINT_METADATA", content='{"a": {}, "commit_timestamp_nsecs": null}')
    assert resume_from(folder) == ""
    (made / "commit_success.txt").write_text("done")
    assert resume_from(folder) == "10"
    directory(folder, "11", "_CHECKPOINT_METADATA", content='{"a": {}, "commit_timestamp_nsecs": 5}')
    assert resume_from(folder) == "11"
    directory(folder, "12", "_CHECKPOINT_METADATA", content='{"a": {}, "commit')
    assert resume_from(folder) == "11"


@pytest.mark.parametrize("text", ["global_step2\n", "global_step2"])
def test_deepspeed_says_which_is_whole_in_a_file_beside_it(folder: Path, text: str) -> None:
    for number in (1, 2, 3):
        directory(folder, f"global_step{number}", "mp_rank_00_model_states.pt", content="x")
    assert resume_from(folder) == ""
    (folder / "latest").write_text(text)
    assert resume_from(folder) == "global_step2"
    assert [entry.name for entry in found(folder) if entry.complete] == ["global_step2"]
    assert prune(folder, 1) == [] and resume_from(folder, "DONE") == "latest"


@pytest.mark.parametrize("text", ["", "..", ".", "nowhere", "a/b", "\0", "\ud800", "global_step1\nmore", "x" * 300])
def test_a_file_latest_that_names_no_directory_beside_it(folder: Path, text: str) -> None:
    directory(folder, "global_step1", "model.pt", content="x")
    (folder / "latest").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert resume_from(folder) in ("latest", "")  # a file like any other
    assert "global_step1" not in [entry.name for entry in found(folder) if entry.complete]


def test_a_link_latest_is_not_followed(folder: Path, tmp_path: Path) -> None:
    directory(folder, "global_step1", "model.pt", content="x")
    (tmp_path / "text").write_text("global_step1")
    (folder / "latest").symlink_to(tmp_path / "text")
    assert resume_from(folder) == ""


def test_a_marker_that_is_a_directory_or_a_link_is_none(folder: Path, tmp_path: Path) -> None:
    made = directory(folder, "checkpoint-1")
    (made / ".complete").mkdir()
    other = directory(folder, "checkpoint-2")
    (tmp_path / "elsewhere").write_text("x")
    (other / ".complete").symlink_to(tmp_path / "elsewhere")
    assert resume_from(folder) == ""


def test_links_pipes_and_what_cannot_be_read_are_left_alone(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    kept = written(outside, "step-9.npz", 900)
    (folder / "step-9.npz").symlink_to(kept)
    (folder / "step-8").symlink_to(outside)
    os.mkfifo(folder / "step-7.npz")
    assert found(folder) == [] and resume_from(folder) == ""
    assert prune(folder, 1) == [] and kept.exists()


def test_the_newest_are_kept_and_nothing_that_is_half_written_counts_for_them(folder: Path) -> None:
    for step in range(1, 6):
        written(folder, f"step-{step}.npz", step)
    written(folder, "step-6.npz", 6, cut=9)
    directory(folder, "step-0", ".complete", "model.bin")
    assert prune(folder, 2) == ["step-3.npz", "step-2.npz", "step-1.npz", "step-0"]
    assert sorted(os.listdir(folder)) == ["step-4.npz", "step-5.npz", "step-6.npz"]
    assert prune(folder, 1) == ["step-4.npz"] and prune(folder, 1) == []
    assert resume_from(folder) == "step-5.npz"


def test_none_are_removed_unless_it_was_asked_for(folder: Path) -> None:
    for step in range(3):
        written(folder, f"step-{step}.npz", step)
    assert prune(folder, 0) == [] and len(found(folder)) == 3


def test_what_a_directory_links_to_is_not_removed_with_it(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "precious").write_text("x")
    old = directory(folder, "step-1", ".complete", content="")
    (old / "data").symlink_to(data)
    directory(folder, "step-2", ".complete", content="")
    assert prune(folder, 1) == ["step-1"] and (data / "precious").read_text() == "x"


@pytest.mark.parametrize(("days", "seen"), [(0, True), (1, False), (-1, False)])
def test_what_was_made_before_the_clock_was_set_is_no_progress(tmp_path: Path, days: int, seen: bool) -> None:
    """days: how far the time of the only checkpoint is from now, after the clock jumped."""
    folder = prepared(tmp_path)
    written(folder, "step-1.npz", 1)
    now = time.time()
    os.utime(folder / "step-1.npz", (now + days * 86400, now + days * 86400))
    assert progressed(folder, "", now - 5) is seen


def test_a_folder_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    folder.rmdir()
    assert resume_from(folder) == "" and prune(folder, 1) == []
    assert prepared(tmp_path) == folder and folder.is_dir()


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_something_else_in_its_place_is_refused(tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    written(precious, "step-1.npz", 1)
    results = tmp_path / "results"
    results.mkdir()
    place = results / "checkpoints"
    if kind == "file":
        place.write_text("x")
    else:
        place.symlink_to(precious if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(RecordError) as caught:
        prepared(results)
    assert caught.value.code == "checkpoints.folder"
    assert resume_from(place) == "" and prune(place, 1) == []
    assert (precious / "step-1.npz").exists()
