"""The first files of a volume: what the image has at the place where it is mounted, as Docker does it.

Trees are stacked as an overlay would stack them, and links are resolved inside the stack: no link of an image leads to
a file of the host's. The trees are the store's own, read-only, so that nobody changes them meanwhile.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence

_LINKS = 40  # as the kernel's own limit
Stack = tuple[str, ...]  # one directory of the image in each tree that shows it, top first


def fill(trees: Sequence[str], path: str, into: str) -> int:
    """Copy the image's directory at an absolute path into an empty one, with modes but no set-user-id bits; returns the
    number of files and links. trees: bottom to top. 0 where the image has no directory there. Raises OSError.
    """
    stack = directory(trees, path)
    if not stack:
        return 0
    os.chmod(into, stat.S_IMODE(os.lstat(stack[0]).st_mode) & 0o777 | 0o700)
    return _copy(stack, into)


def directory(trees: Sequence[str], path: str) -> Stack:
    """The image's directory at a path; () where it has none, or something else there."""
    top: Stack = tuple(reversed(trees))
    walked: list[Stack] = [top]
    todo = [part for part in reversed(path.split("/")) if part]
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            walked[1:] = walked[1:-1]
        if part in ("..", "."):
            continue
        found = _look(walked[-1], part)
        if isinstance(found, tuple):
            walked.append(found)
            continue
        links += 1
        if not found or not os.path.islink(found) or links > _LINKS:
            return ()
        target = os.readlink(found)
        if target.startswith("/"):
            walked = [top]
        todo += [piece for piece in reversed(target.split("/")) if piece]
    return walked[-1]


def _look(stack: Stack, name: str) -> Stack | str:
    """What a stack shows by a name: a directory with all that shine through, the path of something else, or ""."""
    found: list[str] = []
    for place in stack:
        path = f"{place}/{name}"
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            continue
        if not stat.S_ISDIR(mode):
            return tuple(found) if found else path
        found.append(path)
    return tuple(found) or ""


def _copy(stack: Stack, into: str) -> int:
    count = 0
    for name in dict.fromkeys(name for place in stack for name in os.listdir(place)):
        found, target = _look(stack, name), f"{into}/{name}"
        if isinstance(found, tuple):
            os.mkdir(target, 0o700)
            count += _copy(found, target)
            os.chmod(target, stat.S_IMODE(os.lstat(found[0]).st_mode) & 0o777 | 0o700)
            continue
        status = os.lstat(found)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(found), target)
        elif stat.S_ISREG(status.st_mode):
            shutil.copyfile(found, target, follow_symlinks=False)
            os.chmod(target, stat.S_IMODE(status.st_mode) & 0o777 | 0o600)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        else:
            continue
        count += 1
    return count
