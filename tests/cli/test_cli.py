"""The command line itself: help of every verb, exit codes that are bareboat's own, streams, and JSON that parses."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bareboat.cli import VERBS, main
from bareboat.cli.dispatch import call
from bareboat.store import Store

NAMES = [name for group in VERBS.values() for name in group]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("verb", NAMES)
def test_help_of_every_verb_has_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0 and "examples:" in capsys.readouterr().out


def test_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0 and main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in NAMES) and all(len(line) <= 100 for line in out.splitlines())


@pytest.mark.parametrize(("words", "said"), [
    (["rnu"], "bareboat run"), (["python", "x.py"], "run -- python"), (["x.py"], "run -- x.py"),
    (["run", "--", ], "nothing to run"), (["run", "-m", "lots", "--", "true"], "size"),
    (["run", "--cpus", "0", "--", "true"], "not above 0"), (["run", "--pids", "1.5", "--", "true"], "whole number"),
    (["gc", "--older-than", "soon"], "no age"), (["inspect", "nowhere"], "no image"), (["rmi", "nowhere"], "no image"),
    (["run", "nowhere"], "no image"), (["run", "-u", "alice", "--", "true"], "no user"),
    (["run", "-e", "=x", "--", "true"], "no variable"), (["run", "--env-file", "none", "--", "true"], "none"),
])
def test_mistakes_end_with_125_and_say_what_next(
        words: list[str], said: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = home / "project"
    project.mkdir()
    os.chdir(project)
    try:
        code = main(words)
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 125 and said in capsys.readouterr().err and not list(project.glob("*.lock"))


@pytest.mark.parametrize("words", [["runs"], ["images"], ["df"], ["config"], ["gc", "--dry-run"]])
def test_listings_are_json_when_asked(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert main(words) == 0


@pytest.mark.parametrize(("failure", "said"), [
    (OSError(errno.ENOSPC, "No space left on device", "/full"), "io.full"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory"), "current directory is gone"),
    (PermissionError(errno.EACCES, "Permission denied", "/closed"), "/closed"),
    (ValueError("surprise"), "bug of bareboat's"),
])
def test_nothing_ends_with_a_code_a_program_could_have_given(
        failure: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(options: object) -> int:
        raise failure

    monkeypatch.setattr("bareboat.cli.config.command", fail)
    assert call("config", [], 1) == 125
    assert said in capsys.readouterr().err


def bareboat(*words: str, prelude: str = "", **more: object) -> subprocess.CompletedProcess[bytes]:
    script = f'{prelude} exec "$0" -m bareboat "$@"'
    return subprocess.run(["sh", "-c", script, sys.executable, *words], capture_output=True, check=False,
                          **more)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("prelude", ["exec <&-;", "exec <&- 2>&-;"])
def test_closed_streams_are_not_taken_by_files(prelude: str) -> None:
    done = bareboat("runs", "--json", prelude=prelude)
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_a_reader_that_goes_away() -> None:
    done = subprocess.run(["sh", "-c", '"$0" -m bareboat config --json | true', sys.executable],
                          capture_output=True, check=True)
    assert b"Traceback" not in done.stderr


def test_no_colour_in_a_pipe_and_no_traceback_in_a_directory_that_is_gone(tmp_path: Path) -> None:
    done = bareboat("run", "--", "true", prelude="mkdir gone; cd gone; rmdir ../gone;", cwd=tmp_path)
    assert done.returncode == 125 and b"\x1b" not in done.stderr and b"Traceback" not in done.stderr


def test_bash_takes_the_completion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion"
    script.write_text(capsys.readouterr().out)
    done = subprocess.run(["bash", "-euc", f'. {script}; COMP_WORDS=(bareboat ru); COMP_CWORD=1; _bareboat bareboat ru '
                           'bareboat; echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["run", "runs"], done.stderr


@pytest.mark.parametrize(("typed", "offered"), [
    ("run lab", ["lab/seg:1", "lab/seg:two"]), ("run lab/seg :", ["1", "two"]), ("push lab/seg : t", ["two"]),
    ("rmi other", ["other"]), ("stop sw", ["sweep"]), ("exec sweep", ["sweep"]), ("show la", ["last"]),
    ("pull lab", []),
])  # fmt: skip
def test_bash_offers_the_names_there_are(typed: str, offered: list[str], tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion"
    names = ('bareboat() { case "$*" in *images) echo lab/seg:1 lab/seg:two other;; *containers) echo sweep;; '
             '*runs) echo last;; *) exit 9;; esac; }\n')
    script.write_text(names + capsys.readouterr().out)
    words = ["bareboat", *typed.split()]
    typing = f'. {script}; COMP_WORDS=("$@"); COMP_CWORD={len(words) - 1}; _bareboat; echo "${{COMPREPLY[@]-}}"'
    done = subprocess.run(["bash", "-uc", typing, "-", *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == offered, done.stderr


def test_completion_lists_images_containers_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    store = Store.open(tmp_path / "home")
    store.put_json("plans", "sha256:1", {"plan": "sha256:1"})
    store.tag("lab/seg:1", "sha256:1")
    for kind, listed in (("images", ["lab/seg:1"]), ("containers", []), ("runs", ["last"])):
        assert main(["completion", "--names", kind]) == 0
        assert capsys.readouterr().out.split() == listed
    monkeypatch.setenv("BAREBOAT_HOME", "/dev/null/nowhere")
    assert main(["completion", "--names", "images"]) == 0, "no word of it in the middle of a line"
    assert capsys.readouterr().err == ""
    for shell in ("zsh", "fish"):
        assert main(["completion", shell]) == 0
        assert "bareboat completion --names images" in capsys.readouterr().out


def test_a_missing_file_is_told_as_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "-i", str(tmp_path / "gone.tar")]) == 125
    said = capsys.readouterr().err
    assert "No such file or directory" in said and "gone.tar" in said and "owner" not in said


def test_gc_says_that_what_is_young_stays(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--older-than", "0"]) == 0
    assert "60 minutes stays" in capsys.readouterr().err
    assert main(["gc"]) == 0
    assert "stays in any case" not in capsys.readouterr().err


def test_check_finds_and_takes_away_what_rotted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    store = Store.open(tmp_path / "home")
    blob = store.blob(store.put_blob([b"right"]))
    assert blob is not None and main(["check"]) == 0
    blob.chmod(0o644)
    blob.write_bytes(b"wrong")
    store.close()
    assert main(["check"]) == 1 and "1 damaged" in capsys.readouterr().out
    assert main(["check", "--repair"]) == 0 and main(["check"]) == 0


@pytest.mark.parametrize(("words", "image", "program"), [
    (["--", "python", "x.py"], [], ["python", "x.py"]),
    (["seg:1", "--", "python", "x.py"], ["seg:1", "python", "x.py"], []),
    (["-e", "A=1", "seg:1", "python", "x.py"], ["seg:1", "python", "x.py"], []),
    (["seg:1", "grep", "--", "-v"], ["seg:1", "grep", "--", "-v"], []),
    (["-e", "A=1", "--", "grep", "--", "-v"], [], ["grep", "--", "-v"]),
])
def test_run_image_dashes_command(words: list[str], image: list[str], program: list[str]) -> None:
    from bareboat.cli.run import parse

    parsed = parse(words)
    assert (list(parsed.words), list(parsed.program), parsed.project_run) == (image, program, not image)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_standard_output_that_is_full_is_said_once_and_ends_with_125(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "bareboat", "--help"], stdout=full, stderr=subprocess.PIPE,
                              text=True, env={**os.environ, "BAREBOAT_HOME": str(tmp_path)})
    assert done.returncode == 125 and done.stderr.count("\n") == 1 and "No space left" in done.stderr
