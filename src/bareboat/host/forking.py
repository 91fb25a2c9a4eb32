"""The asking end of a process that forks others: each gets descriptors, and a descriptor of it comes back."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from bareboat.host.background import Handed, start_handed
from bareboat.values import dataclass

PATIENCE = 5.0  # seconds in which it forks, its imports included


@dataclass
class Forker:
    """A program that reads messages from descriptor 3: some byte, and descriptors; and answers with a pid and a pidfd.
    Started when it is first asked, and again when it is gone. env, log: its own.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    _socket: socket.socket | None = None

    def warm(self) -> None:
        """Start it now, so that it is ready when it is asked. Raises OSError."""
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                start_handed(Handed(self.argv, self.env, b"", self.log, (theirs.fileno(),)))
            ours.settimeout(PATIENCE)
            self._socket = ours

    def fork(self, descriptors: Sequence[int]) -> int:
        """A process with these descriptors; its pidfd. Raises OSError: then there is none, or it ends at once."""
        self.warm()
        assert self._socket is not None
        try:
            self._socket.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])
            found = array.array("i")
            data, ancillary, _, _ = self._socket.recvmsg(64, socket.CMSG_LEN(found.itemsize), socket.MSG_CMSG_CLOEXEC)
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    found.frombytes(content[: len(content) - len(content) % found.itemsize])
            if not data or not found:
                raise ConnectionResetError("what starts attempts ended")
            return int(found[0])
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let it end; what it forked goes on. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def log_file(path: Path) -> int:
    """A log that is appended to, ours alone. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
