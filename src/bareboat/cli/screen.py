"""What a program wrote, as the lines that a terminal would show in the end: a progress bar is its last state. Pure.

Lines that nothing moved back into are given on byte for byte. The others are kept as cells until they scroll out of a
window of rows that the program may still move up to; so the memory is bounded whatever is written, and the outcome does
not depend on how the bytes are cut into pieces.

Understood of a terminal (ECMA-48, xterm's ctlseqs): CR, BS, HT, CSI A B C D E F G (the cursor), K and J (erase), m
(colours). The cursor's look and wrapping (CSI ?25h, ?7l …) are left out where a row was changed, as is all else that
has no place in a line. CSI 2J finishes what was there; CSI H moves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bareboat.cli.cells import BLANK, SGR, Cell, Look, after, changed, combined, rendered, width

ROWS = 64  # that can be moved up to
COLUMNS, BYTES = 4096, 1 << 16  # of a row that is kept; a longer one is passed on as it comes
_CELL = 32  # bytes of one character with its accents

_CSI = rb"\x1b\[[0-?]{0,64}[ -/]{0,4}[@-~]"
_OSC = rb"\x1b\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)"
_ESC = rb"\x1b[ -/]{0,4}[0-Z\\^-~]"
_TOKEN = re.compile(rb"(" + _CSI + rb")|" + _OSC + rb"|" + _ESC + rb"|[\x00-\x1f\x7f]|[^\x00-\x1f\x7f]+")
# a piece may end within a sequence, or within a character
_UNFINISHED = re.compile(rb"(?:\x1b(?:\[[0-?]{0,64}[ -/]{0,4}|\][^\x07\x1b]{0,4096}\x1b?|[ -/]{0,4})?"
                         rb"|[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
_CHARACTER = re.compile(rb"[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|.",
                        re.DOTALL)


class Row:
    """raw: what was written, while nothing moved in it; None once it is cells. look: what was set where it began."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.raw: bytearray | None = bytearray()
        self.cells: list[Cell] = []
        self.returns = 0  # CRs at the end of raw, which mean nothing yet
        self.ended = False
        self.when = 0.0

    def text(self) -> bytes:
        """Without the end of the line."""
        if self.raw is not None:
            return bytes(self.raw) + b"\r" * self.returns
        return rendered(self.cells)


