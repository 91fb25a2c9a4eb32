"""What the local queue's worker does to the machine: processes of attempts, and how they went."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from bareboat.errors import BareboatError, EngineError, RecordError
from bareboat.host.background import Handed, in_memory, start_handed
from bareboat.host.files import boot_id
from bareboat.host.forking import Forker, log_file
from bareboat.lease.base import Lease
from bareboat.lease.values import Holding
from bareboat.queue.base import Entry, Ledger
from bareboat.queue.policy import Machine
from bareboat.record.secrets import without_secrets
from bareboat.record.states import final
from bareboat.record.values import RunRecord
from bareboat.store import checkpoints
from bareboat.training.rules import Step
from bareboat.training.values import Ending
from bareboat.values import TYPE_CHECKING
from bareboat.verbs.submission import OPEN, Templates, is_over, let_go

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.verbs.collaborators import Work

FORKED_MOST = 60  # descriptors that can be handed to a fork
BUSY = 0.005  # of a processor: what an idle interpreter's threads use is less
ENDING, LOG = "ending.json", "attempt.log"


class LocalHands:
    """queue.worker.Hands. machine: what there is to share."""

    def __init__(self, work: Work, ledger: Ledger, machine: Callable[[Collection[Holding]], Machine]) -> None:
        self._work, self._ledger, self.machine = work, ledger, machine
        self._templates = Templates(ledger)
        self.training = self._templates.training
        self.forker: Forker | None = None
        self._over: set[str] = set()  # submissions whose end was told, and none of whose runs began again
        self._used: dict[str, tuple[float, float]] = {}  # seconds of CPU of each run, and when it had last used some

    def own(self, run: str) -> bool:
        """As Hands.own."""
        runs = self._work.store.runs
        if not runs.path(run).exists():
            try:
                runs.create(run)
                return True
            except RecordError:
                pass  # made at this moment
        return not runs.is_alive(run) and runs.hold(run)

    def disown(self, run: str) -> None:
        """As Hands.disown."""
        self._work.store.runs.release(run)

    def begin(self, entry: Entry, lease: Lease | None) -> int:
        """As Hands.begin."""
        from bareboat.record.codec import encode

        data, _ = self._templates.body(entry.submission)
        self._over.discard(entry.submission)
        store = self._work.store
        head = {"entry": encode(entry), "point": encode(self._ledger.point(entry.run)),
                "holding": encode(lease.holding) if lease else None}
        task = json.dumps(head).encode("utf-8", "surrogatepass")[:-1] + b', "template": ' + data + b"}"
        descriptors = (store.runs.lent(entry.run), *(lease.descriptors if lease else ()))
        log = store.runs.path(entry.run) / LOG
        if self.forker is not None and len(descriptors) <= FORKED_MOST:
            try:
                return self._forked(task, log, descriptors)
            except OSError as error:  # one that it forked has the run's lock, and is found by that
                self._work.tell.say(f"started without what makes it fast: {error}")
                if not self._alone(entry.run):
                    return -1
        argv = (sys.executable, "-m", "bareboat.entry.attempt", entry.run)
        return opened(start_handed(Handed(argv, environment(store), task, log, descriptors)))

    def _forked(self, task: bytes, log: Path, descriptors: tuple[int, ...]) -> int:
        assert self.forker is not None
        own = [in_memory(task)]
        try:
            own.append(log_file(log))
            return self.forker.fork((*own, *descriptors))
        finally:
            for descriptor in own:
                os.close(descriptor)

    def _alone(self, run: str) -> bool:
        """Whether no process but this has the run's lock: it is let go, and taken again."""
        self.disown(run)
        return self.own(run)

    def watch(self, entry: Entry) -> int:
        """As Hands.watch."""
        from bareboat.supervisor.client import ask

        try:
            pid = int(ask(self._work.store.runs.path(entry.run), 2.0, do="state").value["pid"])
        except (EngineError, KeyError, TypeError, ValueError):
            return -1  # it begins or ends at this moment
        found = opened(pid)
        if found >= 0 and not self._work.store.runs.is_alive(entry.run):
            os.close(found)
            return -1
        return found

    def ending(self, entry: Entry) -> Ending:
        """As Hands.ending: what its process wrote last, else what the record says, else that it was lost."""
        written = read_ending(self._work.store.runs.path(entry.run), entry.attempt)
        if written is not None:
            return written
        try:
            record = RunRecord.from_document(self._work.store.runs.read(entry.run))
        except BareboatError:
            record = None
        if record is not None and record.attempt == entry.attempt and final(record.state):
            return of_record(record)
        cause, reason = "lost", "its process was killed"
        if entry.boot and entry.boot != boot_id():
            cause, reason = "reboot", "the machine was started again"
        return Ending(cause, None, reason, self._progressed(entry))

    def _progressed(self, entry: Entry) -> bool | None:
        """Whether an attempt that could not say so itself came as far as a checkpoint."""
        try:
            point, training = self._ledger.point(entry.run), self.training(entry.submission)
        except BareboatError:
            return None
        folder = checkpoints.place(point.results, self._work.store.runs.path(entry.run))
        return checkpoints.progressed(folder, training.checkpoints.complete, entry.started)

    def interrupt(self, entry: Entry, cause: str) -> bool:
        """As Hands.interrupt."""
        return interrupted(self._work.store.runs.path(entry.run), cause)

    def silent(self, entry: Entry) -> float:
        """As Hands.silent."""
        from bareboat.supervisor.client import ask

        folder, now = self._work.store.runs.path(entry.run), time.monotonic()
        try:
            told = ask(folder, 2.0, do="stats").value
            used, gpu = float(told["cpu_seconds"]), float(told.get("gpu") or 0.0)
        except (EngineError, KeyError, TypeError, ValueError):
            return 0.0  # it begins or ends, or cannot be asked: nothing is known
        before, at = self._used.get(entry.run, (0.0, 0.0))
        if not at or gpu or used - before > BUSY * (now - at):
            self._used[entry.run] = used, now
            return 0.0
        try:
            written = time.time() - os.stat(folder / "log").st_mtime
        except OSError:
            written = now - at
        return max(min(written, now - at), 0.0)

    def settled(self, entry: Entry, step: Step) -> None:
        """As Hands.settled."""
        self._used.pop(entry.run, None)
        try:
            if final(step.state):
                self._told(entry)
            if final(step.state) and not OPEN & set(self._ledger.counts(entry.submission)):
                let_go(self._work.store.queue, self._ledger, [entry.submission])
                is_over(self._work.store, entry.submission, self._templates.body(entry.submission)[1])
        except BareboatError as error:
            self._work.tell.say(f"{entry.run}: {error.code}: {error.what}")

    def _told(self, entry: Entry) -> None:
        from bareboat.verbs.over import tell

        store = self._work.store
        if entry.submission in self._over:
            return
        try:
            if tell(entry, self.training(entry.submission).watch, self._ledger, store.queue, environment(store)):
                self._over.add(entry.submission)
        except OSError as error:
            self._work.tell.say(f"{entry.run}: nobody could be told of its end: {error}")


