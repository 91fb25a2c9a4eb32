"""One loop over poll(2): what waits for streams, signals and sockets at once, without threads."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from bareboat.values import dataclass, field

CHUNK = 1 << 16


@dataclass
class Loop:
    """poll(2) with a callback for each descriptor, and calls at their time; a callback that returns False is dropped.
    """

    poll: select.poll = field(default_factory=select.poll)
    calls: dict[int, Callable[[], bool]] = field(default_factory=dict)
    later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)  # by time.monotonic

    def add(self, descriptor: int, call: Callable[[], bool], events: int = select.POLLIN) -> None:
        """Call when the descriptor is ready."""
        self.poll.register(descriptor, events)
        self.calls[descriptor] = call

    def drop(self, descriptor: int) -> None:
        """Forget a descriptor; one that is not there is fine."""
        if self.calls.pop(descriptor, None) is not None:
            self.poll.unregister(descriptor)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, at the first turn after so many seconds."""
        self.later.append((time.monotonic() + seconds, call))

    def turn(self, milliseconds: int | None) -> bool:
        """Wait once and call what is ready and what is due; False when no descriptor was ready."""
        if self.later and milliseconds != 0:
            soon = max(0, int((min(at for at, _ in self.later) - time.monotonic()) * 1000) + 1)
            milliseconds = soon if milliseconds is None else min(milliseconds, soon)
        ready = self.poll.poll(milliseconds)
        for descriptor, _ in ready:
            call = self.calls.get(descriptor)
            if call is not None and not call():
                self.drop(descriptor)
        if self.later:
            now = time.monotonic()
            due = [call for at, call in self.later if at <= now]
            self.later = [item for item in self.later if item[0] > now]
            for timed in due:
                timed()
        return bool(ready)


def reader(descriptor: int, give: Callable[[bytes], None]) -> Callable[[], bool]:
    """Read what is there and give it on; ends at end of file, or when a pty's other side is gone (EIO)."""

    def call() -> bool:
        try:
            chunk = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            chunk = b""
        if chunk:
            give(chunk)
        return bool(chunk)

    return call
