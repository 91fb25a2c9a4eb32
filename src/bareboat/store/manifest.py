"""What is in a tree, as its writer saw it go by: kinds, modes, sizes, checksums; and what differs on disk
today.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, cast

from bareboat.errors import StoreError

_MAGIC = b"bareboat tree 1 "
_CHUNK = 1 << 20


class Entry(NamedTuple):
    """kind: "d", "f" or "l"; size in bytes (a link's: of its target); crc of content or target, None: not
    known.
    """

    kind: str
    mode: int
    size: int
    crc: int | None


def _crc32() -> Callable[[bytes, int], int]:
    try:
        from isal import isal_zlib  # ten times zlib's speed: unpacking is not to wait for a checksum

        return cast("Callable[[bytes, int], int]", isal_zlib.crc32)
    except ImportError:
        import zlib

        return zlib.crc32


crc32 = _crc32()


def dump(entries: Mapping[str, Entry]) -> bytes:
    """The manifest's bytes: sorted, NUL between records, the sha256 of the rest in front."""
    lines = []
    for path in sorted(entries):
        kind, mode, size, crc = entries[path]
        lines.append(f"{kind} {mode:o} {size} {'-' if crc is None else format(crc, 'x')} {path}")
    body = os.fsencode("\0".join(lines))
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def parse(data: bytes, where: str) -> dict[str, Entry]:
    """The entries of a manifest. Raises StoreError store.damaged when a byte of it has changed."""
    head, _, body = data.partition(b"\n")
    if (
        not head.startswith(_MAGIC)
        or head[len(_MAGIC) :].decode("ascii", "replace") != hashlib.sha256(body).hexdigest()
    ):
        raise StoreError(
            "store.damaged",
            "the manifest of a tree has changed",
            where=where,
            hint="remove this tree, it is made again when needed",
        )
    entries = {}
    for line in os.fsdecode(body).split("\0"):
        kind, mode, size, crc, path = line.split(" ", 4)
        entries[path] = Entry(kind, int(mode, 8), int(size), None if crc == "-" else int(crc, 16))
    return entries


def differences(root: str, entries: Mapping[str, Entry], *, content: bool) -> Iterator[str]:
    """What of a tree is not as it was written, one line each: missing, added, mode, size; with content,
    bytes too.
    """
    from bareboat.store.lending import true_modes

    seen, shut = set(), []
    meant = true_modes(root)
    pending = [""]
    while pending:
        path = pending.pop()
        expected = entries.get(path)
        full = f"{root}/{path}" if path else root
        if expected is None:
            yield f"{path}: not of this tree"
            continue
        seen.add(path)
        try:
            found = _look(full, expected, content)
            if path in meant:
                found = found._replace(mode=meant[path])
            if found.kind == "d":
                names = os.listdir(full)
                pending.extend(f"{path}/{name}" if path else name for name in names)
        except PermissionError:  # its own mode keeps us out, as the archive wanted
            shut.append(path + "/")
            continue
        except OSError as error:
            yield f"{path}: {error.strerror}"
            continue
        for name, was, now in zip(("kind", "mode", "size", "content"), expected, found, strict=True):
            if was is not None and now is not None and was != now:
                yield f"{path}: {name} differs"
                break
    for path in entries.keys() - seen:
        if not path.startswith(tuple(shut)):
            yield f"{path}: missing"


def _look(full: str, expected: Entry, content: bool) -> Entry:
    status = os.lstat(full)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return Entry("d", mode, 0, 0)
    if stat.S_ISLNK(status.st_mode):
        target = os.fsencode(os.readlink(full))
        return Entry("l", 0o777, len(target), crc32(target, 0))
    if not stat.S_ISREG(status.st_mode):
        return Entry("?", mode, status.st_size, None)
    if not content or expected.crc is None:
        return Entry("f", mode, status.st_size, None)
    checksum = 0
    with open(full, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            checksum = crc32(chunk, checksum)
    return Entry("f", mode, status.st_size, checksum)