class Screen:
    """held: how many finished rows wait for being moved into; more where the program moves up further, up to most.
    stamp: put before each row, of the time of its last change.
    """

    def __init__(self, held: int = ROWS, most: int = ROWS, stamp: Callable[[float], bytes] | None = None) -> None:
        self._held, self._most, self._stamp = held, most, stamp
        self.rows = [Row(())]
        self.at, self.column = 0, 0  # of the cursor; column counts in rows of cells alone
        self.passing = False  # the row is longer than any that is kept
        self._look: Look = ()
        self._said: Look = ()  # what is set where the output ends
        self._rest = b""
        self._now = 0.0
        self.done: list[tuple[Row | None, bytes]] = []  # what scrolled out, until it is taken; None: text as it came

    def feed(self, data: bytes, when: float = 0.0) -> bytes:
        """More of it, written at a time; what is finished by it."""
        self.write(data, when)
        return self.taken()

    def write(self, data: bytes, when: float = 0.0) -> None:
        """As feed; what is finished waits in done."""
        self._now = when
        data = self._rest + data
        within = 5000 if b"\x1b" in data[-5000:] else 3
        cut = _UNFINISHED.search(data, max(len(data) - within, 0))
        end = cut.start() if cut else len(data)
        data, self._rest = data[:end], data[end:]
        if not self._ordinary(data):
            for token in _TOKEN.finditer(data):
                self._token(token[0], token[1] is not None)

    def line(self, text: bytes, when: float) -> None:
        """A line of somebody else's: what was begun ends before it, and its colours end too."""
        self._now = when
        self._rests()
        self.at = len(self.rows) - 1
        if self.passing or self.rows[-1].text():
            self._newline()
        self._look = self.rows[-1].look = ()
        if text:
            self._text(text)
            self._newline()

    def finish(self) -> bytes:
        """All that is left."""
        self._rests()
        self._scroll(0)
        if self.rows[0].text():
            self._emit(self.rows[0])
        self.rows, self.at, self.column = [Row(self._look)], 0, 0
        return self.taken()

    def taken(self) -> bytes:
        """What has scrolled out since the last time."""
        done, self.done = self.done, []
        return b"".join(data for _, data in done)

    def _rests(self) -> None:
        rest, self._rest = self._rest, b""
        if self.passing and rest:
            self.done.append((None, rest))
        elif rest:
            self._text(rest)

    # what comes

    def _ordinary(self, data: bytes) -> bool:
        """Whole lines without anything that moves, the fast way."""
        last = self.rows[-1]
        if (self.passing or self._stamp or self.at != len(self.rows) - 1 or last.raw is None or last.returns
                or b"\x1b" in data or b"\b" in data or data.count(b"\r") != data.count(b"\r\n")):
            return False
        lines = data.split(b"\n")
        if max(map(len, lines)) + len(last.raw) >= BYTES:
            return False
        many = len(lines) - 1 - self._held
        if many > 1:  # these go out at once
            self._look = after(last.raw, last.look)
            last.raw += lines[0] + b"\n"
            last.ended = True
            self._scroll(0, len(self.rows))
            head = b"" if self._look == self._said else changed(self._look)
            self._said = self._look
            self.done.append((None, head + b"\n".join(lines[1:many]) + b"\n"))
            self.rows, lines = [Row(self._look)], lines[many:]
        for number, line in enumerate(lines):
            if number:
                self._newline()
            row = self.rows[-1]
            assert row.raw is not None
            row.raw += line
            row.when = self._now
        self.at = len(self.rows) - 1
        return True

    def _token(self, token: bytes, sequence: bool) -> None:
        if token == b"\n":
            self._newline()
        elif self.passing:
            if (not sequence and token != b"\b") or token.endswith(b"m"):
                self.done.append((None, token))
        elif token == b"\r":
            row = self.rows[self.at]
            if row.raw is None or self.at < len(self.rows) - 1:
                self._cells()
                self.column = 0
            else:
                row.returns += 1
        elif token == b"\b":
            self._cells()
            self.column = max(self.column - 1, 0)
        elif sequence and not token.endswith(b"m"):
            self._sequence(token)
        elif token[0] >= 32 and token[0] != 127:
            self._text(token)
        else:
            self._other(token)

    def _newline(self) -> None:
        row = self.rows[self.at]
        if self.passing:
            self.done.append((None, b"\n"))
            self.rows, self.at, self.column, self.passing = [Row(self._look)], 0, 0, False
            return
        if self.at == len(self.rows) - 1:
            row.ended = True
            if row.raw is not None:
                row.raw += b"\r" * row.returns + b"\n"
                row.returns = 0
                self._look = after(row.raw, row.look)
            row.when = row.when or self._now
            self.rows.append(Row(self._look))
        self.at += 1
        self.column = 0
        self._scroll(self._held)

    def _text(self, text: bytes) -> None:
        row = self.rows[self.at]
        row.when = self._now
        if row.raw is not None and not row.returns and self.at == len(self.rows) - 1:
            room = BYTES - len(row.raw)
            row.raw += text[:room]
            if len(text) >= room:
                self._overflow(text[room:])
            return
        self._cells()
        for match in _CHARACTER.finditer(text):
            self._put(match[0])
            if self.column >= COLUMNS:
                self._overflow(text[match.end():])
                return

    def _other(self, token: bytes) -> None:
        """A colour, a tab, or what moves nothing."""
        row = self.rows[self.at]
        if row.raw is not None and self.at == len(self.rows) - 1 and not row.returns:
            row.raw += token
            if len(row.raw) >= BYTES:
                self._overflow(b"")
            return
        self._cells()
        if token == b"\t":
            self.column = min(self.column // 8 * 8 + 8, COLUMNS - 1)
        elif SGR.fullmatch(token):
            self._look = combined(self._look, token)

    def _sequence(self, token: bytes) -> None:
        kind, parameters = token[-1:], token[2:-1]
        if parameters.isdigit() or not parameters:
            given = int(parameters or b"0")
            many = max(min(given, 1 << 16), 1)
            if kind in b"ABEF":
                self._vertical(many if kind in b"BE" else -many, start=kind in b"EF")
            elif kind in b"CDGKJP":
                self._cells()
                self._horizontal(kind, given, many)
            elif kind not in b"Hhl":
                self._other(token)
        elif not parameters.startswith(b"?") and kind not in b"H":
            self._other(token)
        elif self.rows[self.at].raw is not None and kind in b"hl":
            self._cells()

    def _vertical(self, by: int, start: bool) -> None:
        last = len(self.rows) - 1
        self._cells()
        row = self.at + by
        if row < 0:  # further than is held: as far as there is, and next time it will be
            self._held = min(self._most, max(self._held, last - row))
        self.at = min(max(row, 0), last)
        column = 0 if start else self.column
        self._cells()
        self.column = column

    def _horizontal(self, kind: bytes, given: int, many: int) -> None:
        row = self.rows[self.at]
        if kind == b"C":
            self.column = min(self.column + many, COLUMNS - 1)
        elif kind == b"D":
            self.column = max(self.column - many, 0)
        elif kind == b"G":
            self.column = min(many, COLUMNS) - 1
        elif kind == b"P":
            del row.cells[self.column:self.column + many]
        elif kind == b"K" or given in (0, 1):
            if kind == b"J" and given == 0:
                del self.rows[self.at + 1:]
                row.ended = False
            if given == 1:
                until = min(self.column + 1, len(row.cells))
                row.cells[:until] = [BLANK] * until
            else:
                del row.cells[0 if given == 2 else self.column:]
        else:  # the whole screen: a new one begins
            if row.cells or self.at < len(self.rows) - 1:
                self.rows[-1].ended = True
                self.rows.append(Row(self._look))
            self.at, self.column = len(self.rows) - 1, 0
            self._scroll(0)

    # rows

    def _cells(self) -> None:
        """Make the cursor's row one of cells."""
        row = self.rows[self.at]
        raw = row.raw
        if raw is None:
            return
        here = self.at == len(self.rows) - 1
        look, column, back = self._look, self.column, row.returns
        text = bytes(raw)
        if row.ended:
            text = text.removesuffix(b"\n").rstrip(b"\r")
        row.raw, row.returns, row.when = None, 0, row.when or self._now
        self._look, self.column = row.look, 0
        for token in _TOKEN.finditer(text):
            part = token[0]
            if part == b"\t" or part[0] == 27:
                self._other(part)
            elif part[0] >= 32 and part[0] != 127:
                for match in _CHARACTER.finditer(part):
                    self._put(match[0])
        if here:
            self.column = 0 if back else self.column
        else:
            self._look, self.column = look, column

    def _put(self, character: bytes) -> None:
        cells = self.rows[self.at].cells
        wide = 1 if len(character) == 1 else width(character)
        if wide == 0:
            place = min(self.column, len(cells)) - 1
            while place > 0 and not cells[place][1]:
                place -= 1
            if place >= 0 and len(cells[place][1]) + len(character) <= _CELL:
                cells[place] = (cells[place][0], cells[place][1] + character)
            return
        if self.column > len(cells):
            cells += [BLANK] * (self.column - len(cells))
        cell = (self._look, character)
        if self.column == len(cells):
            cells.append(cell)
        else:
            self._halves(cells, self.column)
            cells[self.column] = cell
        self.column += 1
        if wide == 2:
            if self.column == len(cells):
                cells.append((self._look, b""))
            else:
                self._halves(cells, self.column)
                cells[self.column] = (self._look, b"")
            self.column += 1

    @staticmethod
    def _halves(cells: list[Cell], place: int) -> None:
        """A wide character that is written over by half is gone."""
        if not cells[place][1] and place:
            cells[place - 1] = (cells[place - 1][0], b" ")
        elif place + 1 < len(cells) and not cells[place + 1][1]:
            cells[place + 1] = (cells[place + 1][0], b" ")

    def _overflow(self, text: bytes) -> None:
        """A row longer than any bar: it goes out, and what follows of it as it comes."""
        here = self.at == len(self.rows) - 1
        if here and self.rows[self.at].raw is not None:
            self._look = after(self.rows[self.at].raw or b"", self.rows[self.at].look)
        if not here:
            self.rows[-1].ended = True
            self.rows.append(Row(self._look))
        self._scroll(0)
        self._emit(self.rows[0])
        self.rows, self.at, self.passing = [Row(self._look)], 0, True
        if text:
            self.done.append((None, text))

    def _scroll(self, held: int, many: int = 0) -> None:
        """Let go of rows beyond those that are held."""
        many = many or max(len(self.rows) - 1 - held, 0)
        for row in self.rows[:many]:
            self._emit(row)
        del self.rows[:many]
        self.at = max(self.at - many, 0)

    def _emit(self, row: Row) -> None:
        head = self._stamp(row.when) if self._stamp else b""
        if row.raw is not None:
            head += b"" if row.look == self._said else changed(row.look)
            self._said = after(row.raw, row.look)
            self.done.append((row, head + bytes(row.raw) + b"\r" * row.returns))
        else:
            head += b"" if not self._said else changed(())
            self._said = ()
            self.done.append((row, head + rendered(row.cells) + (b"\n" if row.ended else b"")))


def columns(text: bytes, look: Look) -> tuple[int, Look]:
    """How many a text without moves takes, and what is set after it."""
    screen = Screen()
    screen.rows[0].raw, screen.rows[0].look = bytearray(text), look
    screen._cells()
    return screen.column, screen._look
