"""Text of records made fit for a terminal: nothing in it can move the cursor, and it stays within the width.
"""

from __future__ import annotations

import sys


def plain(text: str) -> str:
    """One line, control characters and undecodable bytes written as escapes: records may be a stranger's."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


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
