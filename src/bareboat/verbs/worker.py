"""The worker in its loop: woken by whoever queues something, by the end of an attempt, and by what others lease."""

from __future__ import annotations

import os
import signal
import time

from bareboat.errors import BareboatError, QueueError
from bareboat.host.background import reap
from bareboat.host.loop import Loop
from bareboat.queue import door
from bareboat.queue.worker import AGAIN, Worker
from bareboat.values import TYPE_CHECKING
from bareboat.verbs.attempts import LocalHands, forker
from bareboat.verbs.machine import Look
from bareboat.verbs.queued import tidied

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work
    from bareboat.verbs.submission import Queue

TRIES = 20  # turns in a row that go wrong; then somebody has to look
IDLE = 60.0  # seconds without anything to do after which it ends


def serve(work: Work, queue: Queue, idle: float) -> int:
    """Work until there has been nothing to do for so many seconds, or SIGTERM comes; attempts go on in any case."""
    from bareboat.queue.sqlite_file import prepare_folder

    prepare_folder(queue.folder)
    lock = door.hold(queue.folder)
    if lock < 0:
        work.tell.say("another worker is at work")
        return 0
    try:
        while True:
            turning = Turning(work, queue, idle)
            tidied(work)
            turning.run()
            tidied(work)
            os.close(lock)
            # who queued something and saw the lock held relies on this look
            wanted = not turning.over and not door.starts_nothing(queue.folder) and _open_runs(queue)
            if not wanted or (lock := door.hold(queue.folder)) < 0:
                return 0
    finally:
        queue.ledger.close()


def _open_runs(queue: Queue) -> bool:
    return any(e.scheduler == "local" for e in queue.ledger.entries(("pending", "running"), most=1000))


class Turning:
    """One worker in its loop."""

    def __init__(self, work: Work, queue: Queue, idle: float) -> None:
        self.loop, self.idle, self.over = Loop(), idle, False
        hands = LocalHands(work, queue.ledger, Look(work))
        self._forker = hands.forker = forker(work.store)
        self._forker.warm()
        self.worker = Worker(queue.ledger, queue.leases, hands, uid=os.geteuid(), now=time.time, say=work.tell.say,
                             bounds=queue.bounds)
        self.worker.watched = self._watch
        self.worker.held = lambda: door.starts_nothing(queue.folder)
        self._say, self._wrong = work.tell.say, 0
        self._bell = door.listen(queue.folder)
        self._changed = queue.leases.changed()
        self._term, self._told = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> None:
        """Until it has been idle, or was asked to end."""
        for descriptor in (self._bell, self._changed):
            if descriptor >= 0:
                self.loop.add(descriptor, lambda fd=descriptor: self._drained(fd))  # type: ignore[misc]
        self.loop.add(self._term, self._asked)
        before = [signal.signal(number, lambda *_: os.write(self._told, b"!"))
                  for number in (signal.SIGTERM, signal.SIGINT)]
        since = time.monotonic()
        try:
            while not self.over:
                due = self._turn()
                if due is not None:
                    since = time.monotonic()
                left = self.idle - (time.monotonic() - since)
                if left <= 0:
                    return
                self._wait(left if due is None else due)
                reap()
        finally:
            for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
                signal.signal(number, handler)
            self._forker.close()
            for descriptor in (self._bell, self._term, self._told):
                if descriptor >= 0:
                    os.close(descriptor)
            for going in self.worker.going.values():
                if going.pidfd >= 0:
                    os.close(going.pidfd)

    def _turn(self) -> float | None:
        """As Worker.turn. What goes wrong is said and tried again: a dead worker helps nobody."""
        try:
            due = self.worker.turn()
        except BareboatError as error:
            self._say(f"{error.code}: {error.what} {error.where}")
        except OSError as error:
            self._say(str(error))
        else:
            self._wrong = 0
            return due
        self._wrong += 1
        if self._wrong > TRIES:
            raise QueueError("queue.worker", f"it went wrong {self._wrong} times in a row", hint="see above") from None
        return float(min(0.1 * 2 ** self._wrong, 30.0))

    def _wait(self, seconds: float) -> None:
        self.loop.turn(int(min(seconds, AGAIN) * 1000) + 1)  # the one in the foreground is never idle for too long
        while self.loop.turn(0):  # what came at once is looked at once
            pass

    def _watch(self, descriptor: int) -> None:
        """A pidfd to be looked at; -1 - pidfd: one that is no more."""
        if descriptor >= 0:
            self.loop.add(descriptor, lambda: False)  # one look is enough: the turn that follows collects it
        else:
            self.loop.drop(-1 - descriptor)

    def _drained(self, descriptor: int) -> bool:
        door.drain(descriptor)
        return True

    def _asked(self) -> bool:
        self.over = True
        return False
