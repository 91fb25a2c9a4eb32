"""What is in a layer, entry by entry in the order of its tar: whatever a merged tree or an inventory needs. Pure.

A layer's tree in the store holds `content/`, its files by number, and `entries`, this list: no name that others chose
reaches the disk before all layers were merged in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bareboat.errors import ArchiveError, StoreError
from bareboat.image import tarstream
from bareboat.image.tarstream import Member

FILE, DIRECTORY, SYMLINK, HARDLINK, OTHER = "f", "d", "l", "h", "o"
WHITEOUT, OPAQUE = "w", "q"  # removes this path, or all in this directory, of lower layers
_KINDS = {tarstream.FILE: FILE, tarstream.DIRECTORY: DIRECTORY, tarstream.SYMLINK: SYMLINK,
          tarstream.HARDLINK: HARDLINK, tarstream.OTHER: OTHER}
_MARK, _OPAQUE = ".wh.", ".wh..wh..opq"
_LATEST = (1 << 34) - 1  # what ext4 can hold


class LayerEntry(NamedTuple):
    """kind: of the above; mode: as it was, with setuid, setgid, sticky; link: a symbolic link's target as text, a hard
    link's as path. number: of a file's content; notes: what is not on the disk, {} mostly: xattrs ({name: value}),
    device ([type flag, major, minor]).
    """

    kind: str
    path: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    link: str = ""
    number: int = -1
    size: int = 0
    notes: dict[str, Any] = {}  # noqa: RUF012 - never written to


def content_path(number: int) -> str:
    """Where a layer's tree holds the content of this number. Few directories: ext4 puts each one's files elsewhere, and
    making them then takes twice the time.
    """
    return f"content/{number >> 16:x}/{number:x}"


def entry_of(member: Member, number: int, where: str) -> LayerEntry | None:
    """The entry of a tar's member; None for what AUFS left behind. Whiteouts (layer.md) are known by name alone.

    Raises ArchiveError "layer.whiteout" for a name beginning with .wh. that removes nothing that can be.
    """
    kind, path = _KINDS[member.kind], member.path
    if _MARK in path:
        parts = path.split("/")
        if any(p.startswith(".wh..wh.") and p != _OPAQUE for p in parts):
            return None
        name = parts.pop()
        if any(p.startswith(_MARK) for p in parts) or name in (_MARK, _MARK + ".", _MARK + ".."):
            raise ArchiveError("layer.whiteout", f"{path[:200]!r} is the whiteout of nothing", where=where,
                               hint="the layer is malformed or malicious; nothing of it is kept")
        if name == _OPAQUE:
            return LayerEntry(OPAQUE, "/".join(parts))
        if name.startswith(_MARK):
            return LayerEntry(WHITEOUT, "/".join([*parts, name[len(_MARK) :]]))
    notes: dict[str, Any] = {}
    if member.xattrs:
        notes["xattrs"] = dict(member.xattrs)
    if member.device is not None:
        notes["device"] = list(member.device)
    return LayerEntry(kind, path, member.mode, member.uid, member.gid, min(member.mtime, _LATEST), member.link,
                      number if kind == FILE else -1, member.size if kind == FILE else 0, notes)


def dump(entry: LayerEntry) -> bytes:
    """A line of the list."""
    return json.dumps(entry if entry.notes else entry[:-1], separators=(",", ":")).encode("ascii") + b"\n"


def parse(lines: Iterable[bytes], where: str) -> Iterator[LayerEntry]:
    """The entries of a list. Raises StoreError "store.damaged"."""
    decode = json.JSONDecoder().raw_decode
    for line in lines:
        try:
            yield LayerEntry(*decode(line.decode("ascii"))[0])
        except (ValueError, TypeError):
            raise StoreError("store.damaged", "the list of a layer's entries has changed", where=where,
                             hint="bareboat check --repair removes it; it is made again when needed") from None
