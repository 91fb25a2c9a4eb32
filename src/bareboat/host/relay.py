"""The caller's side of a program that runs: signals and standard input."""

from __future__ import annotations

import os
import select
import signal
import stat
from collections.abc import Callable

from bareboat.host import terminal
from bareboat.host.loop import Loop

FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)


class Signals:
    """The caller's signals while a sandbox runs, as bytes on a pipe; the handlers before are put back.

    In a thread other than the main one nothing can be handled, and nothing is.
    """

    def __init__(self) -> None:
        self.read, self._write = os.pipe()  # closed on exec, as all of Python's are
        for end in (self.read, self._write):
            os.set_blocking(end, False)
        self._before: dict[int, object] = {}
        self._wakeup: int | None = None

    def __enter__(self) -> Signals:
        try:
            self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        except ValueError:
            return self  # not the main thread
        for number in (signal.SIGINT, signal.SIGWINCH, *FORWARDED):
            self._before[number] = signal.signal(number, lambda _number, _frame: None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self._wakeup is not None:
            signal.set_wakeup_fd(self._wakeup)
        os.close(self.read)
        os.close(self._write)

    def taken(self) -> bytes:
        """The signals that came since, in order, a byte each."""
        try:
            return os.read(self.read, 256)
        except BlockingIOError:
            return b""


def passes(descriptor: int) -> bool:
    """Whether stdin can be given to the program itself: a file, a pipe, a socket or /dev/null, never a terminal.

    A terminal of the caller's must not be in a sandbox's hands; a directory would open the host's tree.
    """
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def is_directory(descriptor: int) -> bool:
    """Whether a descriptor is a directory's."""
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


class Copier:
    """Copies the caller's stdin into the sandbox: never blocks, keeps at most one chunk, closes the sink at the end.

    end: what says "end of file" where closing cannot (a pty's ^D). A terminal is read in the foreground only.
    """

    def __init__(self, loop: Loop, source: int, sink: int, end: bytes = b"",
                 interrupt: Callable[[], None] = lambda: None) -> None:
        self.loop, self.source, self.sink, self.end, self.interrupt = loop, source, sink, end, interrupt
        self._pending, self._ended = b"", False
        self._terminal = os.isatty(source)
        os.set_blocking(sink, False)
        self.resume()

    def resume(self) -> None:
        """Read again, after a stop in the background."""
        if self.sink >= 0 and not self._ended and not self._pending:
            self.loop.drop(self.source)
            try:
                self.loop.add(self.source, self._read)
            except PermissionError:  # a regular file is always ready, and epoll and poll differ on saying so
                self._read()

    def close(self) -> None:
        """Let go of both ends. Idempotent."""
        self.loop.drop(self.source)
        if self.sink >= 0:
            self.loop.drop(self.sink)
            if not self.end:
                os.close(self.sink)
            self.sink = -1

    def _background(self) -> bool:
        try:
            return self._terminal and os.tcgetpgrp(self.source) != os.getpgrp()
        except OSError:
            return False

    def _read(self) -> bool:
        if self._background():
            self.loop.drop(self.source)
            return True
        try:
            chunk = os.read(self.source, 4096)
        except BlockingIOError:
            return True
        except OSError:
            chunk = b""
        self.loop.drop(self.source)
        if self._terminal and b"\x03" in chunk:
            self.interrupt()
        self._ended = not chunk
        self._pending = chunk or self.end
        return self._write()

    def _write(self) -> bool:
        self.loop.drop(self.sink)
        try:
            while self._pending:
                self._pending = self._pending[os.write(self.sink, self._pending):]
        except BlockingIOError:
            self.loop.add(self.sink, self._write, select.POLLOUT)
            return True
        except OSError:
            self._ended = True  # nobody reads any more
        if self._ended:
            self.close()
        else:
            self.resume()
        return True


def window(terminal_fd: int | None) -> tuple[int, int] | None:
    """The size of the caller's terminal, if there is one that knows."""
    return None if terminal_fd is None else terminal.size(terminal_fd)
