"""Runs on disk: a directory each, with the record, the log and the results; who lives is told by a lock."""

from __future__ import annotations

import fcntl
import json
import os
import time
from _thread import allocate_lock
from collections.abc import Mapping
from pathlib import Path

from bareboat.digests import sha256
from bareboat.errors import RecordError, StoreError
from bareboat.store.atomic import fsync_parent, write_file
from bareboat.store.disk_errors import disk_error
from bareboat.store.paths import Layout, check_key

_DIGEST = "record_digest"


class RunStore:
    """runs/ID/{record.json,log,results/}. An id is [a-z0-9.-]. Thread-safe."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._held: dict[str, int] = {}
        self._mutex = allocate_lock()

    def create(self, run: str) -> Path:
        """Make the directory of a new run, with an empty results/ in it. This process is its living owner.

        Raises RecordError record.exists. The ownership ends with release(), or with the process however it
        dies.
        """
        path = self.path(run)
        try:
            os.mkdir(path, 0o700)
            self.hold(run)
            os.mkdir(path / "results", 0o755)
        except FileExistsError:
            raise RecordError("record.exists", "a run of this id is there already", where=str(path)) from None
        except OSError as error:
            raise disk_error(error, str(path)) from error
        return path

    def path(self, run: str) -> Path:
        """Where a run is kept, whether there or not."""
        return Path(self._layout.at("runs", check_key(run)))

    def hold(self, run: str) -> bool:
        """Become the living owner of a run; False when another process is. Idempotent within this
        RunStore.
        """
        with self._mutex:
            if run in self._held:
                return True
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(self.path(run) / "lock", flags, 0o600)
            try:
                taken = _take(fd)
            except OSError:
                os.close(fd)
                raise
            if taken:
                self._held[run] = fd
            else:
                os.close(fd)
            return taken

    def lent(self, run: str) -> int:
        """The descriptor by which this process owns a run, for a child that shall own it too: the ownership ends when
        the last of both lets go. KeyError where it does not.
        """
        return self._held[run]

    def inherit(self, run: str, descriptor: int) -> None:
        """Own a run by a descriptor that the parent lent; it is this RunStore's from then on."""
        os.set_inheritable(descriptor, False)
        with self._mutex:
            self._held[run] = descriptor

    def release(self, run: str) -> None:
        """End the ownership; idempotent."""
        with self._mutex:
            fd = self._held.pop(run, None)
        if fd is not None:
            os.close(fd)

    def is_alive(self, run: str) -> bool:
        """Whether a living process owns the run: else a record that says running means that its bareboat
        died.
        """
        if run in self._held:
            return True
        try:
            fd = os.open(self.path(run) / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(fd)
        return False

    def write(self, run: str, record: Mapping[str, object], *, durable: bool = True) -> None:
        """Replace the record, atomically; it and its directory survive a crash from then on, if durable.
        It gains the key record_digest, over the id and all the
        others.

        What must be kept as long as the run goes under the key "pins": a list of "blob:SHA256", "tree:KEY"
        and "document:KIND/KEY"; documents may have a list "pins" of their own.
        """
        value = {key: item for key, item in record.items() if key != _DIGEST}
        value[_DIGEST] = _digest(run, value)
        text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        write_file(
            self._layout, str(self.path(run) / "record.json"), (text.encode("utf-8", "surrogatepass"),),
            durable=durable,
        )
        if durable:
            try:
                fsync_parent(str(self.path(run)))
            except OSError as error:
                raise disk_error(error, str(self.path(run))) from error

    def read(self, run: str) -> dict[str, object]:
        """The record. Raises RecordError record.missing, StoreError store.damaged when it is not as it was
        written.
        """
        path = self.path(run) / "record.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise RecordError(
                "record.missing",
                f"no record of a run {run}",
                where=str(path),
                hint="bareboat runs lists what there is",
            ) from None
        except OSError as error:
            raise disk_error(error, str(path)) from error
        try:
            value = json.loads(data.decode("utf-8", "surrogatepass"))
        except ValueError:
            value = None
        if not isinstance(value, dict) or value.pop(_DIGEST, None) != _digest(run, value):
            raise StoreError(
                "store.damaged",
                f"the record of run {run} is not as it was written",
                where=str(path),
                hint="restore it from a copy of the store; the log and the results beside it may be whole",
            )
        return value

    def ids(self) -> list[str]:
        """Every run that has a record, sorted by id."""
        root = self._layout.at("runs")
        return sorted(name for name in os.listdir(root) if os.path.exists(f"{root}/{name}/record.json"))

    def find(self, prefix: str) -> str:
        """The one id that begins so; an id in full wins. Raises RecordError record.missing or
        record.ambiguous.
        """
        ids = self.ids()
        if prefix in ids:
            return prefix
        found = [run for run in ids if run.startswith(prefix)] if prefix else []
        if len(found) == 1:
            return found[0]
        if not found:
            raise RecordError(
                "record.missing", f"no run begins with {prefix!r}", hint="bareboat runs lists what there is"
            )
        shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        raise RecordError(
            "record.ambiguous", f"{len(found)} runs begin with {prefix!r}: {shown}", hint="type more of it"
        )

    def remove(self, run: str) -> None:
        """Remove a run with log and results; the record goes first. Raises RecordError record.missing,
        record.alive.
        """
        from bareboat.host.files import fsync_directory, remove_tree

        path = self.path(run)
        if not path.is_dir():
            raise RecordError(
                "record.missing", f"no run {run}", where=str(path), hint="bareboat runs lists what there is"
            )
        if self.is_alive(run):
            raise RecordError("record.alive", f"the run {run} is still going on", hint="stop it first")
        try:
            (path / "record.json").unlink(missing_ok=True)
            fsync_directory(path)
            remove_tree(path)
        except OSError as error:
            raise disk_error(error, str(path)) from error


def _take(fd: int) -> bool:
    """Lock exclusively. Who only asks whether the run lives holds it for an instant: wait that long."""
    for _ in range(50):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.004)
    return False


def _digest(run: str, value: Mapping[str, object]) -> str:
    """Over the id as well: a record in another run's place is noticed."""
    text = run + json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
