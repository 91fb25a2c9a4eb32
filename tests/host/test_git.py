from __future__ import annotations

import os
import shutil

import pytest

from bareboat.host import git
from bareboat.host.process import Command, Completed, run

needs_git = pytest.mark.skipif(not shutil.which("git") and not os.environ.get("CI"), reason="no git")


def g(root, *words):
    done = run(Command(("git", "-c", "user.name=n", "-c", "user.email=e@x.example", *words), cwd=root))
    assert done.code == 0, done.stderr


@pytest.fixture
def repo(tmp_path):
    root = tmp_path / "r"
    (root / "sub/ign").mkdir(parents=True)
    (root / "sub/ign/x").write_text("")
    (root / "sub/a.py").write_text("1")
    (root / ".gitignore").write_text("ign/\n*.pyc\n")
    g(root, "init", "-q", "-b", "main")
    g(root, "add", ".gitignore", "sub/a.py")
    g(root, "commit", "-qm", "x")
    return root.resolve()


@needs_git
def test_facts_and_ignored_paths_are_relative_to_the_project(repo):
    g(repo, "remote", "add", "origin", "https://me:pass@git.example/r.git")
    clean = git.begin(repo / "sub").finish()
    assert (clean.facts.branch, clean.facts.dirty, clean.ignored) == ("main", False, ("ign/",))
    assert clean.facts.remote == "https://***@git.example/r.git" and len(clean.facts.commit) == 40
    (repo / "sub/a.py").write_text("2")
    (repo / "sub/new\nname é.py").write_text("2")
    (repo / "sub/b.pyc").write_text("")
    (repo / "other.py").write_text("outside of the project")
    dirty = git.begin(repo / "sub").finish()
    assert dirty.facts.dirty and dirty.facts.changed == ("a.py", "new\nname é.py")
    assert dirty.ignored == ("b.pyc", "ign/")


@needs_git
def test_a_project_the_repository_ignores_or_does_not_know(repo):
    assert git.begin(repo / "sub/ign").finish().ignored is None
    (repo / "fresh").mkdir()
    (repo / "fresh/x").write_text("")
    (repo / "fresh/y.pyc").write_text("")
    fresh = git.begin(repo / "fresh").finish()
    assert fresh.facts is None and fresh.ignored == ("y.pyc",)


@needs_git
def test_a_repository_starts_no_program(repo, tmp_path):
    marker = tmp_path / "ran"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    hook.chmod(0o755)
    g(repo, "config", "core.fsmonitor", str(hook))
    run(Command(("git", "status"), cwd=repo))
    assert marker.exists()  # the control: an ordinary git does start it
    marker.unlink()
    assert git.begin(repo).finish().facts is not None
    assert not marker.exists()


def test_without_a_repository_nothing_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(git, "run", lambda command: pytest.fail("started"))
    assert git.begin(tmp_path).finish() == git.GitAnswer()


def test_git_that_is_missing_or_refuses(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = git.begin(tmp_path).finish()
    assert answer.facts is None and answer.problem
    refused = git.answer(
        Completed(128, b"", b"fatal: detected dubious ownership\nhint"), Completed(1, b"", b""), ""
    )
    assert refused.problem == "fatal: detected dubious ownership"


def test_the_commands_to_the_letter(tmp_path):
    assert git.status_command(tmp_path).argv == (
        "git",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "submodule.recurse=false",
        "status",
        "--porcelain=v2",
        "-z",
        "--branch",
        "--untracked-files=normal",
        "--ignored=matching",
        "--ignore-submodules=dirty",
        "--no-renames",
        "--",
        ".",
    )
    assert "GIT_DIR" not in git.status_command(tmp_path).env
