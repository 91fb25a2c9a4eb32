"""Commits fetched from repositories nobody vouches for: command lines to the letter, and nothing executed."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.git_kit import git, needs_git, repository

from bareboat.host import gitfetch
from bareboat.host.gitfetch import CodeError, Remote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SAFE = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "submodule.recurse=false", "-c",
        "fetch.recurseSubmodules=false", "-c", "protocol.ext.allow=never", "-c", "fetch.fsckObjects=true", "-c",
        "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60", "-c", "gc.auto=0", "-c", "maintenance.auto=false")


def test_command_lines_to_the_letter(tmp_path: Path) -> None:
    remote = Remote("https://h.example/seg", "u:s3cret")
    ask = gitfetch.ask_command(remote, "v1", {})
    assert ask.argv == (*SAFE, "ls-remote", "--exit-code", "--", "https://h.example/seg", "refs/heads/v1",
                        "refs/tags/v1", "refs/tags/v1^{}", "v1")
    assert gitfetch.ask_command(remote, "", {}).argv[-1] == "HEAD"
    assert gitfetch.init_command(tmp_path, COMMIT).argv == (
        *SAFE, "init", "--quiet", "--bare", "--template=", "--", str(tmp_path))
    assert "--object-format=sha256" in gitfetch.init_command(tmp_path, "a" * 64).argv
    fetch = gitfetch.fetch_command(remote, tmp_path, (COMMIT,), {})
    assert fetch.argv == (*SAFE, "fetch", "--quiet", "--no-tags", "--depth=1", "--",
                          "https://h.example/seg", COMMIT)
    assert "--depth=1" not in gitfetch.fetch_command(remote, tmp_path, (COMMIT,), {}, whole=True).argv
    assert gitfetch.folder_command(tmp_path, COMMIT, "a*").argv[-2:] == ("--", ":(literal)a*")
    for command in (ask, fetch):
        assert command.env is not None and command.env["GIT_TERMINAL_PROMPT"] == "0"
        assert command.env["GIT_ALLOW_PROTOCOL"] == "https:ssh:file"
        assert "s3cret" not in " ".join(command.argv)


def test_a_login_is_for_its_host_alone_and_beside_the_callers_own_settings() -> None:
    theirs = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.proxy", "GIT_CONFIG_VALUE_0": "p", "GIT_DIR": "/x"}
    env = gitfetch.environment(Remote("https://h.example:8443/seg", "u:p%40x"), theirs)
    assert env["GIT_CONFIG_COUNT"] == "3" and env["GIT_CONFIG_KEY_0"] == "http.proxy" and "GIT_DIR" not in env
    assert env["GIT_CONFIG_KEY_1"] == "http.https://h.example:8443/.extraHeader"
    assert env["GIT_CONFIG_VALUE_1"] == f"Authorization: Basic {base64.b64encode(b'u:p@x').decode()}"
    assert (env["GIT_CONFIG_KEY_2"], env["GIT_CONFIG_VALUE_2"]) == ("http.followRedirects", "false")
    assert "BatchMode=yes" in env["GIT_SSH_COMMAND"]
    kept = gitfetch.environment(Remote("ssh://git@h.example/seg"), {"GIT_SSH_COMMAND": "ssh -i key"})
    assert kept["GIT_SSH_COMMAND"] == "ssh -i key"
    assert gitfetch.environment(Remote("http://127.0.0.1/seg"), {})["GIT_ALLOW_PROTOCOL"] == "http"


def read(at: Path, commit: str, subdir: str = "") -> dict[str, tuple[str, bytes]]:
    found = [e for e in gitfetch.entries(at, commit, subdir) if e.mode != gitfetch.SUBMODULE]
    content: dict[str, tuple[str, bytes]] = {}

    def take(number: int, size: int, chunks: Iterator[bytes]) -> None:
        data = b"".join(chunks)
        assert len(data) == size
        content[found[number].path] = (found[number].mode, data)

    gitfetch.contents(at, [e.object for e in found], take)
    return content


@needs_git
def test_branches_tags_and_commits(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    first = repository(origin, {"a": "1"})
    git(origin, "tag", "plain")
    git(origin, "tag", "-a", "-m", "x", "annotated")
    second = repository(origin, {"a": "2"})
    git(origin, "branch", "feature/x")
    git(origin, "tag", "main", first)  # of the name of a branch: the branch is meant
    remote = Remote(f"file://{origin}")
    for ref, commit in (("", second), ("main", second), ("feature/x", second), ("plain", first), ("annotated", first),
                        ("refs/tags/main", first)):
        assert gitfetch.resolve(remote, ref) == commit
    for ref in ("gone", "eature/x", first[:12]):
        with pytest.raises(CodeError) as caught:
            gitfetch.resolve(remote, ref)
        assert caught.value.code == "code.ref" and "40 digits" in caught.value.hint
    for number, commit in enumerate((first, second)):
        gitfetch.fetch(remote, commit, tmp_path / str(number))
        assert read(tmp_path / str(number), commit) == {"a": ("100644", str(number + 1).encode())}


@needs_git
def test_bytes_modes_and_links_as_they_were_committed(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    commit = repository(origin, {
        ".gitattributes": "*.txt text eol=crlf\n*.id ident\n*.bin export-ignore\nx filter=evil\n", "a.txt": "1\n2\n",
        "b.id": "$Id$\n", "c.bin": "\0x", "run.sh": "+x#!/bin/sh\n", "link": "-> ../out", "x": "kept",
        "sub/é n.py": "1",
        "empty": ""})
    gitfetch.fetch(Remote(f"file://{origin}"), commit, tmp_path / "here")
    found = read(tmp_path / "here", commit)
    assert found["a.txt"] == ("100644", b"1\n2\n") and found["b.id"][1] == b"$Id$\n" and found["c.bin"][1] == b"\0x"
    assert found["run.sh"][0] == gitfetch.PROGRAM and found["link"] == (gitfetch.LINK, b"../out")
    assert found["empty"][1] == b"" and read(tmp_path / "here", commit, "sub") == {"é n.py": ("100644", b"1")}


@needs_git
def test_a_folder_is_never_reached_through_a_link(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    commit = repository(origin, {"real/a": "1", "link": "-> real", "out": "-> /etc", "deep/up": "-> ..", "file": "x",
                                 "a*b/x": "1"})
    gitfetch.fetch(Remote(f"file://{origin}"), commit, tmp_path / "here")
    for subdir in ("link", "out", "deep/up", "deep/up/real", "file", "file/x", "none", "real/a", "a?b", "*"):
        with pytest.raises(CodeError) as caught:
            gitfetch.entries(tmp_path / "here", commit, subdir)
        assert caught.value.code == "code.subdir"
    assert read(tmp_path / "here", commit, "a*b") == {"x": ("100644", b"1")}


@needs_git
def test_what_cannot_be_had_says_which(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    repository(origin, {"a": "1"})
    with pytest.raises(CodeError) as caught:
        gitfetch.fetch(Remote(f"file://{origin}"), COMMIT, tmp_path / "a")
    assert caught.value.code == "code.commit" and COMMIT in caught.value.what
    for call in (lambda r: gitfetch.resolve(r, "main"), lambda r: gitfetch.fetch(r, COMMIT, tmp_path / "b")):
        with pytest.raises(CodeError) as caught:
            call(Remote(f"file://{tmp_path}/none"))
        assert caught.value.code == "code.unreachable" and "none" in caught.value.where and caught.value.hint
    git_dir = tmp_path / "empty"
    git_dir.mkdir()
    git(git_dir, "init", "-q")
    with pytest.raises(CodeError) as caught:
        gitfetch.resolve(Remote(f"file://{git_dir}"), "")
    assert caught.value.code == "code.ref"


@needs_git
def test_nothing_of_the_callers_configuration_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker, hooks = tmp_path / "ran", tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (hooks / name).chmod(0o755)
    (tmp_path / "config").write_text(
        f'[core]\n hooksPath = {hooks}\n[init]\n templateDir = {tmp_path}\n[filter "evil"]\n smudge = touch {marker}\n'
        f'[url "ext::sh -c touch% {marker}"]\n insteadOf = https://rewritten.example/\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    origin = tmp_path / "origin"
    commit = repository(origin, {".gitattributes": "* filter=evil\n", "a": "1"})
    remote = Remote(f"file://{origin}")
    assert gitfetch.resolve(remote, "main") == commit
    gitfetch.fetch(remote, commit, tmp_path / "here")
    assert read(tmp_path / "here", commit)["a"][1] == b"1"
    with pytest.raises(CodeError) as caught:
        gitfetch.resolve(Remote("https://rewritten.example/x"), "main")
    assert caught.value.code == "code.unreachable" and not marker.exists()


def test_git_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CodeError) as caught:
        gitfetch.resolve(Remote("https://h.example/x"), "main")
    assert caught.value.code == "code.git" and "Install git" in caught.value.hint


@needs_git
def test_ssh_is_the_callers_and_never_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of the test's own stands for ssh: it shows what it was given, and serves the repository."""
    origin, said = tmp_path / "origin", tmp_path / "said"
    commit = repository(origin, {"a": "1"})
    for name in ("ssh", "mine"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {said}\nwhile [ "$1" != lab@h.example ]; do\n'
                                     'shift\ndone\nshift\nexec sh -c "$*"\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("GIT_SSH_COMMAND", raising=False)
    (tmp_path / "config").write_text("[safe]\n directory = *\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    remote = Remote(f"ssh://lab@h.example{origin}")
    assert gitfetch.resolve(remote, "main") == commit
    gitfetch.fetch(remote, commit, tmp_path / "here")
    assert read(tmp_path / "here", commit)["a"][1] == b"1"
    lines = said.read_text().splitlines()
    assert all(line.startswith("ssh ") and "-oBatchMode=yes" in line for line in lines)
    (tmp_path / "config").write_text(f"[safe]\n directory = *\n[core]\n sshCommand = {tmp_path}/mine -i key\n")
    said.unlink()
    assert gitfetch.resolve(remote, "main") == commit and "-i key" in said.read_text()
    assert said.read_text().startswith("mine ")
