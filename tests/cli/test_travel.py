"""The command line of runs that travel: what words mean, and what makes no sense together."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builder.image_factory import plan_in
from tests.record_kit import Lab

from bareboat.cli import main

SAME = "(results / 'a.csv').write_text('1')"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    made = Lab(tmp_path / "home", tmp_path / "iris")
    made.run(SAME, plan_in(made.store, {"one": {"one/__init__.py": b""}}), name="best")
    return made


def test_saved_taken_in_and_forgotten(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    [run] = lab.store.runs.ids()
    assert main(["save", "--run", "best", "-o", "run.tar", "--no-log", "--data-from", "a shelf"]) == 0
    digest = capsys.readouterr().out.strip()
    assert digest.startswith("sha256:") and (tmp_path / "cwd/run.tar").is_file()
    assert main(["save", "--run", run[:6], "-o", "run/", "--no-log", "--data-from", "a shelf"]) == 0
    assert capsys.readouterr().out.strip() == digest
    assert main(["push", "--run", run, "oci:layout:paper", "--no-log", "--data-from", "a shelf"]) == 0
    assert capsys.readouterr().out.strip() == digest
    for place in ("./run.tar", "oci:run", "oci:layout:paper"):
        monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / place.replace(":", "-").replace("/", "-")))
        assert main(["pull", "--run", place]) == 0
        assert capsys.readouterr().out == f"{run}\n"
        assert main(["show", run]) == 0
        shown = capsys.readouterr().out
        assert "to be had: a shelf" in shown and "from " in shown and "\nlog" not in shown
        assert main(["rerun", run]) == 125
        assert "record.data-needed" in capsys.readouterr().err
        assert main(["runs", "--forget", run]) == 0
        assert main(["show", run]) == 125
        capsys.readouterr()


@pytest.mark.parametrize(("words", "code"), [
    (["save", "-o", "x.tar"], "usage.save"),
    (["save", "image", "--run", "best", "-o", "x.tar"], "usage.save"),
    (["save", "image", "--no-log", "-o", "x.tar"], "usage.run"),
    (["save", "--run", "nothing", "-o", "x.tar"], "record.missing"),
    (["save", "--run", "best", "-o", "x.tar", "--data-from", "x" * 2001], "usage.data-from"),
    (["push", "image", "place", "--with-results"], "usage.run"),
    (["push", "--run", "best", "one", "two"], "usage.run"),
    (["push", "--run", "best", "docker-daemon:seg:1"], "usage.run-place"),
    (["pull", "--with-results", "python"], "usage.run"),
    (["pull", "--run", "docker-daemon:seg:1"], "reference.transport"),
    (["pull", "--run", "./nothing.tar"], "run.no-file"),
    (["rerun", "nothing.tar"], "record.missing"),
    (["rerun", "/no/such/run"], "run.no-file"),
    (["rerun", "best", "-v", "/data"], "usage.mount"),
    (["rerun", "best", "-v", "/nowhere:/data"], "usage.mount"),
    (["rerun", "best", "-v", ".:data"], "usage.mount"),
    (["rerun", "best", "--html", "x"], "usage.all"),
    (["runs", "--forget", "best"], "record.own"),
])  # fmt: skip
def test_what_makes_no_sense(lab: Lab, words: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 125
    said = capsys.readouterr().err
    assert f"[{code}]" in said and "Traceback" not in said
    assert list(Path.cwd().iterdir()) == []
