"""A commit of a repository somewhere, brought here and read: by git's plumbing, so that nothing of it is executed.

No hooks, no filters, no attributes, no submodules, no prompt; transports are https, ssh and file alone (http for this
machine), whatever the caller's configuration rewrites URLs to. A password is handed over in the environment, which
only this user can read. What is read out is a list of files, never a checkout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bareboat.errors import BareboatError
from bareboat.host.git import FOREIGN
from bareboat.host.process import Command, Completed, ProcessError, read_from, run
from bareboat.values import TYPE_CHECKING, Protocol, dataclass

if TYPE_CHECKING:
    from typing import IO

ASK_SECONDS, FETCH_SECONDS, READ_SECONDS = 60.0, 1800.0, 300.0
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "submodule.recurse=false",
         "-c", "fetch.recurseSubmodules=false", "-c", "protocol.ext.allow=never", "-c", "fetch.fsckObjects=true",
         "-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60", "-c", "gc.auto=0", "-c",
         "maintenance.auto=false")
_NO_MATCH = 2  # of ls-remote --exit-code
_LIST_MOST = 256 << 20
FILE, PROGRAM, LINK, TREE, SUBMODULE = "100644", "100755", "120000", "040000", "160000"


class CodeError(BareboatError):
    """A repository cannot be read ("code.unreachable"), or has not what is asked for ("code.ref", "code.commit",
    "code.subdir"); or git is not there ("code.git").
    """


class Contents(Protocol):
    """Who takes what is read."""

    def __call__(self, number: int, size: int, chunks: Iterator[bytes]) -> None:
        """The number-th object, of so many bytes; chunks: all of them."""


@dataclass(frozen=True)
class Remote:
    """A repository: its URL without a password, and "user:password" (percent-encoded) where it needs one."""

    url: str
    login: str = ""


@dataclass(frozen=True)
class Entry:
    """A file, link or submodule of a commit: git's mode, the object's name, and its path below the folder asked for."""

    mode: str
    object: str
    path: str


def environment(remote: Remote, environ: Mapping[str, str]) -> dict[str, str]:
    """What git's own environment is for talking to a remote."""
    env = {name: value for name, value in environ.items() if name not in FOREIGN}
    scheme = remote.url.partition(":")[0]
    env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "http" if scheme == "http" else
            "https:ssh:file", "GIT_NO_LAZY_FETCH": "1", "SSH_ASKPASS_REQUIRE": "never"}
    env.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=30")
    if not remote.login:
        return env
    from base64 import b64encode
    from urllib.parse import unquote, urlsplit

    user, _, password = remote.login.partition(":")
    header = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    parts = urlsplit(remote.url)
    theirs = env.get("GIT_CONFIG_COUNT", "")  # the caller's own settings by variables
    first = int(theirs) if theirs.isdigit() else 0
    settings = ((f"http.{parts.scheme}://{parts.netloc}/.extraHeader", f"Authorization: Basic {header}"),
                ("http.followRedirects", "false"))  # the login is for this host alone
    env["GIT_CONFIG_COUNT"] = str(first + len(settings))
    for number, (name, value) in enumerate(settings, first):
        env[f"GIT_CONFIG_KEY_{number}"], env[f"GIT_CONFIG_VALUE_{number}"] = name, value
    return env


