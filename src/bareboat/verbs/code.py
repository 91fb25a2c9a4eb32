"""--code: a run of a project in a git repository: fetched by commit, read-only inside, results with the caller.

Its project file is a stranger's until its author is trusted: it names nothing of this machine but what lies in the
repository itself. What the caller says on the command line is the caller's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from bareboat.digests import sha256
from bareboat.errors import ProjectError, UsageError
from bareboat.host import gitfetch
from bareboat.host.gitfetch import CodeError, Remote
from bareboat.project.coderef import CodeRef, is_commit, parse_code
from bareboat.project.values import Project, ProjectMount
from bareboat.record.gathered import GitFacts
from bareboat.store.treewriter import TreeWriter
from bareboat.values import dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.lock_mode import LOCK_FILE, PYLOCK_FILE
from bareboat.verbs.prepare import RunRequest

PLACES = ("results", "data")  # mount points, where the repository has none: the code is read-only
_YOURSELF = "fetch the repository yourself, and run it there, if it is to be trusted"
_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Fetched:
    """A project's code: its directory, the repository's name, what the record says of it, and the key of its lease."""

    root: Path
    name: str
    facts: GitFacts
    key: str


def fetched(text: str, work: Work, *, refresh: bool = False) -> Fetched:
    """The code of a reference. A branch or tag is asked for once, and again with refresh; a commit never twice.

    Raises ProjectError "project.code", CodeError "code.*", StoreError.
    """
    wanted = parse_code(text)
    remote = Remote(wanted.remote, wanted.login)
    commit = _commit(wanted, remote, work, refresh)
    key = commit + (f"-{sha256(wanted.subdir.encode()).hexdigest()[:16]}" if wanted.subdir else "")
    root = work.store.checkout(key)
    if root is None:
        if work.settings.offline:
            raise CodeError("code.offline", f"commit {commit[:12]} is not on this machine", where=str(wanted),
                            hint="Run it once without --offline.")
        work.tell.say(f"fetching {wanted}")

        def fill(writer: TreeWriter, scratch: Path) -> None:
            repository = scratch / "repository"
            gitfetch.fetch(remote, commit, repository)
            _write(writer, repository, commit, wanted, work)

        root = work.store.checkout(key, fill)
        assert root is not None
    work.tell.say(f"code of {wanted.remote} at {commit[:12]}" + (f" ({wanted.ref})" if not wanted.is_commit
                                                                  and wanted.ref else ""))
    branch = "" if wanted.is_commit else wanted.ref
    return Fetched(root, wanted.name, GitFacts(commit, branch, wanted.remote), f"checkout:{key}")


def _commit(wanted: CodeRef, remote: Remote, work: Work, refresh: bool) -> str:
    if wanted.is_commit:
        return wanted.ref
    note = f"git-ref {wanted.remote} {wanted.ref}"
    known = work.store.get_json("cache", note)
    if isinstance(known, dict) and is_commit(str(known.get("commit"))) and not (refresh and not work.settings.offline):
        return str(known["commit"])
    if work.settings.offline:
        raise CodeError("code.offline", "the repository was not asked yet, and the network must not be used",
                        where=str(wanted), hint="Name a commit that is here, or run it once without --offline.")
    commit = gitfetch.resolve(remote, wanted.ref)
    if not is_commit(commit):
        raise CodeError("code.ref", "the repository's answer is no commit", where=wanted.remote)
    work.store.put_json("cache", note, {"commit": commit, "asked": time.time()})
    return commit


def _write(writer: TreeWriter, repository: Path, commit: str, wanted: CodeRef, work: Work) -> None:
    """The files of the commit, byte for byte: no line ends are changed, no filters run."""
    found = gitfetch.entries(repository, commit, wanted.subdir)
    files = [e for e in found if e.mode != gitfetch.SUBMODULE]
    left = [e.path for e in found if e.mode == gitfetch.SUBMODULE]
    pointers: list[str] = []

    def take(number: int, size: int, chunks: Iterator[bytes]) -> None:
        entry = files[number]
        if entry.mode == gitfetch.LINK:
            writer.symlink(entry.path, os.fsdecode(b"".join(chunks)))
            return
        if size < 1024:
            content = b"".join(chunks)
            pointers.extend([entry.path] if content.startswith(_POINTER) else [])
            chunks = iter((content,))
        writer.file(entry.path, 0o755 if entry.mode == gitfetch.PROGRAM else 0o644, chunks)

    gitfetch.contents(repository, [e.object for e in files], take)
    for place in PLACES:
        if place not in writer:
            writer.directory(place)
    if left:
        work.tell.say(f"submodules are not fetched: {_some(left)}")
    if pointers:
        work.tell.say(f"files of Git LFS are not fetched, their pointers are there instead: {_some(pointers)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def with_code(request: RunRequest, work: Work) -> tuple[RunRequest, Fetched]:
    """The request with the code fetched as its project, and the caller's folder for results and data."""
    here = request.project or Path.cwd()
    found = fetched(request.code, work, refresh=request.refresh)
    data = request.data or (here / "data" if (here / "data").is_dir() else None)
    return replace(request, project=found.root, results=request.results or here / "results", data=data), found


def of_stranger(project: Project, given: tuple[ProjectMount, ...], request: RunRequest, found: Fetched) -> Project:
    """The project as it may be run. given: the mounts of the command line. Raises ProjectError "project.outside"."""
    top = os.path.realpath(project.root)

    def inside(path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(top)

    own = [m for m in project.mounts if m not in given and m.source not in (request.results, request.data)]
    for mount in own:
        if mount.kind == "volume":
            raise _outside(f"the volume {mount.name}", f"mount it yourself: -v {mount.name}:{mount.target}", project)
        if mount.kind not in ("anonymous", "tmpfs") and not inside(mount.source):
            real = os.path.realpath(mount.source)
            raise _outside(real, f"mount it yourself: -v {real}:{mount.target}", project)
    if project.base and project.base.startswith("oci:") and not inside(project.root / project.base.split(":")[1]):
        raise _outside(f"the base {project.base}", _YOURSELF,
                       project)
    from bareboat.project.deciding import deciding_names

    names = [*deciding_names(project), PYLOCK_FILE, LOCK_FILE, project.env_file, project.startup]
    for name in names:
        if name and not inside(project.root / name):
            raise _outside(name, _YOURSELF, project)
    # an empty data/ is the mount point that we made, and nobody's data
    mounts = tuple(m for m in project.mounts if not (
        m.kind == "data" and m.source == project.root / "data" and not os.listdir(m.source)))
    return replace(project, name=project.name if project.named else found.name, cache=None, mounts=mounts)


def _outside(what: str, hint: str, project: Project) -> ProjectError:
    return ProjectError("project.outside", f"asks for {what}, which is not in the repository", hint=hint,
                        where=project.file or "project")


def check_words(image: str | None, named: object) -> None:
    """Refuse --code for an image. Raises UsageError "usage.code"."""
    if image is not None and image not in (named if isinstance(named, dict) else {}):
        raise UsageError("usage.code", f"--code is a project, and {image!r} is none of its commands",
                         hint="write -- before the program: bareboat run --code git+… -- python src/run.py")
