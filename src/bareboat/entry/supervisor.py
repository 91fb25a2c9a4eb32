"""python -m bareboat.entry.supervisor: the process beside one container, from its start to its end.

Its task comes on descriptor 0 and is read before anything else; on descriptor 3 it says once how the start went. What
it says besides goes to supervisor.log beside the run's record. It owns the run by the lock of its folder, which the
kernel frees however it dies; the sandbox dies with it, so that what is listed as running runs.
"""

from __future__ import annotations

import gc
import os
import sys
import time

from bareboat.engine.base import Streams
from bareboat.entry.log import Log
from bareboat.errors import BareboatError, RecordError
from bareboat.host.loop import Loop
from bareboat.record.states import again
from bareboat.record.values import RunRecord, timestamp
from bareboat.supervisor.keeper import Keeper
from bareboat.supervisor.rules import backoff
from bareboat.values import TYPE_CHECKING, replace
from bareboat.verbs import containers
from bareboat.verbs.containers import Container
from bareboat.verbs.execute import execute, write_record
from bareboat.verbs.foreground import facts_of
from bareboat.verbs.launch import Kept

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work

TOLD = 3


def main() -> int:
    """The container's exit code, or 125."""
    answer = _Answer(TOLD)
    container, kept, settings, holding = _task()
    from bareboat.wiring import work

    at_work = work(Log(), **settings)
    if not at_work.store.runs.hold(container.id):
        answer.failed(RecordError("record.alive", "another process has this container", where=container.id))
        return 125
    try:
        if holding is not None:
            _adopt(holding, at_work)
        with at_work.store.lease(kept.keys):  # between two starts, too
            return _keep(container, kept, at_work, answer)
    except BareboatError as error:
        Log().say(f"{error.code}: {error.what} {error.where}")
        answer.failed(error)
        return error.exit_code


def _adopt(document: object, work: Work) -> None:
    """Go on holding the GPUs that were leased by who started this. Raises LeaseError "lease.adopt"."""
    from bareboat.lease.values import SLOTS, Holding
    from bareboat.record.codec import decode
    from bareboat.verbs.lent import leases_of

    holding = decode(Holding, document, "lease")
    count = 1 + sum(1 if slots >= SLOTS else 1 + slots for _, slots in holding.units)
    lease = leases_of(work).adopt(holding, range(TOLD + 1, TOLD + 1 + count))
    work.lent.held[holding.run] = lease


def _task() -> tuple[Container, Kept, dict[str, object], object]:
    import json

    from bareboat.record.codec import decode

    chunks = []
    while chunk := os.read(0, 1 << 20):
        chunks.append(chunk)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    document = json.loads(b"".join(chunks).decode("utf-8", "surrogatepass"))
    os.chdir("/")
    return (decode(Container, document["container"], "container"), decode(Kept, document["kept"], "container"),
            document["settings"], document["holding"])


class _Answer:
    """What is said once of how the start went, to who waits for it; nobody may."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor

    def say(self, text: str) -> None:
        """The first time only: the number is another file's afterwards."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            try:
                os.write(descriptor, text.encode("utf-8", "surrogatepass"))
            except OSError:
                pass
            os.close(descriptor)

    def failed(self, error: BareboatError) -> None:
        """What hindered it."""
        import json

        self.say(json.dumps({"error": [error.code, str(error.what), error.where, error.hint, error.exit_code]}))


def _keep(container: Container, kept: Kept, work: Work, answer: _Answer) -> int:
    from bareboat.verbs.runs import load

    facts = facts_of(kept.workload, work)
    stdin, ours = os.pipe() if container.interactive else (-1, -1)
    if ours >= 0:
        os.set_blocking(ours, False)
    folder = work.store.runs.path(container.id)
    keeper = Keeper(os.fspath(folder), facts, container.rules, stdin=ours, began=lambda: answer.say("{}"),
                    probe=lambda keeper: _probe(keeper, work), ports=kept.workload.ports)
    record = load(work.store, container.id) if (folder / "record.json").exists() else kept.record
    if record.state != "pending":
        record = again(record, at=timestamp(time.time()))
    prepared = replace(kept.prepared(), stdin=stdin if stdin >= 0 else None)
    failures = 0
    try:
        while True:
            keeper.attempt = record.attempt
            record = execute(replace(prepared, record=record), work, keeper)
            Log().say(f"attempt {record.attempt}: {record.state}, exit {record.exit_code} {record.reason}")
            gc.collect()
            failures += 1
            if keeper.ending or not record.exit_code or failures > container.rules.restart:
                break
            record = _wait(record, failures, keeper, work)
            if record.state != "pending":  # it was stopped meanwhile
                break
    finally:
        if container.remove:
            containers.forget(work.store, container.id)
        code = record.exit_code if record.exit_code is not None else 125
        if container.id in work.lent.held:
            from bareboat.verbs.lent import give_back

            give_back(container.id, work)
        work.store.runs.release(container.id)
        keeper.over(code)
    return code


def _wait(record: RunRecord, failures: int, keeper: Keeper, work: Work) -> RunRecord:
    """Let a while pass before the next start, answering meanwhile; the record says what it waits for."""
    seconds = backoff(failures)
    following = again(record, at=timestamp(time.time()), reason=f"restarting, after exit {record.exit_code}")
    write_record(work, following)
    loop = Loop()
    keeper.serve(loop)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not keeper.ending:
        loop.turn(int((end - time.monotonic()) * 1000) + 1)
    if keeper.ending:
        from bareboat.record.states import move

        following = move(following, "cancelled", at=timestamp(time.time()), reason=keeper.ending,
                         exit_code=record.exit_code)
        write_record(work, following)
    return following


def _probe(keeper: Keeper, work: Work) -> int:
    """Fork a process that runs the health command in the container and ends as it does, or after its timeout."""
    from bareboat.verbs.enter import call_of

    live, health = keeper.live, keeper.rules.health
    assert live is not None and health is not None
    handle = live.handle()
    pid = os.fork()
    if pid == 0:
        code = 125
        try:
            streams = Streams(lambda _: None, lambda _: None,
                              live=lambda loop, own: loop.after(health.timeout, lambda: own.kill("")))
            code = work.engine.exec(handle, call_of(keeper.facts, health.argv), streams).code
        finally:
            os._exit(code)
    if handle.pidfd >= 0:
        os.close(handle.pidfd)
    return pid


if __name__ == "__main__":
    sys.exit(main())
