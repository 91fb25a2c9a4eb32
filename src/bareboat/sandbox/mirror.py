"""A root without overlay, for kernels that do not let a user stack trees: one merged tree, bound piece by piece.

Directories in which something has to be made (mount points, /etc/passwd, the home) become directories of our own with
the tree's entries in them; all else is bound read-only. New files can therefore be written in those and in /tmp alone.
"""

from __future__ import annotations

import os
import stat

from bareboat.host import kernel
from bareboat.sandbox.box import Box
from bareboat.sandbox.leader import PATH as LEADER

FILES = (b"/etc/passwd", b"/etc/group", b"/etc/hosts", b"/etc/hostname", b"/etc/resolv.conf")
_DIRECTORIES = (b"/tmp", b"/proc", b"/dev", b"/sys/devices/system")


def wanted(box: Box) -> frozenset[bytes]:
    """The paths that must be ours to make or replace."""
    targets = (*(bind.target for bind in box.binds), *(memory.target for memory in box.memory))
    own = (LEADER,) if box.tty else ()  # an image may have a /run of its own
    driver = box.driver.paths if box.driver is not None else ()
    return frozenset((*FILES, *_DIRECTORIES, *own, box.home, box.cwd, *targets, *driver))


def mirror(tree: int, into: int, paths: frozenset[bytes], at: bytes = b"") -> list[bytes]:
    """Fill the directory `into` from the tree's; returns the stand-ins that were made for bound files."""
    made: list[bytes] = []
    for name in sorted(map(os.fsencode, os.listdir(b"/proc/self/fd/%d" % tree))):
        path = at + b"/" + name
        status = os.stat(name, dir_fd=tree, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=tree), name, dir_fd=into)
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(name, stat.S_IMODE(status.st_mode) | 0o700, dir_fd=into)
            if any(p == path or p.startswith(path + b"/") for p in paths):
                inner, ours = _directory(tree, name), _directory(into, name)
                made += mirror(inner, ours, paths, path)
                os.close(inner)
                os.close(ours)
            else:
                _bind(tree, into, name)
        elif stat.S_ISREG(status.st_mode):
            made.append(path)
            if path in paths:
                _copy(tree, into, name)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=into))
                _bind(tree, into, name)
    return made


def _directory(parent: int, name: bytes) -> int:
    return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)


def _bind(tree: int, into: int, name: bytes) -> None:
    flags = os.O_PATH | os.O_NOFOLLOW
    source, point = os.open(name, flags, dir_fd=tree), os.open(name, flags, dir_fd=into)
    kernel.mount(b"/proc/self/fd/%d" % source, b"/proc/self/fd/%d" % point, None, kernel.MS_BIND | kernel.MS_REC)
    os.close(source)
    os.close(point)
    kernel.read_only(os.open(name, flags, dir_fd=into))


def _copy(tree: int, into: int, name: bytes) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=tree)
    copy = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=into)
    while chunk := os.read(source, 1 << 16):
        os.write(copy, chunk)
    os.close(source)
    os.close(copy)
