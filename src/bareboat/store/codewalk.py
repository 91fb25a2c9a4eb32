"""Which files are code: a walk of the project without data, results, environments and ignored files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bareboat.errors import RecordError
from bareboat.values import dataclass

# Never code, whatever the ignore files say: version control, caches, installed environments.
NEVER = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".jj",
        "__pycache__",
        ".ipynb_checkpoints",
        "node_modules",
        ".venv",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".cache",
        ".eggs",
        ".DS_Store",
    }
)
IGNORE_FILES = (".gitignore", ".bareboatignore")
IGNORE_BYTES = 1 << 20  # of an ignore file that are read


@dataclass(frozen=True)
class CodeRules:
    """What belongs to the code of a project. All paths are relative to its root, without a trailing slash.

    only: files and folders that are the code (src, the project file, the lock's inputs); empty: the whole
    folder. exclude: data, results and other mounts. ignored: git's answer (host/git.py), files and whole
    folders; None when the project is in no repository: then .gitignore files count as they are;
    .bareboatignore always does.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    ignored: tuple[str, ...] | None = None


class Found:
    """What the walk saw: kind "f" (mode 0o644 or 0o755), "l" (target) or "d" (an empty directory). Times in
    ns.
    """

    __slots__ = ("ctime", "inode", "kind", "mode", "mtime", "path", "size", "target")

    def __init__(self, path: str, kind: str, status: os.stat_result | None = None, target: str = "") -> None:
        self.path, self.kind, self.target = path, kind, target
        self.size = self.mtime = self.ctime = self.inode = self.mode = 0
        if status is not None:
            self.size, self.inode = status.st_size, status.st_ino
            self.mtime, self.ctime = status.st_mtime_ns, status.st_ctime_ns
            self.mode = 0o755 if status.st_mode & 0o111 else 0o644


def walk(root: Path, rules: CodeRules) -> tuple[list[Found], tuple[str, ...]]:
    """Every file, symlink and empty directory of the code in byte order of paths, and names that cannot be
    read.

    Symlinks are never followed. Sockets, fifos and devices are skipped. Raises RecordError record.code when
    root cannot be listed.
    """
    walker = _Walk(os.fspath(root), rules)
    if not rules.only:
        walker.folder("", top=True)
    else:
        for path in rules.only:
            walker.start(path)
    unique = {f.path: f for f in walker.found}
    return [unique[path] for path in _byte_order(unique)], tuple(walker.unreadable)


def _byte_order(paths: Iterable[str]) -> list[str]:
    """Paths sorted by their bytes. Text sorts as its UTF-8 does; only names that are not UTF-8 must be
    encoded.
    """
    names = list(paths)
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        return sorted(names, key=os.fsencode)
    return sorted(names)


class _Walk:
    def __init__(self, root: str, rules: CodeRules) -> None:
        self.root = root
        self.found: list[Found] = []
        self.unreadable: list[str] = []
        self._out = frozenset(rules.exclude) | frozenset(p.rstrip("/") for p in rules.ignored or ())
        self._files = IGNORE_FILES if rules.ignored is None else IGNORE_FILES[1:]
        self._specs: list[tuple[str, object]] = []  # (folder with a slash, pathspec), from the root down

    def start(self, path: str) -> None:
        """A file or folder named by the rules; the ignore files above it count too."""
        if path in ("", "."):
            self.folder("", top=True)
            return
        try:
            status = os.lstat(f"{self.root}/{path}")
        except OSError:
            return
        self._specs = []
        parents = path.split("/")[:-1]
        for depth in range(len(parents) + 1):
            self._read_specs("/".join(parents[:depth]))
        if status.st_mode & 0o170000 == 0o040000:
            self.folder(path, top=True)
        else:
            self._leaf(path, status)
        self._specs = []

    def folder(self, path: str, top: bool = False) -> bool:
        """Walk one folder; whether it, or anything below it, belongs to the code."""
        try:
            with os.scandir(f"{self.root}/{path}" if path else self.root) as listing:
                entries = list(listing)
        except OSError as error:
            if top:
                raise RecordError(
                    "record.code", f"the code cannot be read ({error.strerror})", where=f"{self.root}/{path}"
                ) from None
            self.unreadable.append(path)
            return False
        names = {entry.name for entry in entries}
        if "pyvenv.cfg" in names and path:
            return False
        before = len(self._specs)
        if not names.isdisjoint(self._files):
            self._read_specs(path)
        prefix = path + "/" if path else ""
        some = False
        for entry in entries:
            below = prefix + entry.name
            if entry.name in NEVER or below in self._out or (not path and _repetition(entry.name)):
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if self._specs and self._ignored(below + "/" if is_folder else below):
                continue
            if is_folder:
                some = self.folder(below) or some
                continue
            try:
                self._leaf(below, entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue  # gone since the listing
            some = True
        del self._specs[before:]
        if not some and not names and path:
            self.found.append(Found(path, "d"))
            some = True
        return some

    def _leaf(self, path: str, status: os.stat_result) -> None:
        kind = status.st_mode & 0o170000
        if kind == 0o120000:
            try:
                target = os.readlink(f"{self.root}/{path}")
            except OSError:
                return
            self.found.append(Found(path, "l", target=target))
        elif kind == 0o100000:
            self.found.append(Found(path, "f", status))

    def _read_specs(self, path: str) -> None:
        for name in self._files:
            lines = _lines(f"{self.root}/{path}/{name}")
            if lines is not None:
                self._specs.append((path + "/" if path else "", _spec(lines)))

    def _ignored(self, path: str) -> bool:
        """Whether the ignore files say so: the deepest one that matches decides."""
        for prefix, spec in reversed(self._specs):
            verdict = spec.check_file(path[len(prefix) :]).include  # type: ignore[attr-defined]
            if verdict is not None:
                return bool(verdict)
        return False


def _lines(path: str) -> list[str] | None:
    """The lines of an ignore file, None when there is none: a pipe or a device is none, and never waited for."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o170000 != 0o100000:
                return None
            return file.read(IGNORE_BYTES).decode("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None


def _spec(lines: list[str]) -> object:
    """The rules of an ignore file. A line that is no pattern ignores nothing, as git has it (gitignore(5))."""
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _repetition(name: str) -> bool:
    """Whether a folder is one that rerun made: results, not code."""
    return name.startswith("rerun-") and len(name) == 12 and set(name[6:]) <= set("0123456789abcdef")