def interrupted(folder: Path, cause: str) -> bool:
    """Ask the process beside an attempt to end it; False while it does not listen: it begins, or ends."""
    from bareboat.supervisor.client import ask

    try:
        ask(folder, 2.0, do="interrupt", cause=cause)
    except EngineError:
        return False
    return True


def environment(store: Store) -> dict[str, str]:
    """The variables of processes that carry out runs of a store: without what the shell of who started them keeps
    secret.
    """
    return {**without_secrets(os.environ), "BAREBOAT_HOME": os.fspath(store.home)}


def forker(store: Store) -> Forker:
    """What starts attempts fast."""
    return Forker((sys.executable, "-m", "bareboat.entry.forker"), environment(store), store.queue / "forker.log")


def opened(pid: int) -> int:
    """A pidfd; -1 where there is none to be had."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


def of_record(record: RunRecord) -> Ending:
    """The ending that a record tells, where nothing more was written."""
    if record.state == "cancelled":
        return Ending("stopped", record.exit_code, record.reason)
    if record.reason == "out of memory":
        return Ending("memory", record.exit_code, record.reason)
    return Ending("exit", record.exit_code, record.reason)


def write_ending(folder: Path, attempt: int, ending: Ending) -> None:
    """Beside the record, durable: what the worker is to write down of an attempt. Raises OSError."""
    from bareboat.host.files import fsync, fsync_directory

    draft = folder / f".{ENDING}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, json.dumps([attempt, ending.cause, ending.code, ending.reason, ending.progressed]).encode())
        fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, folder / ENDING)
    fsync_directory(folder)


def read_ending(folder: Path, attempt: int) -> Ending | None:
    """What was written of this attempt; None where nothing was."""
    try:
        with open(folder / ENDING, "rb") as file:
            number, cause, code, reason, *more = json.loads(file.read(1 << 16))
    except (OSError, ValueError, TypeError):
        return None
    if number != attempt or not isinstance(cause, str):
        return None
    progressed = more[0] if more and isinstance(more[0], bool) else None
    return Ending(cause, code if isinstance(code, int) else None, str(reason), progressed)
