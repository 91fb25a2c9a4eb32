"""The asking end of a control socket."""

from __future__ import annotations

import _socket
import os
from pathlib import Path

from bareboat.errors import EngineError
from bareboat.supervisor import wire
from bareboat.values import Any, dataclass

PATIENCE = 10.0  # seconds: an answer that takes longer comes from a process that is stopped


@dataclass(frozen=True)
class Answer:
    """What was answered, and the descriptor that came with it (-1: none), which is the caller's to close."""

    value: dict[str, Any]
    descriptor: int = -1


class Line:
    """A connection to who has a container. Raises EngineError "container.gone" where nobody listens."""

    def __init__(self, folder: Path, patience: float | None = PATIENCE) -> None:
        self.sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._buffer = bytearray()
        self._fds: list[int] = []
        try:
            door = wire.Door(os.fspath(folder))
            try:
                self.sock.settimeout(patience)
                self.sock.connect(door.address)
            finally:
                door.close()
        except OSError as error:
            self.sock.close()
            raise EngineError("container.gone", f"nobody answers for the container ({error.strerror or error})",
                              where=folder.name, hint="it may have just ended: bareboat ps -a") from None

    def ask(self, **request: Any) -> Answer:
        """One request and its answer. Raises EngineError: what the other side says, or "container.silent"."""
        try:
            self.sock.sendall(wire.document(request))
            while True:
                for kind, data in wire.parse(self._buffer):
                    if kind == wire.JSON:
                        return self._answer(wire.read_document(data))
                data, fds = wire.receive(self.sock)
                self._fds += fds
                if not data:
                    raise EngineError("container.gone", "the container ended before it answered",
                                      hint="bareboat ps -a says how")
                self._buffer += data
        except (TimeoutError, wire.Broken) as error:
            raise EngineError("container.silent", f"the process that has the container does not answer ({error})",
                              hint="it may be stopped: ps -o stat on its pid; kill -CONT wakes it") from None
        except OSError as error:
            raise EngineError("container.gone", f"the container ended before it answered ({error.strerror})",
                              hint="bareboat ps -a says how") from None

    def _answer(self, value: dict[str, Any]) -> Answer:
        descriptor = self._fds.pop() if self._fds else -1
        if "error" in value:
            code, what, where, hint = (str(text) for text in value["error"])
            raise EngineError(code, what, where=where, hint=hint)
        return Answer(value, descriptor)

    def rest(self) -> bytearray:
        """What came behind the answer."""
        return self._buffer

    def close(self) -> None:
        """Idempotent."""
        self.sock.close()
        for descriptor in self._fds:
            os.close(descriptor)
        self._fds = []


def ask(folder: Path, patience: float | None = PATIENCE, **request: Any) -> Answer:
    """One request to who has a container, on a connection of its own. Raises EngineError."""
    line = Line(folder, patience)
    try:
        return line.ask(**request)
    finally:
        line.close()
