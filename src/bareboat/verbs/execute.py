"""Carry out a prepared run: snapshot, record, start, stream, log, results, record again."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bareboat.engine.base import Streams
from bareboat.errors import BareboatError, RecordError, StoreError
from bareboat.record.states import ended, move
from bareboat.record.values import RunRecord, timestamp
from bareboat.store.codewalk import CodeRules
from bareboat.store.runlog import ERR, NAME, OUT, Bounds, LogWriter
from bareboat.supervisor import wire
from bareboat.values import TYPE_CHECKING, dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.workload import Outcome, Workload

if TYPE_CHECKING:
    from bareboat.store.results import Listing
    from bareboat.supervisor.keeper import Keeper
    from bareboat.verbs.gather import Gathering


@dataclass(frozen=True)
class Prepared:
    """A run whose every choice has been made.

    record: pending, without code, data and results. results: the folder on the host, or None. code: the folder to
    take the snapshot of and what of it belongs to the code, or None when the record has its code already.
    data: target inside → folder on the host. keys: store keys (trees, blobs) that gc must leave alone meanwhile.
    anonymous: targets of volumes that are thrown away, and whether they begin with the image's files there.
    terminal: the caller's terminal when the workload has a tty; stdin: the descriptor to read from, or None; stdout,
    stderr: where a copy of the log goes, None for nowhere. layer: engine.base.Streams.layer. heard: what standard
    output goes through, giving what of it is passed on. logged: whether what it writes is kept; not what passes over a
    person's screen. shared: the results folder is this run's own and its attempts', so that all that is in it is its
    result, but for the checkpoints, which are listed.
    """

    workload: Workload
    record: RunRecord
    results: Path | None = None
    code: tuple[Path, CodeRules] | None = None
    data: tuple[tuple[str, Path], ...] = ()
    keys: tuple[str, ...] = ()
    anonymous: tuple[tuple[str, bool], ...] = ()
    stdin: int | None = None
    terminal: int | None = None
    stdout: int | None = 1
    stderr: int | None = 2
    layer: Callable[[int], frozenset[bytes]] | None = None
    heard: Callable[[bytes], bytes] | None = None
    logged: bool = True
    shared: bool = False


def execute(prepared: Prepared, work: Work, keeper: Keeper | None = None) -> RunRecord:
    """Run to the end; its record is there before the start, and durable after the end. keeper: who answers others for
    the container meanwhile; then the run's folder is there already, and owned by this process.

    Raises RecordError "run.results-busy" when another run has the results folder, EngineError, ProgramError. A run
    that could not start stays recorded as failed.
    """
    # by what is mounted, too: trees that were merged or laid over others are in no plan
    keys = (*prepared.keys, *(tree.parent.name for tree in prepared.workload.root.trees))
    with _results_of_one(prepared.results), work.store.lease(keys):
        return _execute(prepared, work, keeper)


def _execute(prepared: Prepared, work: Work, keeper: Keeper | None) -> RunRecord:
    from bareboat.store.results import listing

    runs = work.store.runs
    record = _with_code(prepared, work)
    place = os.stat(prepared.results) if prepared.results else None
    before = listing(prepared.results) if prepared.results and not prepared.shared else {}
    folder = runs.path(record.id) if keeper else runs.create(record.id)
    try:
        log = _Log(folder, work, prepared.logged)
        try:
            record = move(replace(record, log=NAME), "running", at=timestamp(time.time()))
            # a power cut now leaves no run, as if it had come a moment earlier
            write_record(work, record, durable=False)
            if prepared.shared and record.attempt > 1:
                log.mark(record.attempt)
            try:
                outcome, gathering = _start(prepared, log, work, keeper)
            except BareboatError as e:
                with suppress(StoreError):  # the first failure is the one to tell
                    failed = ended(record, e.exit_code, at=timestamp(time.time()), reason=f"{e.code}: {e.what}")
                    write_record(work, failed)
                raise
            except BaseException:
                with suppress(StoreError):
                    write_record(work, move(record, "cancelled", at=timestamp(time.time()), reason="interrupted"))
                raise
        finally:
            log.close()
        try:
            passing = keeper is not None and _preempted(keeper.ending)  # another attempt lists what there is
            record = _finish(replace(prepared, results=None) if passing else prepared, gathering.finish(record),
                             outcome, (before, place), work)
            if keeper is not None and keeper.meter is not None:
                from bareboat.verbs.used import used_of  # of what was not over at once

                used = used_of(keeper.meter, prepared.workload.limits)
                record = replace(record, used=used, peak_memory=used.memory_peak if used else None)
            if keeper is not None and keeper.ending:  # somebody ended it: neither its success nor its failure
                record = replace(record, state="cancelled", reason=keeper.ending)
            write_record(work, record)
        except StoreError as e:
            raise StoreError(e.code, f"the program ended with exit {outcome.code} and what it wrote to results is "
                             f"there, but its record could not be completed: {e.what}", where=e.where,
                             hint=e.hint) from None
        return record
    finally:
        if keeper is None:
            runs.release(record.id)


def _with_code(prepared: Prepared, work: Work) -> RunRecord:
    """The record with the code as it is now; taken before the start, so that it is what runs."""
    if prepared.code is None:
        return prepared.record
    from bareboat.store.snapshots import snapshot

    folder, rules = prepared.code
    taken = snapshot(work.store, folder, rules)
    for warning in taken.warnings:
        work.tell.say(warning)
    return replace(prepared.record, code=taken.snapshot)


def _start(prepared: Prepared, log: _Log, work: Work, keeper: Keeper | None) -> tuple[Outcome, Gathering]:
    """Run the workload; what may take time (data, git, host facts) is gathered while it runs."""
    from bareboat.verbs.gather import Gathering

    gathering = Gathering(work.store, prepared.data, work.settings.data_fingerprint_seconds)
    out, heard = _Tee(prepared.stdout, OUT, log, keeper), prepared.heard
    stdout = out if heard is None else lambda chunk: out(heard(chunk))
    streams = Streams(stdout=stdout, stderr=_Tee(prepared.stderr, ERR, log, keeper), stdin=prepared.stdin,
                      terminal=prepared.terminal, started=gathering.start)
    if prepared.layer is not None:
        streams = replace(streams, layer=prepared.layer)
    if keeper is not None:
        keeper.note = log.note
        streams = replace(streams, live=keeper.started)
    with _layer(replace(prepared.workload, run=prepared.record.id), work) as layered, \
            _volumes(prepared, layered, work) as load:
        try:
            outcome = work.engine.run(load, streams)
        finally:
            if keeper is not None:
                keeper.left()
    return outcome, gathering


@contextmanager
def _layer(load: Workload, work: Work) -> Iterator[Workload]:
    """The workload with a directory for its thin writable layer, where that is to be on disk; gone afterwards."""
    if load.scratch != "disk":
        yield load
        return
    with work.store.scratch("layer") as folder:
        yield replace(load, scratch_dir=folder)


@contextmanager
def _volumes(prepared: Prepared, load: Workload, work: Work) -> Iterator[Workload]:
    """The workload with its anonymous volumes."""
    if not prepared.anonymous:
        yield load
        return
    from bareboat.verbs.mounting import anonymous

    with anonymous(load, prepared.anonymous, work) as found:
        yield found


class _Log:
    """The run's log. A disk that fills up ends the log, never the program: hours of training outweigh it."""

    def __init__(self, folder: Path, work: Work, kept: bool) -> None:
        self.work, self.open = work, kept
        self._within_line = False
        self._writer = LogWriter(folder, Bounds(work.settings.log_size, work.settings.log_files))

    def write(self, chunk: bytes, stream: int) -> None:
        self._within_line = not chunk.endswith(b"\n")
        if self.open:
            try:
                self._writer.write(chunk, stream)
            except OSError as e:
                self.open = False
                self.work.tell.say(f"the log ends here, the program goes on: {e.strerror} in {self.work.store.home}; "
                                   "make room before it ends, or its record is lost: bareboat gc")

    def mark(self, attempt: int) -> None:
        with suppress(OSError):  # the first piece of output tells of it
            self._writer.mark(attempt)

    def note(self, text: str) -> None:
        """A line of ours; in one of its own, also where a progress bar stands."""
        self.write(f"{chr(10) if self._within_line else ''}{text}\n".encode(), ERR)

    def close(self) -> None:
        self._writer.close()


