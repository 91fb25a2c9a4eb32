from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.record_kit import Lab, plan

from bareboat.cli import main
from bareboat.cli.plain import plain, took


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    return Lab(tmp_path / "home", tmp_path / "iris")


def fits(text):
    return all(len(line) <= 80 for line in text.splitlines())


def test_runs(lab, capsys):
    assert main(["runs"]) == 0
    assert "no runs yet" in capsys.readouterr().err
    record = lab.run("raise SystemExit(3)", argv=("run.py", "--with", "x" * 100, "\x1b[2J"))
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert record.id[:8] in out and "failed" in out and fits(out) and "\x1b" not in out
    assert main(["runs", "--json", "--state", "failed"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == record.id
    assert main(["runs", "--json", "--state", "succeeded"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_show(lab, capfd):
    record = lab.run(
        "(results / 'a.csv').write_text('1'); say('\\x1b[2Jhello\\n')", env=(("HF_TOKEN", "geheim"),)
    )
    assert main(["show", record.id[:6]]) == 0
    out = capfd.readouterr().out
    for expected in (record.id, "numpy 2.0", "HF_TOKEN", "a.csv", "hello", f"bareboat rerun {record.id[:6]}"):
        assert expected in out
    assert "geheim" not in out and "\x1b" not in out
    assert main(["show", "last", "--log"]) == 0
    assert capfd.readouterr().out == "\x1b[2Jhello\n"  # the log is what the program wrote
    assert main(["show", "last", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["state"] == "succeeded"
    assert main(["show", "nothing"]) == 125
    assert "record.missing" in capfd.readouterr().err


def test_diff(lab, capsys):
    a = lab.run("x = 1\n")
    b = lab.run("x = 2\n", plan(("numpy", "2.1")))
    assert main(["diff", a.id, a.id]) == 0
    assert main(["diff", a.id, b.id]) == 1
    out = capsys.readouterr().out
    assert "python numpy: 2.0 → 2.1" in out and "+x = 2" in out
    assert main(["diff", "--json", a.id, b.id]) == 1
    assert json.loads(capsys.readouterr().out)["packages"] == [
        {"name": "python numpy", "old": "2.0", "new": "2.1"}
    ]
    assert main(["diff", a.id, "nothing"]) == 125
    assert main(["diff", a.id, b.id, "--rtol", "-1"]) == 125


def test_rerun_exit_codes(lab, capsys, monkeypatch, tmp_path):
    from bareboat import wiring
    from bareboat.verbs import rerun as verb

    monkeypatch.setattr(verb, "steps", lambda: lab.steps)
    monkeypatch.setattr(wiring, "work", lambda tell, **said: lab.work)
    monkeypatch.chdir(tmp_path)
    same = lab.run("(results / 'a').write_text('1')")
    other = lab.run("import os; (results / 'a').write_text(os.urandom(9).hex())")
    assert main(["rerun", same.id]) == 0
    assert "identical" in capsys.readouterr().out
    assert main(["rerun", other.id]) == 1
    assert "not deterministic" in capsys.readouterr().out
    assert main(["rerun", same.id, "--json", "--in", str(tmp_path / "x")]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "identical"
    assert main(["rerun", same.id, "--in", str(tmp_path / "x")]) == 125
    assert "record.rerun-folder" in capsys.readouterr().err


def test_plain():
    assert plain("a\x1b[0m\n\udcff") == "a\\x1b[0m\\n\\udcff"
    assert [took(s) for s in (1.25, 125, 7300)] == ["1.2 s", "2 min 05 s", "2 h 01 min"]


def test_rerun_has_three_exit_codes(lab, capsys, monkeypatch, tmp_path):
    """What run says of a program that is not there, 127, would be no verdict."""
    from bareboat import wiring
    from bareboat.errors import ProgramError
    from bareboat.verbs import rerun as verb

    def missing(prepared, work):
        raise ProgramError("program.not-found", "not found in the image", exit_code=127)

    monkeypatch.setattr(verb, "steps", lambda: replace(lab.steps, execute=missing))
    monkeypatch.setattr(wiring, "work", lambda tell, **said: lab.work)
    monkeypatch.chdir(tmp_path)
    assert main(["rerun", lab.run("x = 1").id]) == 125
    assert "program.not-found" in capsys.readouterr().err
