"""volume: the named volumes of the store: listed, made, looked at, removed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bareboat.errors import BareboatError, StoreError
from bareboat.record.values import timestamp
from bareboat.verbs.collaborators import Work

if TYPE_CHECKING:
    from bareboat.store.volumes import Volume


@dataclass(frozen=True)
class Shown:
    """A volume as it is told. bytes, files: of what is in it; used_by: runs and containers that have it; in_use:
    whether there are any, or a process that holds it.
    """

    name: str
    path: str
    created: str
    labels: Mapping[str, str]
    filled: str
    bytes: int
    files: int
    in_use: bool
    used_by: tuple[str, ...]


def volumes(work: Work, names: Sequence[str] | None = None) -> list[Shown]:
    """Every volume, by name, or those named. Raises StoreError "volume.missing"."""
    found = work.store.volumes.all()
    if names is not None:
        there = {volume.name: volume for volume in found}
        for name in names:
            if name not in there:
                raise StoreError("volume.missing", f"there is no volume {name!r}",
                                 hint="bareboat volume ls shows those there are")
        found = [there[name] for name in names]
    used = work.store.volumes.used() if found else set()
    return [_shown(volume, volume.name in used, work) for volume in found]


def create(name: str, labels: Mapping[str, str], work: Work) -> str:
    """Make a volume; idempotent, as Docker's. name "": one is chosen. Returns the name. Raises StoreError."""
    name = name or os.urandom(16).hex()
    return work.store.volumes.make(name, labels, timestamp(time.time())).name


def remove(name: str, work: Work, *, force: bool = False) -> bool:
    """Remove a volume with all that is in it; force: one that is not there is no error, and False. Raises StoreError
    "volume.in-use" with the runs that use it, "volume.missing".
    """
    listed = users(name, work)
    try:
        if listed:
            raise StoreError("volume.in-use", "by a container")
        work.store.volumes.remove(name)
    except StoreError as error:
        if error.code == "volume.missing" and force:
            return False
        if error.code != "volume.in-use":
            raise
        raise StoreError(error.code, f"the volume {name!r} is used by {', '.join(listed) or 'another process'}",
                         hint="stop what runs, and remove what is listed: bareboat ps -a, bareboat rm") from None
    return True


def prune(work: Work) -> list[Shown]:
    """Remove every volume that nothing uses; those that went."""
    gone = []
    for volume in volumes(work):
        if not volume.in_use:
            try:
                work.store.volumes.remove(volume.name)
            except StoreError as error:  # taken into use, or removed, since
                if error.code not in ("volume.in-use", "volume.missing"):
                    raise
                continue
            gone.append(volume)
    return gone


def users(name: str, work: Work) -> tuple[str, ...]:
    """The runs that have a volume mounted now, and the containers that would have it when they are started: "NAME
    (ID)", or the id.
    """
    from bareboat.verbs.containers import known
    from bareboat.verbs.runs import load

    runs = work.store.runs
    listed = dict(known(work.store))
    found = []
    for run in (*(run for run in runs.ids() if run not in listed and runs.is_alive(run)), *listed):
        try:
            record = load(work.store, run)
        except BareboatError:
            continue  # what it has mounted is not known
        place = os.fspath(work.store.home / "volumes" / name / "data")
        if any((m.kind in ("volume", "cache") and m.source == name) or m.source == place for m in record.mounts):
            found.append(f"{record.name} ({record.id})" if record.name else f"run {record.id}")
    return tuple(found)


def _shown(volume: Volume, used: bool, work: Work) -> Shown:
    size, files = _size(os.fspath(volume.data))
    by = users(volume.name, work)
    return Shown(volume.name, os.fspath(volume.data), volume.created, dict(volume.labels), volume.filled, size, files,
                 used or bool(by), by)


def _size(top: str) -> tuple[int, int]:
    """Bytes on disk, a file with several names once, and how many files there are."""
    size, files, seen = 0, 0, set()
    for folder, _, names in os.walk(top):  # which follows no links
        for name in names:
            try:
                status = os.lstat(f"{folder}/{name}")
            except OSError:
                continue
            files += 1
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                size += status.st_blocks * 512
    return size, files
