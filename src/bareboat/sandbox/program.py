"""Whether the program can start, asked before it is tried: 127 not found, 126 not executable, as Docker says it."""

from __future__ import annotations

import os
import posixpath
import stat

from bareboat.errors import CANNOT_RUN, NOT_FOUND, ProgramError
from bareboat.host import kernel
from bareboat.sandbox.box import DEFAULT_PATH, Box
from bareboat.sandbox.root import Root


def check(box: Box, root: Root) -> bytes:
    """The program's path inside the finished root. Raises ProgramError when argv[0] cannot be executed.

    Follows execvp: a name with a slash is a path (from the working directory), any other is searched on PATH of the
    workload's environment. Mounts are in place, so their files count.
    """
    name = box.argv[0]
    if b"/" in name:
        there = posixpath.join(box.cwd, name)
        problem = _problem(root, there)
        if problem is None:
            return there
        raise _error(name, *problem)
    path = dict(box.env).get(b"PATH", DEFAULT_PATH.encode())
    worst: tuple[int, str] | None = None
    for folder in path.split(b":"):
        there = posixpath.join(box.cwd, folder, name)
        problem = _problem(root, there)
        if problem is None:
            return there
        if problem[0] == CANNOT_RUN:
            worst = worst or problem
    raise _error(name, *(worst or (NOT_FOUND, "")), near=_near(root, name, path))


def _error(name: bytes, code: int, why: str, near: str = "") -> ProgramError:
    where = os.fsdecode(name)
    if code == CANNOT_RUN:
        return ProgramError("program.not-executable", f"cannot be run: {why}", exit_code=code, where=where,
                            hint="A script is run by its interpreter: python FILE, or sh FILE.")
    what = f"not found in the image{': ' + why if why else ''}"
    hint = f"Did you mean {near}?" if near else "What the program belongs to goes into the project's dependencies."
    return ProgramError("program.not-found", what, exit_code=code, where=where, hint=hint)


def _problem(root: Root, path: bytes, depth: int = 0) -> tuple[int, str] | None:
    try:
        file = kernel.open_in_root(root.top, path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return NOT_FOUND, ""
    except OSError as error:
        return CANNOT_RUN, str(error.strerror)
    try:
        status = os.fstat(file)
        if stat.S_ISDIR(status.st_mode):
            return CANNOT_RUN, "it is a directory"
        if not stat.S_ISREG(status.st_mode):
            return CANNOT_RUN, "it is not a regular file"
        if not status.st_mode & (stat.S_IXUSR if status.st_uid == os.geteuid() else stat.S_IXOTH | stat.S_IXGRP):
            return CANNOT_RUN, "its file mode does not allow it (chmod +x)"
        if os.fstatvfs(file).f_flag & os.ST_NOEXEC:
            return CANNOT_RUN, "it lies on a file system mounted noexec"
        return _format(root, file, depth)
    finally:
        os.close(file)


_ELF_MACHINES = {"x86_64": (62, 3), "aarch64": (183, 40), "riscv64": (243,), "ppc64le": (21,), "s390x": (22,)}


def _format(root: Root, path: int, depth: int) -> tuple[int, str] | None:
    """What execve would find in the first bytes: a foreign architecture, or an interpreter that is not there."""
    try:
        file = os.open(b"/proc/self/fd/%d" % path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # executable but not readable is allowed
    try:
        head = os.read(file, 256)
    finally:
        os.close(file)
    if head.startswith(b"\x7fELF") and len(head) >= 20:
        machine = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
        known = _ELF_MACHINES.get(kernel.machine())
        if known and machine not in known and machine != root.emulated:
            return CANNOT_RUN, f"it is made for another architecture (ELF machine {machine})"
        return None
    if head.startswith(b"#!") and depth < 4:
        words = head[2:].split(b"\n", 1)[0].strip().split()
        if words and _problem(root, words[0], depth + 1) is not None:
            return NOT_FOUND, f"its first line asks for {os.fsdecode(words[0])}, which is not there"
    return None


def _near(root: Root, name: bytes, path: bytes) -> str:
    """A program of the image with nearly this name, to suggest."""
    import difflib

    names: set[str] = set()
    for folder in path.split(b":"):
        try:
            directory = kernel.open_in_root(root.top, folder or b".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            names.update(os.listdir(directory))
        finally:
            os.close(directory)
    found = difflib.get_close_matches(os.fsdecode(name), sorted(names), n=1, cutoff=0.75)
    return found[0] if found else ""
