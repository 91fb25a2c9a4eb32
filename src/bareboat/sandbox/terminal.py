"""A pty of the sandbox's own."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from bareboat.host import kernel
from bareboat.host.terminal import resize

_TIOCSPTLCK, _TIOCGPTN = 0x40045431, 0x80045430


def make(directory: bytes, window: tuple[int, int] | None) -> tuple[int, int]:
    """Mount a new devpts and open a pty in it; it is nobody's controlling terminal until leader.py takes it inside.

    The master is given to the parent and never to bwrap. Returns master and slave; window is (rows, columns).
    """
    kernel.mount(b"devpts", directory, b"devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC,
                 b"newinstance,ptmxmode=0666,mode=0620")
    return open_pty(directory, window)


def open_pty(directory: bytes, window: tuple[int, int] | None) -> tuple[int, int]:
    """Master and slave of a new pty in a devpts that is mounted there."""
    master = os.open(directory + b"/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    number = struct.unpack("i", fcntl.ioctl(master, _TIOCGPTN, b"\0" * 4))[0]
    slave = os.open(directory + b"/%d" % number, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if window is not None:
        resize(master, window)
    return master, slave


def control(slave: int) -> None:
    """Make it the controlling terminal of this process, a session leader without one."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
