"""What git says about a folder: commit, branch, remote, whether it is dirty, and what it ignores.

    asked = begin(root)                 starts git in the background; without a .git above root nothing is
    started answer = asked.finish()             GitAnswer(facts, ignored), waits for it; never raises

facts goes into RunRecord.git; ignored into CodeRules.ignored. Repositories are not trusted: no fsmonitor
program, no hooks, no filters that the repository's own configuration names (git status runs them on files whose
times changed), no transport, no optional locks, no prompt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bareboat.host.process import Command, Completed, ProcessError, run
from bareboat.record.gathered import GitFacts
from bareboat.record.secrets import without_userinfo
from bareboat.values import TYPE_CHECKING, dataclass

if TYPE_CHECKING:
    from threading import Thread

PATIENCE = 10.0  # seconds for one git command; then the folder counts as one outside every repository
CHANGED = 20  # names of changed files that a record holds
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "submodule.recurse=false")
FOREIGN = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
                      "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_CEILING_DIRECTORIES"})  # fmt: skip


@dataclass(frozen=True)
class GitAnswer:
    """facts: None outside a repository, or where root is no part of the one around it. ignored: paths
    relative to
    root, folders with a slash at the end; None when git could not say."""

    facts: GitFacts | None = None
    ignored: tuple[str, ...] | None = None
    problem: str = ""  # why git could not say, for -v


class Asked:
    """A question to git that is on its way."""

    def __init__(self, root: Path, top: Path | None) -> None:
        self._answer = GitAnswer()
        self._thread: Thread | None = None
        if top is not None:
            from threading import Thread

            self._thread = Thread(target=self._ask, args=(root, top), daemon=True, name="git")
            self._thread.start()

    def _ask(self, root: Path, top: Path) -> None:
        try:
            off = _without_filters(root) if _may_configure_programs(top) else {}
            status = run(status_command(root, off))
            remote = run(remote_command(root)) if status.code == 0 else Completed(1, b"", b"")
        except ProcessError as error:
            self._answer = GitAnswer(problem=error.what)
            return
        prefix = os.path.relpath(root, top)
        self._answer = answer(status, remote, "" if prefix == "." else prefix + "/")

    def finish(self) -> GitAnswer:
        """Wait for git and give its answer. Idempotent."""
        if self._thread is not None:
            self._thread.join(2 * PATIENCE + 1)
        return self._answer


def begin(root: Path) -> Asked:
    """Ask git about root, in the background. root: absolute, without symlinks."""
    return Asked(root, repository(root))


def repository(root: Path) -> Path | None:
    """The working tree that root is in, by the .git above it; no program is started."""
    here = os.fspath(root)
    while True:
        if os.path.lexists(f"{here}/.git"):
            return Path(here)
        parent = os.path.dirname(here)
        if parent == here:
            return None
        here = parent


def _env() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return {**env, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": ""}


def _may_configure_programs(top: Path) -> bool:
    """Whether the repository's own configuration could name filters; spares most repositories a process."""
    try:
        with open(top / ".git/config", "rb") as file:
            text = file.read(1 << 16).lower()
    except OSError:
        return True  # a linked work tree or a submodule: its configuration is elsewhere
    return len(text) >= 1 << 16 or any(word in text for word in (b"filter", b"include", b"worktreeconfig"))


def filters_command(root: Path) -> Command:
    """Every filter that is configured, each with the scope it comes from."""
    return Command(("git", *_SAFE, "config", "--includes", "--show-scope", "--name-only", "-z", "--get-regexp",
                    r"^filter\."), env=_env(), cwd=root, timeout=PATIENCE)  # fmt: skip


def _without_filters(root: Path) -> dict[str, str]:
    """Variables that switch off the filters of the repository's own configuration; the user's own stay (LFS).

    By variables and not by -c, because a filter's name may contain what -c splits at. A git too old to say where
    a setting comes from (before 2.26) is not asked at all: ProcessError "git.filters".
    """
    done = run(filters_command(root))
    if done.code not in (0, 1):
        raise ProcessError("git.filters", _text(done.stderr).strip().partition("\n")[0], where=str(root))
    words = _text(done.stdout).split("\0")
    drivers = {name.rpartition(".")[0] for scope, name in zip(words[::2], words[1::2], strict=False)
               if scope not in ("system", "global", "command")}
    settings = [(f"{driver}.{key}", value) for driver in sorted(drivers)
                for key, value in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))]
    theirs = os.environ.get("GIT_CONFIG_COUNT", "")  # the caller's own settings by variables: safe.directory
    first = int(theirs) if theirs.isdigit() else 0
    off = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for i, (name, value) in enumerate(settings, first):
        off[f"GIT_CONFIG_KEY_{i}"], off[f"GIT_CONFIG_VALUE_{i}"] = name, value
    return off


def status_command(root: Path, env: Mapping[str, str] | None = None) -> Command:
    """Commit, branch, changes and ignored paths of root alone, in one process; paths relative to the top."""
    return Command(
        ("git", *_SAFE, "status", "--porcelain=v2", "-z", "--branch", "--untracked-files=normal",
         "--ignored=matching", "--ignore-submodules=dirty", "--no-renames", "--", "."),
        env={**_env(), **(env or {})}, cwd=root, timeout=PATIENCE,
    )  # fmt: skip


def remote_command(root: Path) -> Command:
    """The URL of the remote that the branch is fetched from, or of origin."""
    return Command(("git", *_SAFE, "remote", "get-url", "origin"), env=_env(), cwd=root, timeout=PATIENCE)


def answer(status: Completed, remote: Completed, prefix: str) -> GitAnswer:
    """What the two commands say. prefix: of root below the top, "" or with a slash at the end."""
    if status.code != 0:
        return GitAnswer(problem=_text(status.stderr).strip().partition("\n")[0])
    commit = branch = ""
    changed: list[str] = []
    ignored: list[str] = []
    foreign = False
    for line in _text(status.stdout).split("\0"):
        mark, _, rest = line.partition(" ")
        if mark == "#":
            key, _, value = rest.partition(" ")
            commit = value if key == "branch.oid" and value != "(initial)" else commit
            branch = value if key == "branch.head" and value != "(detached)" else branch
        elif mark in ("?", "!") and prefix and prefix.startswith(rest):
            if mark == "!":
                return GitAnswer(problem="the repository around the project ignores it")
            foreign = True  # not a part of the repository around it, say one of dotfiles in HOME
        elif mark == "!":
            ignored.append(rest[len(prefix) :])
        elif mark in ("?", "1", "2", "u"):
            changed.append((rest if mark == "?" else _path(mark, rest))[len(prefix) :])
    if foreign:
        return GitAnswer(None, tuple(ignored))
    url = without_userinfo(_text(remote.stdout).strip()) if remote.code == 0 else ""
    facts = GitFacts(commit, branch, url, bool(changed), tuple(changed[:CHANGED]))
    return GitAnswer(facts, tuple(ignored))


def _path(mark: str, rest: str) -> str:
    """The path of a changed entry: after 7 fields of "1", 9 of "u" (git-status, porcelain v2)."""
    fields = {"1": 7, "2": 8, "u": 9}[mark]
    return rest.split(" ", fields)[-1]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