class _Tee:
    """A stream to the caller, to the log, and to who is attached. A caller that went away (| head) ends the copy, never
    the log.
    """

    def __init__(self, out: int | None, stream: int, log: _Log, keeper: Keeper | None) -> None:
        self.out, self.stream, self.log, self.keeper = out, stream, log, keeper
        self.kind = wire.OUT if stream == OUT else wire.ERR

    def __call__(self, chunk: bytes) -> None:
        self.log.write(chunk, self.stream)
        if self.keeper is not None:
            self.keeper.heard(self.kind, chunk)
        if self.out is not None:
            try:
                _write_all(self.out, chunk)
            except BrokenPipeError:
                self.out = None
            except OSError as e:
                self.out = None
                self.log.work.tell.say(f"output cannot be written any more: {e.strerror}; the run's log has all of it")


def _write_all(fd: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        try:
            view = view[os.write(fd, view):]
        except BlockingIOError:
            import select

            select.select((), (fd,), ())


def _finish(prepared: Prepared, record: RunRecord, outcome: Outcome, begun: tuple[Listing, os.stat_result | None],
            work: Work) -> RunRecord:
    from bareboat.record.values import Results
    from bareboat.store.results import ResultBounds, results

    before, place = begun
    record = ended(record, outcome.code, at=timestamp(time.time()), reason=outcome.reason)
    record = replace(record, seconds=round(outcome.seconds, 3), lost=outcome.lost)
    if prepared.results is None:
        return record
    if not _unchanged(prepared.results, place):
        work.tell.say(f"{prepared.results} is another folder than when the run began: what it has is not listed")
        return replace(record, results=Results(os.fspath(prepared.results)))
    bounds = ResultBounds(each=work.settings.results_keep_file, all=work.settings.results_keep_total)
    if not prepared.shared:
        return replace(record, results=results(work.store, prepared.results, before, bounds))
    from bareboat.training.values import FOLDER

    return replace(record, results=results(work.store, prepared.results, before, bounds, FOLDER))


def _preempted(ending: str) -> bool:
    """Whether an end that somebody wanted is followed by another attempt in any case."""
    if not ending:
        return False
    from bareboat.training.values import PREEMPTED

    return ending == PREEMPTED


def _unchanged(folder: Path, place: os.stat_result | None) -> bool:
    """Whether the folder is still the one that was mounted: a program with the project mounted writable could put a
    link to any folder of the host there, whose files the record would keep."""
    try:
        return place is not None and os.path.samestat(os.stat(folder), place)
    except OSError:
        return False


def write_record(work: Work, record: RunRecord, *, durable: bool = True) -> None:
    """Write a run's record with what gc must keep for it. Raises StoreError."""
    pins = [*(f"blob:{digest}" for digest in record.blobs), *(f"tree:{key}" for _, key in record.overlays)]
    work.store.runs.write(record.id, {**record.document(), "pins": pins}, durable=durable)


@contextmanager
def _results_of_one(folder: Path | None) -> Iterator[None]:
    """Hold the results folder for this run alone; freed however this process dies."""
    if folder is None:
        yield
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordError("run.results-busy", "another run is writing its results here", where=str(folder),
                              hint="wait for it, or give this one its own: --results DIR") from None
        except OSError:
            pass  # a file system without locks: two runs at once cannot be told apart there
        yield
    finally:
        os.close(fd)
