"""The checkpoint folder of a run on disk: read with suspicion, since the program writes it; no link is followed."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

from bareboat.errors import RecordError
from bareboat.store.disk_errors import disk_error
from bareboat.training.checkpoints import LATEST, Found, marker_of, newest, superfluous, temporary, weights
from bareboat.training.formats import shards, whole
from bareboat.training.values import FOLDER

LISTED = 100_000  # entries that are looked at
LOOKED_INTO = 1_000  # files of a directory that are
INDEX_MOST = 32 << 20  # bytes
SKEW = 600.0  # seconds that a file server's clock may be ahead


def prepared(results: Path) -> Path:
    """The checkpoint folder below a run's results, made where there is none.

    Raises RecordError "checkpoints.folder" where something else is in its place: what it leads to is not touched;
    StoreError "store.full".
    """
    folder = results / FOLDER
    try:
        os.mkdir(folder, 0o755)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise RecordError("checkpoints.folder", "is no folder any more, but a file or a link",
                              where=os.fspath(folder), hint="put the folder back, or remove it to begin anew") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_error(error, os.fspath(folder)) from None
        raise RecordError("checkpoints.folder", f"cannot be made: {error.strerror}", where=os.fspath(folder)) from None
    return folder


def place(results: str, folder: Path) -> Path:
    """Where a run's checkpoints are: below its results, else, where it has none, below its own folder in the store."""
    return (Path(results) if results else folder) / FOLDER


def progressed(folder: Path, marker: str, since: float) -> bool:
    """Whether a complete one was made since a moment, in seconds since the epoch. One of the future is an older one:
    the clock was set back since.
    """
    end = time.time() + SKEW
    return any(entry.complete and since <= entry.modified / 1e9 <= end for entry in found(folder, marker))


def found(folder: Path, marker: str = "") -> list[Found]:
    """What is in it, each judged; [] where the folder is gone or is no folder."""
    entries: list[Found] = []
    try:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        last = "" if marker else _latest(here)
        for name in sorted(os.listdir(here))[:LISTED]:
            if last and name == LATEST:
                continue  # it is none itself
            try:
                about = os.stat(name, dir_fd=here, follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode):
                    complete = not temporary(name) and _complete(here, name, marker, name == last)
                elif stat.S_ISREG(about.st_mode):
                    complete = not temporary(name) and name != marker and _whole(here, name)
                else:
                    continue
            except OSError:
                continue  # it vanished, or cannot be read
            entries.append(Found(name, about.st_mtime_ns, complete))
    finally:
        os.close(here)
    return entries


def resume_from(folder: Path, marker: str = "") -> str:
    """The name of the newest complete one, "" where there is none."""
    last = newest(found(folder, marker))
    return last.name if last is not None else ""


def prune(folder: Path, keep: int, marker: str = "") -> list[str]:
    """Remove complete ones beyond the newest so many; their names. What cannot be removed stays."""
    from bareboat.host.files import remove_tree

    gone = []
    for entry in superfluous(found(folder, marker), keep):
        path = folder / entry.name
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                remove_tree(path)
            else:
                os.unlink(path)
        except OSError:
            continue
        gone.append(entry.name)
    return gone


def _latest(here: int) -> str:
    """The directory that a file LATEST names, "" where there is none."""
    try:
        file = os.open(LATEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=here)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return ""
        name = os.pread(file, 256, 0).decode("utf-8", "replace").strip()
        if "/" in name or "\0" in name or not stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            return ""
    except OSError:
        return ""
    finally:
        os.close(file)
    return name


def _complete(here: int, name: str, marker: str, named: bool) -> bool:
    """Whether a directory has its marker, or is named as complete, and what is in it is all there."""
    inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    try:
        names = set(os.listdir(inside))
        seen = marker_of(names, marker)
        if not (named or (seen and _marks(inside, seen))):
            return False
        for file in sorted(names)[:LOOKED_INTO]:
            if file.endswith(".safetensors.index.json"):
                if not shards(_content(inside, file)) <= names:
                    return False
            elif weights(file) and not temporary(file) and _regular(inside, file) and not _whole(inside, file):
                return False
        return True
    finally:
        os.close(inside)


def _marks(inside: int, marker: str) -> bool:
    """Whether a marker is all there; one of one's own may be empty."""
    about = os.stat(marker, dir_fd=inside, follow_symlinks=False)
    if not stat.S_ISREG(about.st_mode):
        return False
    return _whole(inside, marker) or (not about.st_size and not marker.endswith((".json", ".metadata")))


def _regular(inside: int, name: str) -> bool:
    return stat.S_ISREG(os.stat(name, dir_fd=inside, follow_symlinks=False).st_mode)


def _content(inside: int, name: str) -> bytes:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=inside)
    try:
        return os.pread(file, INDEX_MOST, 0)
    finally:
        os.close(file)


def _whole(here: int, name: str) -> bool:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=here)
    try:
        about = os.fstat(file)
        return stat.S_ISREG(about.st_mode) and whole(name, about.st_size, lambda at, length: os.pread(file, length, at))
    finally:
        os.close(file)
