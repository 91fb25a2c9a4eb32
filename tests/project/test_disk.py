"""The checks right before a run: what is to be mounted is there, and fit for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bareboat.errors import ProjectError
from bareboat.project import Overrides, check, load, parse_volume


def error(root: Path, code: str, overrides: Overrides | None = None) -> ProjectError:
    with pytest.raises(ProjectError) as caught:
        check(load(root, overrides))
    assert caught.value.code == code, str(caught.value)
    return caught.value


def test_results_are_made_once_and_kept(make) -> None:
    root = make({"src/": ""})
    check(load(root))
    (root / "results/kept").touch()
    check(load(root))
    assert (root / "results/kept").exists()


def test_results_that_are_a_file_are_left_as_they_are(make) -> None:
    root = make({"src/": "", "results": "mine"})
    error(root, "project.results-file")
    assert (root / "results").read_text() == "mine"
    error(make({"bareboat.toml": 'results = "results/deep"'}), "project.results-file")


def test_results_that_lead_out_of_the_project_are_refused(make, tmp_path: Path) -> None:
    root = make({"src/": ""})
    outside = tmp_path / "outside"
    (root / "results").symlink_to(outside)
    wrong = error(root, "project.results-link")
    assert str(outside) in wrong.what and "--results" in wrong.hint
    assert not outside.exists(), "nothing is made behind the link"
    outside.mkdir()
    error(root, "project.results-link")
    make({"bareboat.toml": 'results = "results/deep"'})
    error(root, "project.results-link")


def test_results_that_are_a_link_inside_are_fine_and_so_is_a_named_place_outside(
    make, tmp_path: Path
) -> None:
    root = make({"src/": "", "out/": ""})
    (root / "results").symlink_to("out")
    check(load(root))
    make({"bareboat.toml": f'results = "{tmp_path}/outside/deep"'})
    check(load(root))
    assert (tmp_path / "outside/deep").is_dir()


def test_a_project_reached_by_a_link_is_no_link_out(make, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(make({"src/": ""}))
    check(load(tmp_path / "alias"))


def test_results_that_cannot_be_written_are_refused(make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make({"src/": "", "results/": ""})
    real = os.access

    def access(path: str | Path, mode: int) -> bool:  # root may write anywhere
        return not (mode & os.W_OK) and real(path, mode)

    monkeypatch.setattr(os, "access", access)
    error(root, "project.results-unwritable")


def test_results_that_cannot_be_made_are_refused(make, monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(self: Path, *args: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied")

    root = make({"src/": ""})
    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert "Permission denied" in error(root, "project.results-unwritable").what


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ('data = "none"', "project.missing-data", "bareboat.toml: data"),
        ('code = "none"', "project.missing-code", "bareboat.toml: code"),
        ('code = "a.txt"', "project.missing-code", "bareboat.toml: code"),
        ('mounts = ["./none:/x"]', "project.missing-mount", "bareboat.toml: mounts"),
    ],
)
def test_what_the_file_names_must_be_there(make, text: str, code: str, where: str) -> None:
    assert error(make({"bareboat.toml": text, "a.txt": ""}), code).where == where


def test_what_may_not_be_looked_at_is_an_error(make) -> None:
    long = "x" * 300
    error(make({"bareboat.toml": f'data = "{long}"', "src/": ""}), "project.unreadable")


def test_a_dangling_link_says_so(make) -> None:
    root = make({"bareboat.toml": 'data = "data"\n', "src/": ""})
    (root / "data").symlink_to("/nowhere/at/all")
    assert "link to nothing" in error(root, "project.missing-data").what


def test_data_may_be_a_link_to_elsewhere(make, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    root = make({"src/": ""})
    (root / "data").symlink_to(tmp_path / "datasets")
    check(load(root))
    assert any(mount.kind == "data" for mount in load(root).mounts)


def test_files_can_be_mounted(make) -> None:
    check(load(make({"src/": "", "a.txt": "", "bareboat.toml": 'mounts = ["./a.txt:/etc/a.txt:ro"]'})))


def test_a_target_inside_a_mount_needs_its_place_there(make) -> None:
    root = make({"src/": "", "m/": "", "bareboat.toml": 'mounts = ["./m:/app/src/m"]'})
    wrong = error(root, "project.mount-point")
    assert wrong.hint.startswith(f"Create {root}/src/m")
    make({"src/m/": ""})
    check(load(root))
    make({"bareboat.toml": 'mounts = ["./run.py:/app/src/m"]', "run.py": ""})
    error(root, "project.mount-point")


def test_results_elsewhere_of_a_whole_folder_keep_their_place(make, tmp_path: Path) -> None:
    root = make({"run.py": ""})
    check(load(root, Overrides(results=tmp_path / "else")))
    assert (root / "results").is_dir() and (tmp_path / "else").is_dir()


def test_mounts_of_the_command_line_are_checked_with_the_others(make, tmp_path: Path) -> None:
    project = load(make({"src/": ""}))
    with pytest.raises(ProjectError) as caught:
        check(project, (parse_volume("/none/there:/x", tmp_path),))
    assert caught.value.code == "project.missing-mount"
    with pytest.raises(ProjectError) as caught:
        check(project, (parse_volume("/usr:/results", tmp_path),))
    assert caught.value.code == "project.mount-clash"
