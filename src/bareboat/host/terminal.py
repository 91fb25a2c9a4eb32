"""Terminals: the caller's put into raw mode and always back, sizes, and what a program made of one."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from bareboat.values import Any

_SHELLS = (b"sh", b"bash", b"dash", b"zsh", b"fish", b"ksh", b"ash")


def size(terminal: int) -> tuple[int, int] | None:
    """(rows, columns) of a terminal; None when it does not know."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(terminal, termios.TIOCGWINSZ, b"\0" * 8))
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


def resize(terminal: int, window: tuple[int, int]) -> None:
    """Set a terminal's size; its foreground process group is told by the kernel."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *window, 0, 0))


class Raw:
    """The caller's terminal in raw mode for as long as the block lasts; restored whatever happens."""

    def __init__(self, terminal: int | None) -> None:
        self.terminal, self._before = terminal, None if terminal is None else _attributes(terminal)

    def __enter__(self) -> Raw:
        if self.terminal is not None and self._before is not None:
            import tty

            tty.setraw(self.terminal, termios.TCSADRAIN)
        return self

    def __exit__(self, *_: object) -> None:
        if self.terminal is not None and self._before is not None:
            try:
                termios.tcsetattr(self.terminal, termios.TCSADRAIN, self._before)
            except termios.error:
                pass  # it has been hung up


def takes_lines(master: int) -> bool:
    """Whether the program leaves its terminal as it was made: whole lines, and ^C as a signal."""
    found = _attributes(master)
    return found is not None and found[3] & termios.ICANON != 0 and found[3] & termios.ISIG != 0


def is_shell(argv: tuple[bytes, ...]) -> bool:
    """Whether a command is a shell that reads from the terminal: no script and no -c."""
    return os.path.basename(argv[0]) in _SHELLS and all(word[:1] == b"-" and b"c" not in word for word in argv[1:])


def _attributes(terminal: int) -> list[Any] | None:
    try:
        return termios.tcgetattr(terminal)
    except termios.error:
        return None
