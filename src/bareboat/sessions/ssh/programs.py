"""A process of this machine as a running program: descriptors, signals, a terminal of our own for it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
import threading

from bareboat.host.process import Child, Command, start
from bareboat.sessions.ssh.inside import Ended


class Process:
    """Running, over a child process. With a terminal it is the slave's only holder."""

    def __init__(self, child: Child, streams: tuple[int, int, int]) -> None:
        self._child = child
        self.stdin, self.stdout, self.stderr = streams
        self._master = os.dup(self.stdout) if self.stderr < 0 else -1
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Ended] = loop.create_future()
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(child.pid)  # not waited for yet: the number is still its
            loop.add_reader(self._pidfd, self._over)
        else:  # not on Linux
            threading.Thread(target=self._waits, args=(loop,), daemon=True).start()

    def signal(self, number: int) -> None:
        """Signal the process."""
        if not self._ended.done():
            self._child.signal(number)

    def resize(self, window: tuple[int, int]) -> None:
        """Set the terminal's size, and tell also a process whose controlling terminal it is not."""
        if self._master >= 0:
            set_window(self._master, window)
            self._child.signal(signal.SIGWINCH)

    async def wait(self) -> Ended:
        """Until it ended."""
        return await asyncio.shield(self._ended)

    def leave(self) -> None:
        """Hang up."""
        if self._master >= 0:
            self._child.signal(signal.SIGHUP)
            self._child.signal(signal.SIGCONT)

    def _over(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._end(self._child.status())

    def _waits(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._child.status()
        try:
            loop.call_soon_threadsafe(self._end, code)
        except RuntimeError:
            pass  # nobody waits any more

    def _end(self, code: int) -> None:
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        if not self._ended.done():
            self._ended.set_result(ended(code))


def ended(code: int) -> Ended:
    """A wait status as subprocess has it (below 0: a signal's number)."""
    if code >= 0:
        return Ended(code)
    try:
        name = signal.Signals(-code).name.removeprefix("SIG")
    except ValueError:  # a real-time signal, which has no name in the protocol
        name = ""
    return Ended(128 - code, name)


def spawn(command: Command, window: tuple[int, int] | None) -> Process:
    """Start a process with pipes, or with a new terminal of this size. Raises ProcessError, OSError."""
    if window is not None:
        master, slave = pty.openpty()
        set_window(master, window)
        try:
            child = start(command, (slave, slave, slave))
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return Process(child, (os.dup(master), master, -1))
    pairs = [os.pipe() for _ in range(3)]
    (stdin, ours_in), (ours_out, stdout), (ours_err, stderr) = pairs
    try:
        child = start(command, (stdin, stdout, stderr))
    except BaseException:
        for fd in (ours_in, ours_out, ours_err):
            os.close(fd)
        raise
    finally:
        for fd in (stdin, stdout, stderr):
            os.close(fd)
    return Process(child, (ours_in, ours_out, ours_err))


def set_window(terminal: int, window: tuple[int, int]) -> None:
    """Set (rows, columns); what does not fit the kernel's 16 bits is cut."""
    rows, columns = (min(max(n, 0), 0xFFFF) for n in window)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
