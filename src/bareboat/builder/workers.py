"""A few forked workers that take numbered tasks in the order given: the way around the interpreter's one
lock.

Forked before any thread exists, since a fork copies only the calling thread and every lock as it stands.
Where threads exist already (a notebook), threads do the work instead: slower, never wrong; and on macOS, whose
system libraries do not bear a fork that is not followed by an exec. A worker ends when
its parent's end of the pipe closes, however the parent died; nothing depends on PR_SET_PDEATHSIG, which
follows threads.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from bareboat.errors import ArchiveError, BareboatError, ResolveError, StoreError

_TASK = 4  # bytes of a task's number; reads and writes of a pipe this small are atomic
_ERRORS: dict[str, type[BareboatError]] = {c.__name__: c for c in (ArchiveError, ResolveError, StoreError)}


class Workers:
    """Runs `task(number)` for each number submitted; a context manager that leaves no process behind.

    below: the directory that a forked worker can write in, and nowhere else (Landlock, where the kernel has it): a
    second wall around what reads other people's archives.

    submit may be called from any thread. results() waits for all and raises the first failure.
    """

    def __init__(self, count: int, task: Callable[[int], None], below: Path | None = None) -> None:
        self._count, self._task, self._below = max(1, count), task, below
        self._pids: dict[int, int] = {}  # process id → the end its results are read from
        self._send = self._receive = -1
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None

    def __enter__(self) -> Workers:
        self._receive, self._send = os.pipe()
        if threading.active_count() > 1 or sys.platform == "darwin":
            for n in range(self._count):
                thread = threading.Thread(target=self._in_thread, name=f"unpack-{n}", daemon=True)
                self._threads.append(thread)
                thread.start()
            return self
        try:
            for _ in range(self._count):
                self._fork()
        except BaseException:
            self._close()
            self._end(kill=True)
            raise
        return self

    def submit(self, number: int) -> None:
        """Queue a task. Never blocks for the few thousand tasks that a pipe holds."""
        os.write(self._send, number.to_bytes(_TASK, "little"))

    def results(self) -> None:
        """Wait until every task is done. Raises what the first failed one raised; the others finish."""
        self._close()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._end()
        if self._failure is not None:
            raise self._failure

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._end(kill=kind is not None)
        if self._threads:  # they cannot be killed: each ends with the task it is at
            self._failure = self._failure or error
            for thread in self._threads:
                thread.join()
        if self._receive >= 0:
            os.close(self._receive)
            self._receive = -1

    def _fork(self) -> None:
        result, write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(write)
            self._pids[pid] = result
            return
        code = 1
        try:
            os.close(result)
            os.close(self._send)  # or this worker would keep the others waiting after the parent's death
            for other in self._pids.values():
                os.close(other)
            code = self._serve(write)
        finally:
            os._exit(code)  # never back into the parent's stack, its buffers or its atexit

    def _serve(self, write: int) -> int:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
        if self._below is not None:
            from bareboat.host.kernel import landlock_writes

            try:
                landlock_writes(os.fsencode(self._below))
            except OSError:
                pass  # switched off or forbidden here: the first wall is the writer's own
        while (task := os.read(self._receive, _TASK)) and len(task) == _TASK:
            try:
                self._task(int.from_bytes(task, "little"))
            except BaseException as error:
                os.write(write, _dump(error))
                return 1
        return 0

    def _in_thread(self) -> None:
        while self._failure is None and (task := os.read(self._receive, _TASK)):
            try:
                self._task(int.from_bytes(task, "little"))
            except BaseException as error:
                self._failure = self._failure or error

    def _close(self) -> None:
        if self._send >= 0:
            os.close(self._send)
            self._send = -1

    def _end(self, *, kill: bool = False) -> None:
        import signal

        for pid, result in list(self._pids.items()):
            if kill:
                os.kill(pid, signal.SIGKILL)  # our own child and not yet waited for: the number is still its
            data = b""
            while not kill and (more := os.read(result, 1 << 16)):
                data += more
            os.close(result)
            _, status = os.waitpid(pid, 0)
            del self._pids[pid]
            if not kill and status and self._failure is None:
                self._failure = _load(data, status)


def _dump(error: BaseException) -> bytes:
    import json

    if isinstance(error, BareboatError):
        parts = [type(error).__name__, error.code, error.what, error.where, error.hint]
    else:
        parts = ["", "", f"{type(error).__name__}: {error}", "", ""]
    return json.dumps(parts).encode()[: 1 << 15]


def _load(data: bytes, status: int) -> BareboatError:
    import json

    try:
        name, code, what, where, hint = json.loads(data)
    except ValueError:
        return StoreError(
            "wheel.worker",
            f"a worker that unpacks ended by itself (wait status {status})",
            hint="most likely out of memory: close programs and run again",
        )
    if not name:
        return StoreError(
            "wheel.worker", f"unpacking failed: {what}", hint="this is a fault of bareboat: report it"
        )
    return _ERRORS.get(name, BareboatError)(code, what, where=where, hint=hint)
