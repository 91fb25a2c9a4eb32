"""Snapshots of code: content-addressed, deduplicated between runs, an unchanged folder for the price of its
walk.

    take(store, root, CodeRules(…)) -> Taken                 before the start: reads, hashes; writes nothing
    keep(store, taken) -> None                               after the start (any thread): makes it durable
    snapshot(store, root, rules) -> Taken                    both at once
    taken.snapshot -> record.values.CodeSnapshot             for RunRecord.code; known before keep
    taken.warnings -> tuple[str, ...]                        for the user

Reading is in store/codetree.py:

    materialise(store, code: CodeSnapshot) -> Path           read-only tree of the code, made once
    listing(store, code) -> tuple[Entry, ...]                what is in it
    content(store, entry) -> bytes                           one file of it

A snapshot is an index blob (entries in byte order of their paths, with the pack and offset of each content)
and packs: blobs of concatenated contents, one for each snapshot that brought new ones. Small files thus
cost no inode and no fsync each. The digest is of the canonical manifest alone, so it does not depend on how
contents are packed.
"""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.digests import sha256
from bareboat.record.values import CodeSnapshot
from bareboat.store.codewalk import CodeRules, Found, walk
from bareboat.values import dataclass, field

TYPE_CHECKING = False  # typing itself costs 3 ms at every start
if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.store.codepack import Packed


@dataclass(frozen=True)
class Taken:
    """A snapshot that has been read. cache_key, signature: of the project and of its listing. packed: what
    keep must
    write, None when everything is there already."""

    snapshot: CodeSnapshot
    warnings: tuple[str, ...] = ()
    cache_key: str = ""
    signature: str = ""
    packed: Packed | None = field(default=None, compare=False)


def snapshot(store: Store, root: Path, rules: CodeRules) -> Taken:
    """Take and keep at once."""
    taken = take(store, root, rules)
    keep(store, taken)
    return taken


def take(store: Store, root: Path, rules: CodeRules, now: float | None = None) -> Taken:
    """Read the code under root as it is now. Writes nothing; keep makes it durable.

    A file that changes while it is read is recorded as it was read; one that vanishes is left out. Sockets,
    fifos and devices are skipped. now: seconds since the epoch, for files too young to trust their
    timestamps. Raises RecordError record.code when root cannot be read at all.
    """
    import gc

    collecting = gc.isenabled()
    gc.disable()  # a hundred thousand small values and no cycle: collections would take half of the time
    try:
        return _take(store, root, rules, _clock(now))
    finally:
        if collecting:
            gc.enable()


def _take(store: Store, root: Path, rules: CodeRules, started: int) -> Taken:
    found, unreadable = walk(root, rules)
    scope = f"{rules.only!r}{rules.exclude!r}".encode("utf-8", "surrogateescape")
    key = "code-" + sha256(os.fsencode(root) + b"\0" + scope).hexdigest()[:40]
    signature = _signature(found, unreadable)
    head = store.get_json("cache", key + "-head")
    if isinstance(head, dict) and head.get("signature") == signature:
        known = _known(store, head)
        if known is not None:
            return known
    from bareboat.store.codepack import pack_code

    packed = pack_code(store, root, found, store.get_json("cache", key + "-files"), started)
    warnings = tuple(f"{path} cannot be listed and is not kept with the run" for path in unreadable)
    return Taken(packed.snapshot, (*warnings, *packed.warnings), key, signature, packed)


def _clock(now: float | None) -> int:
    import time

    return time.time_ns() if now is None else int(now * 1e9)


def _signature(found: list[Found], unreadable: tuple[str, ...]) -> str:
    digest = sha256(repr(unreadable).encode("utf-8", "surrogateescape"))
    for f in found:
        digest.update(
            f"{f.path}\0{f.kind}{f.size},{f.mtime},{f.ctime},{f.inode},{f.mode},{f.target}\n".encode(
                "utf-8", "surrogateescape"
            )
        )
    return digest.hexdigest()


def _known(store: Store, head: dict[str, object]) -> Taken | None:
    """The snapshot of a cache head, when it can be trusted and all its blobs are still there."""
    s, warnings = head.get("snapshot"), head.get("warnings")
    if head.get("racy") is not False or not isinstance(s, dict) or not isinstance(warnings, list):
        return None
    try:
        code = CodeSnapshot(
            s["digest"], s["index"], tuple(s["packs"]), s["files"], s["bytes"], tuple(s["left_out"])
        )
    except (KeyError, TypeError):
        return None
    return Taken(code, tuple(warnings)) if all(map(store.blob, (code.index, *code.packs))) else None


def keep(store: Store, taken: Taken) -> None:
    """Write what is new, contents first: a snapshot whose index is there is whole. Idempotent; any thread.

    Raises StoreError when the disk is full.
    """
    packed = taken.packed
    if packed is None:
        return
    if packed.pack.size:
        store.put_blob(
            packed.pack.chunks(), sha256=packed.new_pack, size=packed.pack.size, where="code snapshot"
        )
    packed.pack.close()
    index = taken.snapshot.index
    if not store.blob(index):
        store.put_blob([packed.index], sha256=index, size=len(packed.index), where="code snapshot")
    head = {
        "signature": taken.signature,
        "racy": packed.racy,
        "snapshot": dict(taken.snapshot.__dict__),
        "warnings": list(taken.warnings),
    }
    store.put_json("cache", taken.cache_key + "-files", packed.files)
    store.put_json("cache", taken.cache_key + "-head", head)
