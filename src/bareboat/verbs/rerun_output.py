"""Where a repetition's output goes: nowhere, to our streams, or through a filter to our terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bareboat.record.values import RunRecord
from bareboat.verbs.rerun_mounts import foreign

if TYPE_CHECKING:
    from bareboat.verbs.rerun import RerunRequest

Filter = Callable[[Iterable[bytes]], Iterable[bytes]]


@contextmanager
def output(old: RunRecord, request: RerunRequest) -> Iterator[tuple[int, int]]:
    """Descriptors for what the program says: nowhere, ours, or through the caller's filter to our terminal."""
    if request.quiet:
        with open(os.devnull, "wb") as null:
            yield null.fileno(), null.fileno()
        return
    with ExitStack() as opened:
        yield tuple(opened.enter_context(_through(request.harmless, fd)) if request.harmless and foreign(old)
                    and os.isatty(fd) else fd for fd in (1, 2))  # type: ignore[misc]


@contextmanager
def _through(harmless: Filter, out: int) -> Iterator[int]:
    """A descriptor whose bytes are written to another one, filtered, all of them before this ends."""
    from threading import Thread

    there, here = os.pipe()

    def relay() -> None:
        try:
            for chunk in harmless(iter(lambda: os.read(there, 1 << 16), b"")):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(out, view):]
        except OSError:  # the terminal went away: the log has all of it
            while os.read(there, 1 << 16):
                pass

    thread = Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        os.close(here)
        thread.join()
        os.close(there)
