"""Text of records made fit for a terminal: nothing in it can move the cursor, and it stays within the width.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator


def plain(text: str) -> str:
    """One line, control characters and undecodable bytes written as escapes: records may be a stranger's."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


class Replay:
    """A log for a terminal, its colours kept: every other control sequence is written as an escape. moves: those that
    cli/screen.py carries out are kept, too.

    A log may be a stranger's: it must not set titles, fill the clipboard or move over what was said before.
    """

    def __init__(self, moves: bool = False) -> None:
        import re

        # first what stays as it is, then the rest: other escapes and controls, C1 controls in UTF-8
        kept = rb"[0-9;:]*m|[0-9]{0,8}[A-GJKP]|\?(?:7|25|2026)[hl]" if moves else rb"[0-9;:]*m"
        self._control = re.compile(rb"(\x1b\[(?:" + kept + rb"))|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")
        self._unfinished = re.compile(rb"(?:\x1b(?:\[\??[0-9;:]{0,60})?|\xc2)\Z")
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """A piece of it, but for a sequence that is not complete yet."""
        data = self._rest + chunk
        cut = self._unfinished.search(data)
        end = cut.start() if cut else len(data)
        self._rest = data[end:]
        return self._shown(data[:end])

    def end(self) -> bytes:
        """What was not complete."""
        return self._shown(self._rest)

    def _shown(self, data: bytes) -> bytes:
        return self._control.sub(lambda match: match[1] or b"\\x%02x" % match[0][-1], data)


def replay(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of a log for a terminal."""
    log = Replay()
    for chunk in chunks:
        yield log.feed(chunk)
    yield log.end()


def clip(text: str, width: int) -> str:
    """Text of at most width characters."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def width() -> int:
    """Columns of the terminal on standard output; 80 where there is none."""
    if not sys.stdout.isatty():
        return 80
    import shutil

    return max(shutil.get_terminal_size().columns, 40)


def moment(text: str) -> str:
    """A record's time for people: "2026-05-01 12:00:00" (UTC)."""
    return text.replace("T", " ").removesuffix("Z")


def took(seconds: float) -> str:
    """A duration for people."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def about(seconds: float) -> str:
    """A stretch of time as people say it."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36000 else f"{round(seconds / 3600)} h" if seconds < 172800 else (
        f"{round(seconds / 86400)} d")
