"""The metrics of a run, from what its program wrote into its results folder: tables, event files, MLflow's file store.

Bounded in memory and time whatever the folder holds; what was left out for it is told.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterator
from pathlib import Path

from bareboat.store.pieces import lines, opened, places
from bareboat.training.events import MARK, SEARCHED, events, sampled
from bareboat.training.scalars import ENDINGS, TRAINER, Table, document, values
from bareboat.training.series import Found, Track
from bareboat.training.sources import Source, named
from bareboat.values import dataclass

DEEP, LOOKED_AT = 8, 200_000  # folders below; entries altogether
MOST = {"tables": 32, "JSON documents": 16, "event files": 64, "metrics of MLflow": 1000}  # the newest of each kind
BYTES, ALTOGETHER = 16 << 20, 32 << 20  # that are read of one file, of all of them
LEAST = 1 << 20  # of one, however many there are
DOCUMENT = 8 << 20  # bytes of a JSON document, which is read as one
NAMES = 2000  # metrics in all
_CHECKPOINT = re.compile(r"checkpoint-\d+")


@dataclass(frozen=True)
class File:
    """A file that may have metrics. kind: of MOST; parts: its path below the folder; base: how many of them lead
    to MLflow's folder of metrics, 0 where it is none of its.
    """

    kind: str
    path: str
    parts: tuple[str, ...]
    written: int
    size: int
    base: int = 0


def metrics_of(folder: Path) -> Found:
    """All metrics of a results folder; what cannot be read is left out."""
    notes: list[str] = []
    chosen: list[File] = []
    files = list(_newest_state(_files(os.fspath(folder), notes)))
    for kind, most in MOST.items():
        of = [file for file in files if file.kind == kind]
        chosen += heapq.nlargest(most, of, key=lambda file: (file.written, file.path))
        if len(of) > most:
            notes.append(f"{len(of) - most:,} older {kind} were not read")
    whole = max(LEAST, min(BYTES, ALTOGETHER // max(len(chosen), 1)))
    sources: dict[tuple[str, ...], Source] = {}
    for file in sorted(chosen, key=lambda file: (_begun(file), file.written, file.path)):
        try:
            fd, size = opened(file.path)
        except OSError:
            continue
        try:
            note = _READERS[file.kind](fd, size, whole, file, sources)
        except OSError:
            continue  # what there was of it stays
        finally:
            os.close(fd)
        if note:
            notes.append(f"{'/'.join(file.parts)} ({size / 1e6:,.0f} MB): {note}")
    series = named(list(sources.values()))
    if len(series) > NAMES:
        notes.append(f"{len(series) - NAMES:,} of {len(series):,} metrics are left out")
    return Found(tuple(series[:NAMES]), tuple(notes))


def _files(folder: str, notes: list[str]) -> Iterator[File]:
    """Breadth first. In folders of checkpoints only the state of a Trainer counts."""
    left = LOOKED_AT
    waiting: list[tuple[str, tuple[str, ...], bool, int]] = [(folder, (), False, 0)]
    for path, parts, checkpoints, base in waiting:
        run, folders = False, []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        notes.append(f"only the first {LOOKED_AT:,} names in the results were looked at")
                        return
                    run = run or entry.name == "meta.yaml"
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                        continue
                    kind = "metrics of MLflow" if base else _kind(entry.name, checkpoints)
                    if kind and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        yield File(kind, entry.path, (*parts, entry.name), status.st_mtime_ns, status.st_size, base)
        except OSError:
            continue
        if len(parts) < DEEP:
            waiting += [(f"{path}/{name}", (*parts, name), checkpoints or name == "checkpoints",
                         base or (len(parts) + 1 if run and name == "metrics" else 0))
                        for name in sorted(folders) if not name.startswith(".")]


def _kind(name: str, checkpoints: bool) -> str:
    if name == TRAINER:
        return "JSON documents"
    if checkpoints:
        return ""
    if name.startswith(MARK):
        return "event files"
    low = name.lower()
    return ("JSON documents" if low.endswith(".json") else "tables") if low.endswith(ENDINGS) else ""


def _newest_state(files: Iterator[File]) -> Iterator[File]:
    """Of the states that a Trainer left in its folder and in its checkpoints the newest: each has the whole history."""
    newest: dict[tuple[str, ...], File] = {}
    for file in files:
        if file.parts[-1] != TRAINER:
            yield file
            continue
        above = file.parts[:-1]
        key = above[:-1] if above and _CHECKPOINT.fullmatch(above[-1]) else above
        if key not in newest or newest[key].written < file.written:
            newest[key] = file
    yield from newest.values()


def _begun(file: File) -> int:
    """When an event file was begun, as its name says: an attempt goes on in a file of its own."""
    number = file.parts[-1].removeprefix(MARK).partition(".")[0]
    return int(number) if file.kind == "event files" and number.isdecimal() and len(number) < 20 else 0


Sources = dict[tuple[str, ...], Source]


def _table(fd: int, size: int, whole: int, file: File, sources: Sources) -> str:
    table = Table(file.parts[-1])
    bytes_read = 0
    for at, text in lines(fd, size, whole):
        if bytes_read and table.row:  # the rows between are as long as those that were read
            table.row = max(table.row, at * table.read / bytes_read)
        table.add(text)
        bytes_read += len(text)
    sources[file.parts] = Source(file.parts, table.tracks)
    return _left(table, bytes_read if size > whole else 0)


def _left(table: Table, bytes_read: int) -> str:
    notes = [f"{bytes_read / 1e6:.1f} MB of it were read, from all over it"] if bytes_read else []
    return "; ".join(notes + [f"its first {len(table.tracks):,} columns alone"] * table.more)


def _json(fd: int, size: int, whole: int, file: File, sources: Sources) -> str:
    """A document, or a line an object all the same (detectron2's metrics.json)."""
    if not size:
        return ""
    first, newline, _ = os.pread(fd, DOCUMENT, 0).partition(b"\n")
    if newline and _an_object(first):
        return _table(fd, size, whole, file, sources)
    if size > min(DOCUMENT, whole):
        return "too large a JSON document to be read"
    table = document(os.pread(fd, size, 0).decode("utf-8", "replace").removeprefix("\ufeff"), file.parts[-1])
    if table is None:
        return ""
    parts = file.parts
    if file.parts[-1] == TRAINER and len(parts) > 1 and _CHECKPOINT.fullmatch(parts[-2]):
        parts = (*parts[:-2], TRAINER)
    sources[parts] = Source(parts, table.tracks)
    return _left(table, 0)


def _an_object(line: bytes) -> bool:
    import json

    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _events(fd: int, size: int, whole: int, file: File, sources: Sources) -> str:
    """Half as much as of others: in Python checksums take their time."""
    tracks = sources.setdefault(file.parts[:-1], Source(file.parts[:-1])).tracks
    large = size > whole // 2
    found = sampled(lambda at, count: os.pread(fd, count, at), places(size, SEARCHED), size) if large else \
        events(os.pread(fd, size, 0))
    for tag, step, value in found:
        track = tracks.get(tag)
        if track is None:
            if len(tracks) >= NAMES:
                continue
            track = tracks[tag] = Track()
        track.add(track.count, step, value)
    return "read in some places all over it" if large else ""


def _values(fd: int, size: int, whole: int, file: File, sources: Sources) -> str:
    run = file.parts[:file.base - 1]
    track = Track()
    for _, text in lines(fd, size, whole):
        values(text, track)
    if track.count:
        sources.setdefault(run, Source(run)).tracks["/".join(file.parts[file.base:])] = track
    return "read in some places all over it" if size > whole else ""


_READERS = {"tables": _table, "JSON documents": _json, "event files": _events, "metrics of MLflow": _values}
