"""What a run left in its results folder: a listing before, a listing after, digests of what is new.

    before = listing(folder)                                  dict path → (size, mtime_ns, inode, ctime_ns);
    cheap results(store, folder, before) -> record.values.Results   files that appeared or changed, small
    ones kept names(results) / total(results)                           for the last lines of a run

Symlinks are recorded by their target and never followed, so a program cannot make us read what it points to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bareboat.digests import sha256
from bareboat.errors import RecordError
from bareboat.record.gathered import ResultFile
from bareboat.record.values import Results
from bareboat.store.packs import Pack
from bareboat.values import TYPE_CHECKING, dataclass

if TYPE_CHECKING:
    from bareboat.store import Store

Listing = dict[str, tuple[int, int, int, int]]
LINK = 0o120000
FILE = 0o100000


@dataclass(frozen=True)
class ResultBounds:
    """each, all: bytes of one file and of all files that are kept; count: files that are listed one by one;
    hashed: bytes that are read for digests in all."""

    each: int = 16 << 20
    all: int = 256 << 20
    count: int = 20_000
    hashed: int = 64 << 30


BOUNDS = ResultBounds()


def listing(folder: Path) -> Listing:
    """Every file and symlink below folder by its relative path. A folder that does not exist is empty."""
    return {
        path: (s.st_size, s.st_mtime_ns, s.st_ino, s.st_ctime_ns) for path, s in walk(os.fspath(folder), "")
    }


def walk(root: str, path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Files and symlinks, never through a symlink; what vanishes meanwhile or cannot be read is left out."""
    pending = [path]
    while pending:
        path = pending.pop()
        try:
            with os.scandir(f"{root}/{path}" if path else root) as entries:
                for entry in entries:
                    below = f"{path}/{entry.name}" if path else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(below)
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if status.st_mode & 0o170000 in (FILE, LINK):
                        yield below, status
        except OSError:
            continue


def results(store: Store | None, folder: Path, before: Listing, bounds: ResultBounds = BOUNDS,
            aside: str = "") -> Results:
    """What appeared or changed since `before`, in byte order of paths; small files are kept in one blob. aside: a
    folder in it whose files are listed and not read (checkpoints: large, and no result).

    store None keeps nothing. Files beyond bounds.count are counted only. A file that cannot be read or
    changes into something else has sha256 "". Raises StoreError when the disk is full.
    """
    changed = [
        (path, s)
        for path, s in walk(os.fspath(folder), "")
        if before.get(path) != (s.st_size, s.st_mtime_ns, s.st_ino, s.st_ctime_ns)
    ]
    changed.sort(key=lambda item: os.fsencode(item[0]))
    pack = Pack(store.home) if store is not None else None
    files: list[ResultFile] = []
    room, left = bounds.all, bounds.hashed
    for path, status in changed[: bounds.count]:
        if status.st_mode & 0o170000 == LINK:
            files.append(_link(folder, path))
        elif status.st_size > left or (aside and path.startswith(f"{aside}/")):
            files.append(ResultFile(path, status.st_size, ""))
        else:
            file = _file(pack if status.st_size <= min(bounds.each, room) else None, folder, path)
            left -= file.size
            room -= file.size if file.kept else 0
            files.append(file)
    kept = ""
    if store is not None and pack is not None and any(file.kept for file in files):
        kept = pack.sha256()
        if store.blob(kept) is None:
            store.put_blob(pack.chunks(), sha256=kept, size=pack.size, where="results")
        pack.close()
    return Results(
        folder=os.fspath(folder), files=tuple(files), more=max(len(changed) - bounds.count, 0), pack=kept
    )


def _link(folder: Path, path: str) -> ResultFile:
    try:
        target = os.readlink(f"{os.fspath(folder)}/{path}")
    except OSError:
        target = ""
    return ResultFile(path, 0, sha256(os.fsencode(target)).hexdigest(), link=target)


def _file(pack: Pack | None, folder: Path, path: str) -> ResultFile:
    import hashlib

    try:
        fd = open_inside(folder, path)
    except OSError:
        return ResultFile(path, 0, "")
    start = pack.size if pack else 0
    digest, size = hashlib.sha256(), 0
    try:
        while chunk := os.read(fd, 1 << 20):
            digest.update(chunk)
            size += len(chunk)
            if pack:
                pack.append(chunk)
    finally:
        os.close(fd)
    return ResultFile(path, size, digest.hexdigest(), kept=pack is not None, offset=start)


def open_inside(folder: Path, path: str) -> int:
    """A descriptor of a regular file below folder, no symlink followed on the way. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *parents, name = path.split("/")
        for part in parents:
            deeper = os.open(part, flags | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = deeper
        fd = os.open(name, flags, dir_fd=here)
    finally:
        os.close(here)
    if os.fstat(fd).st_mode & 0o170000 != FILE:
        os.close(fd)
        raise OSError(f"not a regular file: {path}")
    return fd


def chunks_of(store: Store, results: Results, file: ResultFile) -> Iterator[bytes] | None:
    """The bytes of a result from the pack, or from a blob of its own, where it came as one; None when neither is here.

    Raises RecordError record.result-damaged.
    """
    kept = read_kept(store, results, file)
    if kept is not None:
        return iter((kept,))
    path = store.verified_blob(file.sha256) if file.sha256 and not file.link else None
    if path is None:
        return None
    from bareboat.store.blobs import file_chunks

    return file_chunks(path)


def read_kept(store: Store, results: Results, file: ResultFile) -> bytes | None:
    """The kept bytes of a result, verified; None when they were not kept or are gone.

    Raises RecordError record.result-damaged.
    """
    import hashlib

    path = store.blob(results.pack) if file.kept and results.pack else None
    if path is None:
        return None
    with open(path, "rb") as pack:
        pack.seek(file.offset)
        data = pack.read(file.size)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise RecordError(
            "record.result-damaged", "the kept result is not what its digest says", where=file.path
        )
    return data
