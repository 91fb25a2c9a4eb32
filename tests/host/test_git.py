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


@needs_git
@pytest.mark.parametrize("how", ["config", "include", "driver with odd name", "worktree"])
def test_a_repository_s_filters_are_not_run(repo, tmp_path, how):
    """git status runs the clean filter of every file whose times changed: an unpacked archive could bring one."""
    marker = tmp_path / "ran"
    name = "a=b.c d" if how == "driver with odd name" else "evil"
    lines = f'[filter "{name}"]\n\tclean = "touch \'{marker}\'; cat"\n\trequired = true\n'
    attributes = f"* filter={name}\n" if " " not in name else "* filter=a=b.c\n"
    if " " in name:
        lines = lines.replace(name, "a=b.c")
    if how == "include":
        (repo / ".git/more").write_text(lines)
        lines = "[include]\n\tpath = more\n"
    with open(repo / ".git/config", "a") as config:
        config.write(lines)
    where = repo
    if how == "worktree":
        where = tmp_path / "linked"
        g(repo, "worktree", "add", "-q", str(where))
        marker.unlink(missing_ok=True)
    (where / ".gitattributes").write_text(attributes)
    os.utime(where / "sub/a.py", (1, 1))
    answer = git.begin(where).finish()
    assert answer.facts is not None and not answer.problem
    assert not marker.exists()
    run(Command(("git", "status"), cwd=where))
    assert marker.exists()  # the control


@needs_git
def test_the_user_s_own_filters_still_run(repo, tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    (tmp_path / ".gitconfig").write_text(f'[filter "mine"]\n\tclean = "touch \'{marker}\'; cat"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    g(repo, "config", "filter.other.clean", "false")
    (repo / ".gitattributes").write_text("* filter=mine\n")
    os.utime(repo / "sub/a.py", (1, 1))
    assert git.begin(repo).finish().facts is not None
    assert marker.exists()


@needs_git
def test_missing_objects_are_not_fetched_by_a_command_of_the_repository(repo, tmp_path):
    marker = tmp_path / "ran"
    for key, value in (("remote.origin.url", f"ext::sh -c touch% {marker}"), ("protocol.ext.allow", "always"),
                       ("remote.origin.promisor", "true"), ("extensions.partialClone", "origin"),
                       ("core.repositoryformatversion", "1")):
        g(repo, "config", key, value)
    shutil.rmtree(repo / ".git/objects")
    (repo / ".git/objects/pack").mkdir(parents=True)
    git.begin(repo).finish()
    assert not marker.exists()
    run(Command(("git", "status"), cwd=repo))
    assert marker.exists()  # the control


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