def ask_command(remote: Remote, ref: str, environ: Mapping[str, str]) -> Command:
    """Which commit a ref is at the remote."""
    names = (f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/tags/{ref}^{{}}", ref) if ref else ("HEAD",)
    return Command(("git", *_SAFE, "ls-remote", "--exit-code", "--", remote.url, *names),
                   env=environment(remote, environ), cwd=Path("/"), timeout=ASK_SECONDS)  # fmt: skip


def init_command(into: Path, commit: str) -> Command:
    """An empty repository for a commit's kind of names, without anybody's template."""
    kind = ("--object-format=sha256",) if len(commit) == 64 else ()  # git before 2.29 does not know the option
    return Command(("git", *_SAFE, "init", "--quiet", "--bare", "--template=", *kind, "--", str(into)),
                   env=_local(), cwd=Path("/"), timeout=READ_SECONDS)


def fetch_command(remote: Remote, into: Path, wanted: Sequence[str], environ: Mapping[str, str], *,
                  whole: bool = False) -> Command:
    """What is wanted into the repository, alone, or with all that leads to it."""
    depth = () if whole else ("--depth=1",)
    return Command(("git", *_SAFE, "fetch", "--quiet", "--no-tags", *depth, "--", remote.url,
                    *wanted), env=environment(remote, environ), cwd=into, timeout=FETCH_SECONDS)  # fmt: skip


def has_command(repository: Path, commit: str) -> Command:
    """Whether a commit is there."""
    return Command(("git", *_SAFE, "cat-file", "-e", f"{commit}^{{commit}}"), env=_local(), cwd=repository,
                   timeout=READ_SECONDS)


def list_command(repository: Path, tree: str) -> Command:
    """All that is in a tree, below it too."""
    return Command(("git", *_SAFE, "ls-tree", "-r", "-z", "--full-tree", tree), env=_local(), cwd=repository,
                   timeout=READ_SECONDS, most=_LIST_MOST)


def folder_command(repository: Path, commit: str, subdir: str) -> Command:
    """What a path of a commit is: links in it are not followed."""
    return Command(("git", *_SAFE, "ls-tree", "-z", "--full-tree", commit, "--", f":(literal){subdir}"), env=_local(),
                   cwd=repository, timeout=READ_SECONDS, most=_LIST_MOST)  # fmt: skip


def _local() -> dict[str, str]:
    """For what is read here: no configuration but the repository's own, which is ours."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN and not name.startswith("GIT_")}
    return {**env, "LC_ALL": "C", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ALLOW_PROTOCOL": "",
            "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "0"}


def _callers(remote: Remote) -> Mapping[str, str]:
    """The caller's variables; where their configuration names a command for ssh, it goes before our own."""
    if not remote.url.startswith("ssh:") or "GIT_SSH_COMMAND" in os.environ:
        return os.environ
    done = _run(Command(("git", *_SAFE, "config", "--get", "core.sshCommand"), cwd=Path("/"), timeout=READ_SECONDS))
    command = done.stdout.decode("utf-8", "replace").strip()
    return {**os.environ, "GIT_SSH_COMMAND": command} if command else os.environ


def resolve(remote: Remote, ref: str) -> str:
    """The commit that a branch or tag is at now; ref "": the one the remote shows first. Raises CodeError "code.ref",
    "code.unreachable", "code.git".
    """
    done = _run(ask_command(remote, ref, _callers(remote)))
    if done.code == _NO_MATCH:
        raise CodeError("code.ref", f"there is no branch or tag {ref!r}" if ref else "the repository is empty",
                        where=remote.url, hint="A commit is named by all of its 40 digits." if ref else "")
    if done.code:
        raise _unreachable(remote, done)
    lines = [line.partition("\t") for line in done.stdout.decode("utf-8", "replace").splitlines()]
    found = {name: commit for commit, _, name in lines}
    # an annotated tag's commit before the tag, and a branch before a tag of its name, as git fetch takes them
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", ref or "HEAD"):
        if name in found:
            return found[name]
    raise CodeError("code.ref", f"there is no branch or tag {ref!r}", where=remote.url,
                    hint="A commit is named by all of its 40 digits.")


def fetch(remote: Remote, commit: str, into: Path) -> None:
    """Make a bare repository at `into`, which must not be there, with a commit in it. Raises CodeError "code.commit",
    "code.unreachable".
    """
    made = _run(init_command(into, commit))
    if made.code:
        raise CodeError("code.git", f"git cannot make a repository: {_last(made)}", where=str(into))
    environ = _callers(remote)
    alone = _run(fetch_command(remote, into, (commit,), environ))
    if alone.code == 0:
        return
    # a server that gives out no commit but those with a name
    rest = _run(fetch_command(remote, into, ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"), environ,
                              whole=True))  # fmt: skip
    if rest.code:
        raise _unreachable(remote, rest)
    if _run(has_command(into, commit)).code:
        raise CodeError("code.commit", f"the repository has no commit {commit}", where=remote.url,
                        hint="It may never have been pushed, or nothing leads to it any more.")


def entries(repository: Path, commit: str, subdir: str) -> list[Entry]:
    """What a commit has below a folder, in git's order. Raises CodeError "code.subdir" where that is no folder: a link
    is none.
    """
    tree = f"{commit}^{{tree}}"
    if subdir:
        shown = _run(folder_command(repository, commit, subdir))
        head = shown.stdout.partition(b"\t")[0].split()
        if shown.code or len(head) != 3 or head[1] != b"tree":
            kind = {LINK.encode(): "a link", SUBMODULE.encode(): "a submodule"}.get(head[0] if head else b"", "")
            raise CodeError("code.subdir", f"{subdir} is {kind or 'no folder'} in commit {commit[:12]}",
                            where=f"#subdir={subdir}", hint="Name a folder that is in the repository itself.")
        tree = head[2].decode("ascii")
    done = _run(list_command(repository, tree))
    if done.code:
        raise CodeError("code.commit", f"commit {commit} cannot be read: {_last(done)}", where=str(repository))
    found = []
    for line in done.stdout.split(b"\0"):
        if line:
            head_, _, path = line.partition(b"\t")
            mode, _, name = head_.decode("ascii").split(" ")
            found.append(Entry(mode, name, os.fsdecode(path)))
    return found


def contents(repository: Path, objects: Sequence[str], take: Contents) -> None:
    """Read objects in this order: take(number, size, chunks) for each, which reads all chunks. Raises CodeError."""

    def read(output: IO[bytes]) -> None:
        for number, name in enumerate(objects):
            header = output.readline(256).split()
            if len(header) != 3 or header[0].decode("ascii", "replace") != name:
                raise CodeError("code.commit", f"the object {name} is not in the repository", where=str(repository))
            take(number, int(header[2]), _chunks(output, int(header[2])))
            output.read(1)

    command = Command(("git", *_SAFE, "cat-file", "--batch"), env=_local(), cwd=repository,
                      stdin="".join(f"{name}\n" for name in objects).encode())
    try:
        _, failure, done = read_from(command, read)
    except ProcessError as error:
        raise _no_git(error) from None
    if failure is not None:
        raise failure
    if done.code:
        raise CodeError("code.commit", f"git cannot read it: {_last(done)}", where=str(repository))


def _chunks(output: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        chunk = output.read(min(size, 1 << 18))
        if not chunk:
            raise CodeError("code.commit", "git ended in the middle of a file")
        size -= len(chunk)
        yield chunk


def _run(command: Command) -> Completed:
    try:
        return run(command)
    except ProcessError as error:
        if error.code == "process.start":
            raise _no_git(error) from None
        raise CodeError("code.unreachable", f"git {error.what}", hint="Try again, or look at the network.") from None


def _no_git(error: ProcessError) -> CodeError:
    return CodeError("code.git", f"git {error.what}", hint="Install git.")


def _unreachable(remote: Remote, done: Completed) -> CodeError:
    return CodeError("code.unreachable", f"cannot be read: {_last(done)}", where=remote.url,
                     hint="Look at the URL and your access to it; git is never given a terminal to ask on.")


def _last(done: Completed) -> str:
    """git's own words, the first line that is an error's."""
    from bareboat.record.secrets import without_userinfo

    lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith(("fatal:", "error:", "ERROR:"))), "")
    return without_userinfo(told or (lines[-1] if lines else f"exit code {done.code}")).removeprefix("fatal: ")
