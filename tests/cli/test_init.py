"""bareboat init on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.cli import main


def test_it_says_what_it_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    assert main(["init", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "requirements.txt" in said.err and "wrote" in said.err
    assert (tmp_path / "bareboat.toml").exists()
    assert main(["init", str(tmp_path)]) == 125
    assert "[project.exists]" in capsys.readouterr().err
    assert main(["init", "--force", "-q", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


def test_print_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--print", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("#:schema ")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "none")]) == 125
    assert "[project.no-folder]" in capsys.readouterr().err
