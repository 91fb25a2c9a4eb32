"""Whether a repetition gave the same: identical, within tolerance, or what differs and by how much. Pure.

compare(Pair(old, new), read, tolerance) -> Verdict    records and a reader of kept results
compare_file(path, old_bytes, new_bytes, tolerance) -> FileVerdict
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bareboat.record.gathered import ResultFile
from bareboat.record.tolerance import Mismatch, Tolerance, Worst
from bareboat.record.values import RunRecord
from bareboat.training.values import FOLDER

IDENTICAL = "identical"
WITHIN = "within tolerance"
DIFFERS = "differs"
_RANK = {IDENTICAL: 0, WITHIN: 1, DIFFERS: 2}
_PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin")
_DATED = (".svg", ".pdf", ".ps", ".eps")
Reader = Callable[[RunRecord, ResultFile], "bytes | None"]


@dataclass(frozen=True)
class FileVerdict:
    """One result file. detail: what differs, readable. absolute, relative: the largest difference, where
    numbers
    were compared."""

    path: str
    verdict: str
    detail: str = ""
    absolute: float | None = None
    relative: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The whole: the worst of its files and of the exit code. notes: what else differs; causes: likely ones.
    """

    verdict: str
    files: tuple[FileVerdict, ...] = ()
    notes: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether it counts as the same: identical or within tolerance."""
        return self.verdict != DIFFERS


def compare(old: RunRecord, new: RunRecord, read: Reader, tolerance: Tolerance) -> Verdict:
    """The verdict over exit code and results. read: a kept result's bytes, None where they were not kept."""
    from bareboat.record.causes import causes

    notes: list[str] = []
    if old.exit_code != new.exit_code:
        notes.append(f"exit code {old.exit_code} became {new.exit_code}")
    before, after = _compared(old), _compared(new)
    files = [
        _file(path, before.get(path), after.get(path), _Both(old, new, read, tolerance))
        for path in sorted({*before, *after})
    ]
    more = (old.results.more, new.results.more)
    if more[0] != more[1]:
        notes.append(f"{more[0]} files that were not listed became {more[1]}")
    elif more[0]:
        notes.append(f"{more[0]} more files were counted and not compared")
    verdict = max((file.verdict for file in files), key=_RANK.__getitem__, default=IDENTICAL)
    if old.exit_code != new.exit_code or more[0] != more[1]:
        verdict = DIFFERS
    return Verdict(verdict, tuple(files), tuple(notes), () if verdict == IDENTICAL else causes(old, new))


def _compared(record: RunRecord) -> dict[str, ResultFile]:
    """Its results but for the checkpoints of an unattended run, which are listed and not read: which there are depends
    on when it was interrupted.
    """
    return {file.path: file for file in record.results.files
            if file.sha256 or not file.path.startswith(f"{FOLDER}/")}


@dataclass(frozen=True)
class _Both:
    old: RunRecord
    new: RunRecord
    read: Reader
    tolerance: Tolerance


def _file(path: str, old: ResultFile | None, new: ResultFile | None, both: _Both) -> FileVerdict:
    if old is None or new is None:
        return FileVerdict(path, DIFFERS, "not there before" if old is None else "not there any more")
    if bool(old.link) != bool(new.link):
        return FileVerdict(path, DIFFERS, "a link became a file" if old.link else "a file became a link")
    if old.sha256 and old.sha256 == new.sha256:
        return FileVerdict(path, IDENTICAL)
    if not old.sha256 or not new.sha256:
        return FileVerdict(path, DIFFERS, "it could not be read, so it is not known to be the same")
    if old.link:
        return FileVerdict(path, DIFFERS, f"a link to {old.link} became one to {new.link}")
    a, b = both.read(both.old, old), both.read(both.new, new)
    if a is None or b is None:
        return FileVerdict(
            path,
            DIFFERS,
            f"{old.size} bytes became {new.size}"
            if old.size != new.size
            else "other bytes; the file was not kept, so how much it differs is not known",
        )
    return compare_file(path, a, b, both.tolerance)


def compare_file(path: str, old: bytes, new: bytes, tolerance: Tolerance) -> FileVerdict:
    """Two contents of one file by what its name says it is: tables, JSON and arrays by value, the rest by
    bytes.
    """
    if old == new:
        return FileVerdict(path, IDENTICAL)
    worst = Worst(tolerance)
    try:
        if (
            path.lower().endswith(".png")
            and (picture := _picture(old)) is not None
            and picture == _picture(new)
        ):
            return FileVerdict(path, WITHIN, "the same picture; its metadata (date, program) differ")
        if not _by_value(path.lower(), old, new, worst):
            return FileVerdict(path, DIFFERS, _bytes(path.lower(), old, new))
    except Mismatch as mismatch:
        return FileVerdict(path, DIFFERS, str(mismatch).strip())
    if not worst.changed:
        return FileVerdict(path, WITHIN, "the same values, written differently")
    if worst.beyond:
        many = (
            f"{worst.beyond} of {worst.changed} changed numbers beyond tolerance; "
            if worst.changed > 1
            else ""
        )
        return FileVerdict(path, DIFFERS, f"{many}{worst.first}", worst.absolute, worst.relative)
    count = "1 number differs" if worst.changed == 1 else f"{worst.changed} numbers differ"
    return FileVerdict(path, WITHIN, f"{count} within tolerance", worst.absolute, worst.relative)


def _by_value(name: str, old: bytes, new: bytes, worst: Worst) -> bool:
    """Compare by value where the kind of file allows it; False where only bytes can be compared."""
    if name.endswith((".csv", ".tsv")):
        from bareboat.record.tolerance import tables

        a, b = _text(old), _text(new)
        semicolons = ";" in a.partition("\n")[0] and "," not in a.partition("\n")[0]
        tables(a, b, "\t" if name.endswith(".tsv") else ";" if semicolons else ",", worst)
        return True
    if name.endswith((".json", ".jsonl", ".ndjson")):
        from bareboat.record.tolerance import documents

        lines = not name.endswith(".json")
        documents(_json(old, lines), _json(new, lines), worst)
        return True
    if name.endswith((".npy", ".npz")):
        from bareboat.record import npy

        if name.endswith(".npy"):
            npy.arrays(old, new, "", worst)
        else:
            npy.archives(old, new, worst)
        return True
    return False


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Mismatch("other bytes, and not UTF-8 text that could be compared by value") from None


def _json(data: bytes, lines: bool) -> object:
    import json

    try:
        text = _text(data)
        return [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Mismatch(f"not JSON that could be compared by value ({error})") from None


def _bytes(name: str, old: bytes, new: bytes) -> str:
    size = f"{len(old)} bytes became {len(new)}" if len(old) != len(new) else "other bytes of the same size"
    if name.endswith(_DATED):
        return f"{size}; programs write the date into such files (matplotlib: metadata={{'Date': None}})"
    if name.endswith(_PICKLES):
        return f"{size}; such files are compared by their bytes alone, never loaded"
    return size


def _picture(data: bytes) -> bytes | None:
    """A PNG without its text and time chunks (PNG specification, 11.3.4), None when it is not one."""
    import struct

    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    kept, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"tIME"):
            kept.append(data[at : at + 12 + length])
        at += 12 + length
    return b"".join(kept)
