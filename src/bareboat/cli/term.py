"""What a terminal is told: styles, sizes, and the report lines of long work. Messages go to standard error."""

from __future__ import annotations

import os
import sys
import time

from bareboat.cli.plain import plain

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def colour(stream: int = 2) -> bool:
    """Whether to colour: a terminal, TERM not dumb, NO_COLOR unset or empty (no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and os.isatty(stream)


def style(text: str, name: str, stream: int = 2) -> str:
    """Text in a style where the stream shows one, else the text itself."""
    return f"\x1b[{STYLES[name]}m{text}\x1b[0m" if colour(stream) else text


def size(count: int) -> str:
    """Bytes as people read them, decimal units: 1.2 GB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit in ("B", "kB") or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB" if value < 10 else f"{value:.0f} TB"


def table(rows: list[tuple[str, ...]], *, right: tuple[int, ...] = ()) -> str:
    """Rows with aligned columns, two spaces apart; `right` names the right-aligned ones. Cells are made plain."""
    if not rows:
        return ""
    rows = [tuple(map(plain, row)) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(w) if i in right else cell.ljust(w)
                 for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


class Reporter:
    """Report lines on standard error; a bar that is redrawn on a terminal, plain lines now and then elsewhere.

    level: 0 quiet (errors only), 1 the few short lines, 2 verbose.
    """

    def __init__(self, level: int = 1) -> None:
        self.level, self._bar, self._last = level, False, 0.0

    def say(self, text: str) -> None:
        """One line a user should see."""
        if self.level >= 1:
            self._line(text)

    def detail(self, text: str) -> None:
        """One line for -v."""
        if self.level >= 2:
            self._line(text)

    def progress(self, what: str, done: int, total: int) -> None:
        """Work in bytes; cheap to call often. On a terminal a bar ten times a second, else a line every 5 s."""
        now = time.monotonic()
        live = sys.stderr.isatty()
        if self.level < 1 or now - self._last < (0.1 if live else 5):
            return
        first, self._last = self._last == 0.0, now
        if live:
            width = 24
            full = int(width * done / total) if total else 0
            bar = "━" * full + " " * (width - full)
            of = f" of {size(total)}" if total else ""
            sys.stderr.write(f"\r\x1b[K  {plain(what)[:24]:24} {bar} {size(done)}{of}")
            sys.stderr.flush()
            self._bar = True
        elif not first:
            self._line(f"  {what}: {size(done)}" + (f" of {size(total)}" if total else ""))

    def _line(self, text: str) -> None:
        # names of files, packages and programs are others' text: none may move the cursor or add a line
        text = plain(text)
        if self._bar:
            sys.stderr.write("\r\x1b[K")
            self._bar = False
        sys.stderr.write(f"{style('bareboat', 'dim')} {text}\n")
        sys.stderr.flush()
