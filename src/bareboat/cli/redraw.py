"""A Screen on a terminal, while it is followed: rows are drawn again where they changed, and nothing above them is."""

from __future__ import annotations

from collections.abc import Callable

from bareboat.cli.cells import changed, rendered
from bareboat.cli.screen import Row, Screen, columns


class Redraw:
    """write: to the terminal; size: its (columns, rows) now. What it is fed is fit for a terminal but for what Screen
    understands (cli/plain.py). A row that was changed is cut to the width, so that it stays one line.
    """

    def __init__(self, write: Callable[[bytes], None], size: Callable[[], tuple[int, int]],
                 stamp: Callable[[float], bytes] | None = None) -> None:
        self._write, self._size, self._stamp = write, size, stamp
        self._width = size()[0]
        self.screen = Screen(most=max(size()[1] - 2, 1), held=max(size()[1] - 2, 1))
        self._drawn: list[tuple[bytes, int]] = []  # rows that may change still, and how many lines each takes

    def feed(self, data: bytes, when: float) -> None:
        """More of it."""
        self.screen.write(data, when)
        self._show()

    def line(self, text: bytes, when: float) -> None:
        """As Screen.line."""
        self.screen.line(text, when)
        self._show()

    def finish(self) -> None:
        """No more follows."""
        last = self.screen.rows[-1]
        if last.raw is None and last.text():
            self._write(b"\n")

    def _show(self) -> None:
        width = self._size()[0]
        out = bytearray()
        if width != self._width:
            self._width = width
            if self._drawn:
                self._drawn = []
                out += b"\n"
        rows: list[tuple[bytes, int]] = []
        done, self.screen.done = self.screen.done, []
        whole = False  # whether the row before ended its line
        gone = 0
        for row, data in done:
            if row is not None:
                rows.append(self._row(row))
                whole, gone = row.ended, len(rows)
                continue
            out += self._draw(rows)
            if rows and whole:
                out += b"\n"
            out += data
            rows, self._drawn, gone, whole = [], [], 0, False
        rows += [self._row(row) for row in self.screen.rows]
        out += self._draw(rows)
        self._drawn = rows[gone:]
        if out:
            self._write(bytes(out))

    def _row(self, row: Row) -> tuple[bytes, int]:
        head = self._stamp(row.when) if self._stamp and (row.ended or row.text()) else b""
        if row.raw is None:
            return head + rendered(row.cells[:max(self._width - 1 - len(head), 0)]), 1
        text = bytes(row.raw).removesuffix(b"\n").rstrip(b"\r")
        taken, after = columns(text, row.look) if not text.isascii() or b"\x1b" in text or b"\t" in text else (
            len(text), row.look)
        lines = max(-(-(len(head) + taken) // self._width), 1)
        return head + (changed(row.look) if row.look else b"") + text + (changed(()) if after else b""), lines

    def _draw(self, rows: list[tuple[bytes, int]]) -> bytes:
        """What makes of the rows that are there these."""
        old = self._drawn
        same = 0
        while same < min(len(old), len(rows)) and old[same] == rows[same]:
            same += 1
        if same == len(rows) and same < len(old):
            same -= 1  # rows at the end are gone: the cursor is to be behind what stays
        texts = [text for text, _ in rows[same:]]
        if same == len(old):
            return (b"\n" if old and texts else b"") + b"\n".join(texts)
        if same == len(old) - 1 and texts and texts[0].startswith(old[same][0]) and texts[0].isascii():
            texts[0] = texts[0][len(old[same][0]):]
            return b"\n".join(texts)
        up = sum(lines for _, lines in old[same:]) - 1
        return b"\r" + (b"\x1b[%dA" % up if up else b"") + b"\x1b[J" + b"\n".join(texts)
