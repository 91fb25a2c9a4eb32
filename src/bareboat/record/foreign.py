"""What a record of somebody else's may say. Pure.

The codec makes sure of types; here is what types do not say: which blobs a record may name, which numbers and texts
can be worked with, and that nothing in it is a path out of somewhere. What it asks of the machine that repeats it
(mounts, variables, network) is not judged here but in verbs/rerun.py, where somebody can be asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from bareboat.errors import ArchiveError, RecordError
from bareboat.image.reference import is_digest
from bareboat.record import artifact as kinds
from bareboat.record.artifact import Artifact
from bareboat.record.states import final
from bareboat.record.values import RunRecord
from bareboat.values import Any, replace

DATA_FROM_MOST = 2000  # characters
_TEXT_MOST = 1 << 20
_NUMBER_MOST = 1 << 62
_ID = frozenset("0123456789abcdef")
_KINDS = ("code", "data", "results", "mount", "volume", "anonymous", "cache", "startup")


def read_record(data: bytes, artifact: Artifact, where: str) -> RunRecord:
    """The record of an artifact, which belongs to that artifact's image and names that artifact's blobs alone.

    Raises RecordError "record.malformed", "record.format", "record.unfinished", ArchiveError "artifact.missing-blob",
    "artifact.subject".
    """
    document = _document(data, where)
    record = RunRecord.from_document(document, where)
    for problem in _problems(record):
        raise _bad(problem, where)
    if not final(record.state):
        raise RecordError("record.unfinished", f"the run is {record.state}: it had not ended when it was sent",
                          where=where, hint="ask for it again")
    if record.manifest != artifact.subject.digest:
        raise ArchiveError("artifact.subject", f"the run says that it ran in {record.manifest or 'no image'}, and is "
                           f"attached to {artifact.subject.digest}", where=where,
                           hint="it is another image's run; ask for it again")
    for what, digest, kind in _named(record):
        if digest not in {p.sha256 for p in artifact.of(kind)}:
            raise ArchiveError("artifact.missing-blob", f"the record names {what} {digest[:80]!r}, which is not in the "
                               "artifact", where=where, hint="it was not sent whole; ask for it again")
    pack = next((p.size for p in artifact.of(kinds.RESULTS) if p.sha256 == record.results.pack), 0)
    kept = 0
    for file in record.results.files:
        kept += file.size if file.kept else 0
        if file.kept and (file.offset < 0 or file.offset + file.size > pack):
            raise _bad(f"the result {file.path!r} lies outside of the results kept", where)
    if kept > pack:
        raise _bad("kept results overlap", where)
    return replace(record, origin="", log=record.log if artifact.of(kinds.LOG) else "")


def _named(record: RunRecord) -> Iterator[tuple[str, str, str]]:
    yield "the plan", record.plan_blob, kinds.PLAN
    for name, digest in record.locks:
        yield name, digest, kinds.LOCK
    if record.code is not None:
        yield "the code's index", record.code.index, kinds.CODE_INDEX
        for digest in record.code.packs:
            yield "code", digest, kinds.CODE_PACK
    if record.results.pack:
        yield "results", record.results.pack, kinds.RESULTS
    for mount in record.mounts:
        if mount.kind == "startup":
            yield "the startup script", mount.within, kinds.STARTUP
    for target, digest in record.overlays:
        yield f"extensions at {target}", digest.removeprefix(OVERLAY_KEY), kinds.OVERLAY


OVERLAY_KEY = "overlay-"  # and the sha256 of its blob: the tree key of extensions that came along


def _problems(record: RunRecord) -> Iterator[str]:
    """What cannot be worked with, in words."""
    if len(record.id) != 12 or not _ID.issuperset(record.id):
        yield f"{record.id[:40]!r} is no id of a run"
    if not is_digest(record.plan) or (record.code is not None and not is_digest(record.code.digest)):
        yield "a plan or code without a digest"
    if record.rerun_of and (len(record.rerun_of) != 12 or not _ID.issuperset(record.rerun_of)):
        yield f"{record.rerun_of[:40]!r} is no id of a run"
    for moment in (record.created, record.started, record.ended):
        if moment and not _is_moment(moment):
            yield f"{moment[:40]!r} is no time"
    if not record.argv:
        yield "there is no program in it"
    if record.log not in ("", "log"):
        yield f"the log is at {record.log[:80]!r}"
    if record.network not in ("host", "none"):
        yield f"the network is {record.network[:40]!r}"
    for number in (record.uid, record.gid):
        if not 0 <= number < 2**31:
            yield f"{number} is no user"
    for path in (record.cwd, record.home, *_targets(record), *(t for t, _ in record.overlays)):
        if not _inside(path):
            yield f"{path[:200]!r} is no absolute path"
    targets = _targets(record)
    if len(set(targets)) != len(targets):
        yield "two mounts at one place"
    for mount in record.mounts:
        if mount.kind not in _KINDS:
            yield f"a mount of the kind {mount.kind[:40]!r}"
        if mount.within and not _relative(mount.within):
            yield f"code at {mount.within[:200]!r}"
        if mount.kind == "startup" and (len(mount.within) != 64 or not _ID.issuperset(mount.within)):
            yield f"a script of digest {mount.within[:80]!r}"
    for name, _ in (*record.env, *((name, "") for name in record.withheld)):
        if not name or "=" in name:
            yield f"a variable called {name[:80]!r}"
    for memory in record.tmpfs:
        if not 0 <= memory.mode <= 0o1777 or (memory.size is not None and not 0 < memory.size < _NUMBER_MOST):
            yield f"a tmpfs of {memory.size} bytes with mode {memory.mode:o}"
    limits = record.limits
    for limit in (limits.memory, limits.cpus, limits.pids, limits.shm_size, limits.scratch_size):
        if limit is not None and limit <= 0:
            yield f"a limit of {limit}"
    for file in record.results.files:
        if not _relative(file.path) or file.size < 0:
            yield f"a result called {file.path[:200]!r}"
    for source in record.data:
        f = source.fingerprint
        if not _inside(source.target) or min(f.count, f.bytes, f.hashed) < 0 or len(f.files) > max(f.count, 0):
            yield f"data at {source.target[:200]!r} that cannot be"
    if record.results.more < 0 or record.seconds < 0 or (record.exit_code or 0) < 0:
        yield "a count below 0"
    if len(record.data_from) > DATA_FROM_MOST:
        yield "a longer note on the data than is allowed"


def _targets(record: RunRecord) -> list[str]:
    return [*(m.target for m in record.mounts), *(t.target for t in record.tmpfs)]


def _is_moment(text: str) -> bool:
    """As values.timestamp writes it."""
    import re

    return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", text) is not None


def _inside(path: str) -> bool:
    """An absolute path that says what it means."""
    return path.startswith("/") and (path == "/" or _relative(path[1:]))


def _relative(path: str) -> bool:
    return all(part not in ("", ".", "..") for part in path.split("/"))


def _document(data: bytes, where: str) -> object:
    """JSON that can be read in one way only, of texts and numbers that can be worked with."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _bad("a key stands in it twice", where)
        return found

    def refuse(word: str) -> None:
        raise _bad(f"{word} is no JSON", where)

    if len(data) > kinds.RECORD_MOST:
        raise _bad(f"a record of {len(data):,} bytes", where)
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise _bad("is not JSON", where) from None
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.keys()
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str):
            if len(value) > _TEXT_MOST or "\0" in value or not _encodable(value):
                raise _bad(f"the text {value[:40]!r} cannot be a name, a path or a variable", where)
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise _bad("a number without end", where)
        elif isinstance(value, int) and abs(value) >= _NUMBER_MOST:
            raise _bad("a number that is too large", where)
    return document


