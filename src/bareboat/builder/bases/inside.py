"""A tree read as the root it is for those inside: its links never lead out to this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MOST_LINKS = 40  # as Linux has it (path_resolution(7))


class Inside:
    """Paths are absolute and as inside. Nothing raises for what a tree may hold: what is not there is None or empty.

    The tree must not change meanwhile, which those of a store never do.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._folders: dict[str, str | None] = {"/": "/"}

    def real(self, path: str) -> str | None:
        """The path with every link on it followed inside the tree; None where there is nothing, or links go round."""
        known = self._folders.get(path)
        if known is not None:
            return known
        folder = self.real_parent(path)
        found = None if folder is None else self._walk(path)
        if found is None or self.is_folder_at(found):
            self._folders[path] = found
        return found

    def real_parent(self, path: str) -> str | None:
        """The real directory that a name lies in."""
        parent = path.rstrip("/").rpartition("/")[0] or "/"
        if parent not in self._folders:
            found = self._walk(parent)
            self._folders[parent] = found if found is not None and self.is_folder_at(found) else None
        return self._folders[parent]

    def _walk(self, path: str) -> str | None:
        todo = [p for p in reversed(path.split("/")) if p not in ("", ".")]
        at, links = "", 0
        while todo:
            part = todo.pop()
            if part == "..":
                at = at.rpartition("/")[0]
                continue
            try:
                mode = os.lstat(f"{self._root}{at}/{part}").st_mode
                if not stat.S_ISLNK(mode):
                    if todo and not stat.S_ISDIR(mode):
                        return None
                    at = f"{at}/{part}"
                    continue
                links += 1
                target = os.readlink(f"{self._root}{at}/{part}")
            except (OSError, ValueError):
                return None
            if links > _MOST_LINKS:
                return None
            at = "" if target.startswith("/") else at
            todo += [p for p in reversed(target.split("/")) if p not in ("", ".")]
        return at or "/"

    def is_folder_at(self, real: str) -> bool:
        """Whether a real path is a directory."""
        try:
            return stat.S_ISDIR(os.lstat(self._root + real).st_mode)
        except (OSError, ValueError):
            return False

    def is_there(self, real: str) -> bool:
        """Whether a name whose parent is real exists and is no directory; links count."""
        try:
            return not stat.S_ISDIR(os.lstat(self._root + real).st_mode)
        except (OSError, ValueError):
            return False

    def is_file(self, path: str) -> bool:
        """Whether a plain file is there, through links."""
        real = self.real(path)
        try:
            return real is not None and stat.S_ISREG(os.lstat(self._root + real).st_mode)
        except OSError:
            return False

    def read(self, path: str, most: int) -> bytes | None:
        """The bytes of a plain file of at most so many, through links."""
        real = self.real(path)
        if real is None:
            return None
        try:
            fd = os.open(self._root + real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with open(fd, "rb") as file:
            about = os.fstat(fd)
            return file.read() if stat.S_ISREG(about.st_mode) and about.st_size <= most else None

    def text(self, path: str, most: int = 16 << 20) -> str:
        """As read, as text; "" where there is nothing to read. Bytes that are no UTF-8 come back as they were."""
        return (self.read(path, most) or b"").decode("utf-8", "surrogateescape")

    def names(self, path: str) -> list[str]:
        """What is in a directory, sorted."""
        real = self.real(path)
        try:
            return sorted(os.listdir(self._root + real)) if real is not None else []
        except OSError:
            return []
