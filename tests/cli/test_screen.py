"""Progress bars of a log as their last state, however the bytes were cut; on a terminal, drawn as a terminal would."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bareboat.cli.plain import Replay
from bareboat.cli.redraw import Redraw
from bareboat.cli.screen import BYTES, COLUMNS, ROWS, Screen


def seen(data: bytes, held: int = ROWS) -> bytes:
    screen = Screen(held)
    return screen.feed(data) + screen.finish()


TQDM = b"".join(b"\r%3d%%|%-10s| %d/10 [00:0%d]" % (n * 10, b"#" * n, n, n) for n in range(11))
KERAS = (b"Epoch 1/2\n\x1b[1m1/2\x1b[0m \x1b[32m----\x1b[0m\x1b[37m----\x1b[0m \x1b[1m0s\x1b[0m loss: 0.90"
         b"\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\r\x1b[1m2/2\x1b[0m \x1b[32m--------\x1b[0m\x1b[37m\x1b[0m "
         b"\x1b[1m1s\x1b[0m loss: 0.50\nEpoch 2/2\n")


@pytest.mark.parametrize(("written", "shown"), [
    (b"plain\nlines\n", b"plain\nlines\n"),
    (b"dos\r\nlines\r\r\n", b"dos\r\nlines\r\r\n"),
    (b"no end", b"no end"),
    (b"counting 1\r", b"counting 1\r"),
    (TQDM + b"\nloss 0.3\n", b"100%|##########| 10/10 [00:010]\nloss 0.3\n"),
    (TQDM, b"100%|##########| 10/10 [00:010]"),
    (b"long before\rshort\n", b"shortbefore\n"),
    (b"long before\r\x1b[Kshort\n", b"short\n"),
    (b"\r  0%\r\x1b[2K\r 50%\r\x1b[2K\r100%\n", b"100%\n"),
    (b"12\x08\x083\n", b"32\n"),
    (b"a\tb\rX\n", b"X       b\n"),
    (KERAS, b"Epoch 1/2\n\x1b[0m\x1b[1m2/2\x1b[0m \x1b[0m\x1b[32m--------\x1b[0m \x1b[0m\x1b[1m1s\x1b[0m loss: 0.50\n"
            b"Epoch 2/2\n"),
    (b"one 0\ntwo 0\n\x1b[2Aone 9\ntwo 9\nafter\n", b"one 9\ntwo 9\nafter\n"),  # docker, rich
    (b"a 0%\n\rb 0%\x1b[A\ra 5%\n\rb 5%\x1b[A\ra 9%\n\rb 9%\n", b"a 9%\nb 9%\n"),  # tqdm, nested
    (b"\x1b[?25lx 1\rx 2\x1b[?25h\n", b"x 2\n"),
    (b"one\ntwo\nthree\x1b[1A\x1b[J\nfour\n", b"one\ntwo\nfour\n"),
    (b"old\n\x1b[2J\x1b[Hnew\n", b"old\nnew\n"),  # a screen that is cleared is one more, and none is lost
    (b"\x1b[99999999Aup\n", b"up\n"),
    ("進捗 1\r完了\n".encode(), "完了 1\n".encode()),
    ("進捗\rx\n".encode(), "x 捗\n".encode()),  # a wide one that is written over by half is gone
    ("e\u0301\rX\n".encode(), b"X\n"),
    (b"\xff\xc3\rX\n", b"X\xc3\n"),
    (b"\x1b[31mred\rX\n", b"\x1b[0m\x1b[31mXed\x1b[0m\n"),
])
def test_what_is_shown(written: bytes, shown: bytes) -> None:
    assert seen(written) == shown


def test_without_a_window_the_first_frame_stays_and_the_last_one_is_right() -> None:
    frame = b"a %d\nb %d\n"
    written = frame % (0, 0) + b"".join(b"\x1b[2A" + frame % (n, n) for n in range(1, 9)) + b"end\n"
    assert seen(written, held=0) == b"a 0\nb 0\na 8\nb 8\nend\n"


def test_ordinary_lines_wait_for_nothing_where_it_is_followed() -> None:
    screen = Screen(0)
    assert screen.feed(b"loss 1\nlo") == b"loss 1\n"
    assert screen.feed(b"ss 2\n") == b"loss 2\n"


WRITTEN = st.lists(st.one_of(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\x08", b"\t", b"\x1b[A", b"\x1b[2A", b"\x1b[B", b"\x1b[K", b"\x1b[2K",
                     b"\x1b[J",
                     b"\x1b[1;31m", b"\x1b[0m", b"\x1b[38;5;9m", b"\x1b[3C", b"\x1b[2D", b"\x1b[5G", b"\x1b[2J",
                     b"\x1b[H",
                     b"\x1b[?25l", b"\x1b]0;t\x07", b"\x1b(B", b"\x1b", b"\x1b[", "█".encode(), "進".encode(),
                     "\u0301".encode(), b"\xe2\x96", b"\x07"]),
    st.text("ab 1", max_size=6).map(str.encode), st.binary(max_size=4)), max_size=30)


@given(WRITTEN, st.data(), st.sampled_from([0, 1, ROWS]))
@settings(max_examples=300, deadline=None)
def test_the_same_however_it_is_cut(written: list[bytes], data: st.DataObject, held: int) -> None:
    whole = b"".join(written)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=9)))
    screen, out = Screen(held), b""
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        out += screen.feed(whole[begin:end])
    assert out + screen.finish() == seen(whole, held)


@given(st.lists(st.binary(max_size=40).map(lambda b: re.sub(rb"[\r\x08\x1b]", b"", b)), max_size=200),
       st.sampled_from([0, 3]))
def test_what_moves_nothing_is_byte_for_byte(lines: list[bytes], held: int) -> None:
    screen, out = Screen(held), b""
    for line in lines:
        out += screen.feed(line + b"\n")
    assert out + screen.finish() == b"".join(line + b"\n" for line in lines)


@given(st.lists(st.sampled_from([b"\x1b[31m", b"\x1b[0m", b"\x1b[1;4m", b"text", b"\n", b"\r\n", b"\x1b]0;t\x07"]),
                max_size=40))
def test_colours_alone_are_byte_for_byte(written: list[bytes]) -> None:
    assert seen(b"".join(written)) == b"".join(written)


@pytest.mark.parametrize("piece", [b"x" * 1000, b"\r" + b"y" * 300, b"\r" + b"z" * (COLUMNS + 7), b"\x1b[1m", b"\x08",
                                   "a\u0301".encode() * 500, "\u0301".encode() * 500, b"\rx\n" * 50, b"\x1b]0;" * 200])
def test_a_line_without_an_end_takes_little_memory(piece: bytes) -> None:
    screen = Screen()
    for _ in range(200):
        screen.feed(piece)
    tracemalloc.start()
    for _ in range(800):
        screen.feed(piece)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 4 * BYTES


def test_a_long_line_loses_nothing() -> None:
    line = bytes(range(32, 127)) * 2000
    assert seen(b"first\n" + line + b"\nlast\n") == b"first\n" + line + b"\nlast\n"
    assert seen(b"\r" + line + b"\nlast\n") == line + b"\nlast\n"


def test_a_line_of_somebody_else_ends_what_was_begun() -> None:
    screen = Screen()
    out = screen.feed(b"\r 50%\x1b[31m") + b""
    screen.line("── attempt 2 ──".encode(), 1.0)
    out += screen.feed(b" 60%\n") + screen.finish()
    assert out == " 50%\n── attempt 2 ──\n 60%\n".encode()


def test_rows_have_the_time_of_their_last_change() -> None:
    screen = Screen(stamp=lambda when: b"%d " % when)
    out = screen.feed(b"a\n\r 1%", 1.0) + screen.feed(b"\r 2%\nlast", 2.0) + screen.finish()
    assert out == b"1 a\n2  2%\n2 last"


class Terminal:
    """As much of one as Redraw uses; it fails at everything else."""

    def __init__(self, width: int) -> None:
        self.width, self.rows, self.at, self.column = width, [""], 0, 0

    def write(self, data: bytes) -> None:
        for token in re.findall(r"\x1b\[[0-9;]*[a-zA-Z]|[\x00-\x1f]|[^\x00-\x1f]", data.decode(errors="replace")):
            if token == "\n":
                self._down()
                self.column = 0
            elif token == "\r":
                self.column = 0
            elif token[0] == "\x1b" and token[-1] == "A":
                self.at -= int(token[2:-1] or 1)
                assert self.at >= 0, "above what was written"
            elif token == "\x1b[J":
                self.rows[self.at] = self.rows[self.at][:self.column]
                del self.rows[self.at + 1:]
            elif token[0] == "\x1b":
                assert token[-1] == "m", token
            else:
                assert ord(token) >= 32
                if self.column == self.width:
                    self._down()
                    self.column = 0
                self.rows[self.at] = self.rows[self.at][:self.column].ljust(self.column) + token + (
                    self.rows[self.at][self.column + 1:])
                self.column += 1

    def _down(self) -> None:
        self.at += 1
        if self.at == len(self.rows):
            self.rows.append("")


def live(pieces: list[bytes], width: int, rows: int = 100) -> Terminal:
    terminal, fit = Terminal(width), Replay(moves=True)
    redraw = Redraw(terminal.write, lambda: (width, rows))
    for piece in pieces:
        redraw.feed(fit.feed(piece), 0.0)
    return terminal


PLAIN = st.lists(st.one_of(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\x08", b"\x1b[A", b"\x1b[2A", b"\x1b[B", b"\x1b[K", b"\x1b[J",
                     b"\x1b[1;31m", b"\x1b[0m",
                     b"\x1b[3C", b"\x1b[2J", b"\x1b[H", b"\x1b]0;title\x07", b"\x1bc", b"\x07"]),
    st.text("ab1", max_size=9).map(str.encode)), max_size=30)


@given(PLAIN)
@settings(max_examples=300, deadline=None)
@example([b"a", b"\n", b"bbb", b"\x1b[A", b"\x1b[J"])
def test_a_terminal_shows_in_the_end_what_a_file_gets(pieces: list[bytes]) -> None:
    fit = Replay(moves=True)
    shown = re.sub(rb"\x1b\[[0-9;]*m", b"", seen(b"".join(map(fit.feed, pieces)))).decode()
    on_it = [row.rstrip() for row in live(pieces, 500).rows]
    wanted = [row.rstrip() for row in shown.replace("\r", "").split("\n")]
    while on_it and not on_it[-1]:
        on_it.pop()
    while wanted and not wanted[-1]:
        wanted.pop()
    assert on_it == wanted


def test_a_bar_that_is_wider_than_the_terminal_stays_one_line() -> None:
    pieces = [b"before\n", *(b"\r%2d %s" % (n, b"=" * 200) for n in range(20)), b"\nafter\n"]
    assert live(pieces, 40).rows == ["before", "19 " + "=" * 36, "after", ""]


def test_a_wide_line_that_is_ordinary_is_whole_also_above_a_bar() -> None:
    pieces = [b"w" * 100 + b"\n", b"a 1\n", b"\x1b[A\ra 2\n", b"end\n"]
    assert live(pieces, 40).rows == ["w" * 40, "w" * 40, "w" * 20, "a 2", "end", ""]


def test_nothing_of_a_hostile_log_moves_beyond_its_own_rows() -> None:
    terminal = live([b"\x1b[500A\x1b[5;5H\x1b[2J\x1b]52;c;eA==\x07\x1b[1Tx\n"], 200)
    assert terminal.rows == ["\\x1b[5;5H", "\\x1b]52;c;eA==\\x07\\x1b[1Tx", ""]
