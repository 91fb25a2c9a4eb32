"""Reading snapshots of code: what is in one, one content of it, and all of it as a read-only tree."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bareboat.errors import RecordError
from bareboat.record.values import CodeSnapshot
from bareboat.store.codepack import FORMAT, Entry, canonical_digest, index_bytes
from bareboat.values import replace

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter


def listing(store: Store, code: CodeSnapshot) -> tuple[Entry, ...]:
    """Every entry of the snapshot in byte order of paths.

    Raises RecordError: record.code-gone when the store does not have it, record.code-damaged when its index
    is not what the digest says.
    """
    path = store.blob(code.index)
    if path is None:
        raise RecordError(
            "record.code-gone", "the store no longer has the code of this run", where=code.digest
        )
    try:
        entries = tuple(
            _entry(row, document["packs"]) for document in [_document(path)] for row in document["entries"]
        )
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise RecordError(
            "record.code-damaged", f"the index of the code cannot be read ({error})", where=str(path)
        ) from None
    if canonical_digest(entries) != code.digest:
        raise RecordError(
            "record.code-damaged", "the code's index is not what the record's digest says", where=code.digest
        )
    return entries


def _document(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError("unknown format")
    return document


def _entry(row: list[Any], packs: list[str]) -> Entry:
    kind, path = row[0], row[1]
    if kind == "f":
        return Entry(
            "f",
            path,
            int(row[2]),
            str(row[3]),
            "",
            int(row[4]),
            packs[row[5]] if row[5] >= 0 else "",
            int(row[6]),
        )
    return Entry(kind, path, target=row[2]) if kind == "l" else Entry("d", path)


def content(store: Store, entry: Entry) -> bytes:
    """The bytes of a file of a snapshot, verified. RecordError: record.code-gone, record.code-damaged."""
    data = b""
    if entry.size:
        path = store.blob(entry.pack) if entry.pack else None
        if path is None:
            raise RecordError(
                "record.code-gone",
                "the store does not have this file's content",
                where=entry.path,
                hint="it was too large to be kept, or its packs were removed",
            )
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(fd, entry.size, entry.offset)
            while len(data) < entry.size:
                more = os.pread(fd, entry.size - len(data), entry.offset + len(data))
                if not more:
                    break
                data += more
        finally:
            os.close(fd)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise RecordError(
            "record.code-damaged", "the content kept is not what its digest says", where=entry.path
        )
    return data


def repack(store: Store, code: CodeSnapshot) -> CodeSnapshot:
    """The same code in one pack with nothing else in it, in the store. A snapshot's own packs hold what other runs of
    the project had as well, which nobody is to be given by accident. Idempotent; the digest stays.

    Raises RecordError as content: code that was too large to be kept cannot be given on.
    """
    from bareboat.store.packs import Pack

    pack, entries = Pack(store.home), listing(store, code)
    offsets: dict[str, int] = {}
    for entry in entries:
        if entry.kind == "f" and entry.size and entry.sha256 not in offsets:
            offsets[entry.sha256] = pack.size
            pack.append(content(store, entry))
    own = pack.sha256() if pack.size else ""
    packs = (own,) if own else ()
    if own:
        store.put_blob(pack.chunks(), sha256=own, size=pack.size, where="code snapshot")
    pack.close()
    placed = [
        replace(e, pack=own, offset=offsets[e.sha256]) if e.kind == "f" and e.size else replace(e, pack="")
        for e in entries
    ]
    index = store.put_blob([index_bytes(placed, packs)], where="code snapshot")
    return replace(code, index=index, packs=packs)


def materialise(store: Store, code: CodeSnapshot, points: tuple[tuple[str, bool], ...] = ()) -> Path:
    """The code as a read-only tree of the store, made once. Atomic; RecordError as listing and content.

    points: (path in it, whether a directory) that something will be mounted on: results and data that lie in the code's
    folder are in no snapshot, and in a read-only tree no engine can make a place for them. Where one is missing, the
    tree is another one, with them. A file that was too large to be kept is RecordError record.code-gone: code with a
    hole in it is not the code.
    """
    key = "code-" + code.digest.partition(":")[2]
    tree = store.tree(key)
    if tree is not None and all(os.path.lexists(tree / path) for path, _ in points):
        return tree
    entries = listing(store, code)
    missing = _missing(entries, points)
    if missing:
        key += "-" + hashlib.sha256(json.dumps(missing).encode()).hexdigest()[:16]

    def fill(writer: TreeWriter) -> None:
        for entry in entries:
            if entry.kind == "f":
                writer.file(entry.path, entry.mode, [content(store, entry)])
            elif entry.kind == "l":
                writer.symlink(entry.path, entry.target)
            else:
                writer.directory(entry.path)
        for path, directory in missing:
            if directory:
                writer.directory(path)
            else:
                writer.file(path, 0o644, [b""])

    return store.make_tree(key, fill)


def _missing(entries: tuple[Entry, ...], points: tuple[tuple[str, bool], ...]) -> tuple[tuple[str, bool], ...]:
    """The points for which there is room and nothing there."""
    kinds = {entry.path: entry.kind for entry in entries}
    parents = {parent for path in kinds for parent in _parents(path)}
    return tuple(sorted({(path, directory) for path, directory in points
                         if path not in kinds and path not in parents and not {"", ".", ".."} & {*path.split("/")}
                         and all(kinds.get(parent, "d") == "d" for parent in _parents(path))}))


def _parents(path: str) -> list[str]:
    return [path[:at] for at, letter in enumerate(path) if letter == "/"]
