"""Repositories for tests, made by the real git."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bareboat.host.process import Command, run

needs_git = pytest.mark.skipif(not shutil.which("git") and not os.environ.get("CI"), reason="no git")


def git(root: Path, *words: str) -> str:
    """git in a repository, with nobody's configuration; what it says."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
           "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
    done = run(Command(("git", "-c", "user.name=n", "-c", "user.email=e@x.example", "-c", "protocol.file.allow=always",
                        *words), cwd=root, env=env))
    assert done.code == 0, done.stderr
    return done.stdout.decode().strip()


def repository(root: Path, files: dict[str, str]) -> str:
    """A repository with one commit on main, or one commit more; the commit. "-> x": a link; "+x…": a program."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / ".git").exists():
        git(root, "init", "-q", "-b", "main")
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text.removeprefix("+x"))
            path.chmod(0o755 if text.startswith("+x") else 0o644)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    return git(root, "rev-parse", "HEAD")
