"""Whether a program can start in an image, asked of its trees and mounts before a container is made: 127, 126.

What docker and podman would say of it comes mixed into the program's own streams and codes, so it is not left to them.
"""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path

from bareboat.errors import CANNOT_RUN, NOT_FOUND, ProgramError
from bareboat.workload import Workload

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LINKS = 40  # as the kernel's own limit
_MACHINES = {"amd64": (62, 3), "arm64": (183, 40)}  # of ELF, by OCI's names


def program(load: Workload, platform: str) -> str:
    """argv[0] as an absolute path inside, by execvp's rules. Raises ProgramError.

    An image without trees here (all it is are blobs) is not judged.
    """
    name = load.argv[0]
    if "/" in name:
        there = posixpath.join(load.cwd, name)
        problem = _problem(load, there, platform)
        if problem is None:
            return there
        raise _error(name, *problem)
    path = dict(load.env).get("PATH", DEFAULT_PATH)
    worst: tuple[int, str] | None = None
    for folder in path.split(":"):
        there = posixpath.join(load.cwd, folder, name)
        problem = _problem(load, there, platform)
        if problem is None:
            return there
        if problem[0] == CANNOT_RUN:
            worst = worst or problem
    raise _error(name, *(worst or (NOT_FOUND, "")), near=_near(load, name, path))


def find(load: Workload, path: str) -> Path | None:
    """Where a path inside lies on this machine: links are followed inside, upper trees hide lower ones."""
    found, _ = _walk(load, path)
    return found


def _walk(load: Workload, path: str) -> tuple[Path | None, str]:
    left, here = [part for part in path.split("/") if part], ""
    host: Path | None = None
    for _ in range(4096):
        if not left:
            return host if here else Path("/"), here or "/"
        part = left.pop(0)
        if part == ".":
            continue
        if part == "..":
            here = posixpath.dirname(here).rstrip("/")
            continue
        host = _lowest(load, f"{here}/{part}")
        if host is None:
            return None, ""
        if host.is_symlink():
            target = os.readlink(host)
            left = [word for word in target.split("/") if word] + left
            here = "" if target.startswith("/") else here
        else:
            here = f"{here}/{part}"
    return None, ""


def _lowest(load: Workload, path: str) -> Path | None:
    """The file of a path whose parents are no links."""
    within = [m for m in load.mounts if path == m.target or path.startswith(m.target.rstrip("/") + "/")]
    if within:
        mount = max(within, key=lambda m: len(m.target))
        host = mount.source / path[len(mount.target):].lstrip("/") if path != mount.target else mount.source
        return host if os.path.lexists(host) else None
    for tree in reversed(load.root.trees):
        host = tree / path[1:]
        try:
            status = os.lstat(host)
        except OSError:
            continue
        return None if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0 else host  # a whiteout
    if any(m.target.startswith(path + "/") for m in load.mounts):
        return Path("/")  # a directory that is made for a mount below it
    return None


def _problem(load: Workload, path: str, platform: str, depth: int = 0) -> tuple[int, str] | None:
    host = find(load, path)
    try:
        status = os.stat(host) if host is not None else None
    except OSError:
        status = None
    if status is None or host is None:
        return NOT_FOUND, ""
    if stat.S_ISDIR(status.st_mode):
        return CANNOT_RUN, "it is a directory"
    if not stat.S_ISREG(status.st_mode):
        return CANNOT_RUN, "it is not a regular file"
    if not status.st_mode & 0o111:
        return CANNOT_RUN, "its file mode does not allow it (chmod +x)"
    try:
        with open(host, "rb") as file:
            head = file.read(256)
    except OSError:
        return None  # executable but not readable is allowed
    if head.startswith(b"\x7fELF") and len(head) >= 20:
        machine = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
        known = _MACHINES.get(platform.split("/")[1]) if "/" in platform else None
        if known and machine not in known:
            return CANNOT_RUN, f"it is made for another architecture (ELF machine {machine})"
    elif head.startswith(b"#!") and depth < 4:
        words = head[2:].split(b"\n", 1)[0].strip().split()
        if words and _problem(load, os.fsdecode(words[0]), platform, depth + 1) is not None:
            return NOT_FOUND, f"its first line asks for {os.fsdecode(words[0])}, which is not there"
    return None


def _error(name: str, code: int, why: str, near: str = "") -> ProgramError:
    if code == CANNOT_RUN:
        return ProgramError("program.not-executable", f"cannot be run: {why}", exit_code=code, where=name,
                            hint="A script is run by its interpreter: python FILE, or sh FILE.")
    hint = f"Did you mean {near}?" if near else "What the program belongs to goes into the project's dependencies."
    return ProgramError("program.not-found", f"not found in the image{': ' + why if why else ''}", exit_code=code,
                        where=name, hint=hint)


def _near(load: Workload, name: str, path: str) -> str:
    """A program of the image with nearly this name, to suggest."""
    import difflib

    names: set[str] = set()
    for folder in path.split(":"):
        _, inside = _walk(load, folder)
        for place in (*(tree / inside[1:] for tree in load.root.trees), find(load, folder)):
            if inside and place is not None:
                try:
                    names.update(os.listdir(place))
                except OSError:
                    pass
    return next(iter(difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.75)), "")