def _encodable(text: str) -> bool:
    """Whether the system can be given it: UTF-8, and bytes that are not as Python writes them."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def check_code(data: bytes, record: RunRecord, sizes: dict[str, int], where: str) -> None:
    """Refuse an index of code whose contents lie outside of the record's packs. sizes: of the packs, by sha256.

    What its paths may be is the tree writer's affair, and that it is the code of the record its digest's.
    Raises RecordError "record.code-damaged".
    """
    document = _document(data, where)
    rows = document.get("entries") if isinstance(document, dict) else None
    packs = document.get("packs") if isinstance(document, dict) else None
    if record.code is None or not isinstance(rows, list) or not isinstance(packs, list):
        raise _bad_code("is no index", where)
    if not all(isinstance(p, str) for p in packs) or not set(packs) <= set(record.code.packs):
        raise _bad_code("names packs that are not the record's", where)
    total = 0
    for row in rows:
        if not isinstance(row, list) or len(row) < 2 or not all(isinstance(x, str) for x in row[:2]):
            raise _bad_code("an entry without kind and path", where)
        shape = [type(x) for x in row[2:]]
        if row[0] == "f":
            if shape != [int, str, int, int, int]:
                raise _bad_code(f"the file {row[1][:200]!r} is described wrongly", where)
            mode, _, size, pack, offset = row[2:]
            most = sizes.get(packs[pack], 0) if 0 <= pack < len(packs) else 0
            if mode not in (0o644, 0o755) or pack >= len(packs) or min(size, offset) < 0 or (
                    pack >= 0 and offset + size > most):
                raise _bad_code(f"the content of {row[1][:200]!r} lies outside of its pack", where)
            total += size
        elif (row[0], shape) not in (("l", [str]), ("d", [])):
            raise _bad_code(f"{row[1][:200]!r} is neither file, link nor folder", where)
    if total > CODE_MOST:
        raise _bad_code(f"{total:,} bytes of code", where)


CODE_MOST = 4 << 30  # bytes of code that a snapshot of somebody else's may unpack to


def _bad(what: str, where: str) -> RecordError:
    return RecordError("record.malformed", what, where=where,
                       hint="whoever made it is at fault; nothing of it was kept")


def _bad_code(what: str, where: str) -> RecordError:
    return RecordError("record.code-damaged", f"the code: {what}", where=where,
                       hint="whoever made it is at fault; ask for it again")
