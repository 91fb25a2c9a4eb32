"""The streams of one program in a sandbox, seen from outside: pipes or a terminal, and who copies what."""

from __future__ import annotations

import os
from collections.abc import Callable

from bareboat.errors import EngineError
from bareboat.host import relay, terminal
from bareboat.host.loop import Loop, reader
from bareboat.values import Any, Protocol

_TAIL = 2000  # bytes of stderr kept, to quote when the sandbox itself failed


class Streams(Protocol):
    """engine.base.Streams, seen from below."""

    @property
    def stdout(self) -> Callable[[bytes], None]: ...
    @property
    def stderr(self) -> Callable[[bytes], None]: ...
    @property
    def started(self) -> Callable[[], None]: ...
    @property
    def live(self) -> Callable[[Loop, Any], None]: ...
    @property
    def stdin(self) -> int | None: ...
    @property
    def terminal(self) -> int | None: ...
    @property
    def layer(self) -> Callable[[int], frozenset[bytes]]: ...


class Plumbing:
    """Descriptors of ours, and the loop that turns around them. tty: one pty comes instead of three pipes."""

    def __init__(self, streams: Streams, tty: bool) -> None:
        self.streams, self.tty = streams, tty
        self.loop = Loop()
        self.owned: list[int] = []  # descriptors to close at the end
        self.master = -1
        self.copier: relay.Copier | None = None
        self.tail = b""
        self._copy: tuple[int, int] | None = None
        self._heard: set[int] = set()
        self._out: tuple[int, int] | None = None

    def own(self, descriptor: int) -> int:
        """Close it at the end."""
        self.owned.append(descriptor)
        return descriptor

    def pipe(self) -> tuple[int, int]:
        """Our reading end, and the one to give away."""
        read, write = os.pipe2(os.O_CLOEXEC)
        return self.own(read), write

    def given(self) -> list[int]:
        """0, 1 and 2 of the program, for whoever forks to close after the fork; -1 each with a terminal."""
        if self.tty:
            return [-1, -1, -1]
        stdin, self._copy = self._stdin()
        out, out_in = self.pipe()
        err, err_in = self.pipe()
        self._out = (out, err)
        return [stdin, out_in, err_in]

    def listen(self) -> None:
        """Read what comes, once the program's ends have been given away."""
        if self._out is not None:
            out, err = self._out
            self.hear(out, reader(out, self.streams.stdout))
            self.hear(err, reader(err, self._stderr))
        if self._copy is not None:
            self.copier = relay.Copier(self.loop, *self._copy)

    def hear(self, descriptor: int, call: Callable[[], bool]) -> None:
        """Call when there is something to read, and until its end when everything is over."""
        self._heard.add(descriptor)
        self.loop.add(descriptor, call)

    def _stdin(self) -> tuple[int, tuple[int, int] | None]:
        """The descriptor for the program, and (source, sink) when we have to copy."""
        source = self.streams.stdin
        if source is None:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), None
        if relay.is_directory(source):
            raise EngineError("engine.stdin", "standard input is a directory",
                              hint="Give a file, a pipe, or /dev/null.")
        if relay.passes(source):
            return os.dup(source), None
        read, write = os.pipe2(os.O_CLOEXEC)
        return read, (source, write)

    def _stderr(self, chunk: bytes) -> None:
        self.tail = (self.tail + chunk)[-_TAIL:]
        self.streams.stderr(chunk)

    def terminal(self, master: int, typed: Callable[[], None] = lambda: None) -> None:
        """The pty that the program got; typed: called when ^C was."""
        self.master = master
        self.hear(master, reader(master, self.streams.stdout))
        if self.streams.stdin is not None:
            self.copier = relay.Copier(self.loop, self.streams.stdin, os.dup(master), b"\x04", typed)
            self.own(self.copier.sink)
            os.set_blocking(master, False)

    def resize(self, size: tuple[int, int] | None) -> None:
        """Hand a size on to the program's terminal, where both are."""
        if self.master >= 0 and size is not None:
            terminal.resize(self.master, size)

    def resume(self) -> None:
        """Read standard input again, after a stop in the background."""
        if self.copier is not None:
            self.copier.resume()

    def drain(self) -> None:
        """All writers are dead, so what is in the pipes is all there will be."""
        if self.copier is not None:
            self.copier.close()
        while self._heard & self.loop.calls.keys() and self.loop.turn(0):
            pass

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        if self.copier is not None:
            self.copier.close()
        for descriptor in self.owned:
            try:
                os.close(descriptor)
            except OSError:
                pass
        self.owned = []
