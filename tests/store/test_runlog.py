"""The log of a run: bytes and order, by time and by line, while it grows and while it is rotated."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.store import runlog
from bareboat.store.runlog import ERR, OUT, Bounds, LogWriter, follow, pieces


def whole(folder: Path, **more: object) -> bytes:
    return b"".join(piece.data for piece in pieces(folder, **more))  # type: ignore[arg-type]


def test_bytes_and_order_of_both_streams(tmp_path: Path) -> None:
    log = LogWriter(tmp_path)
    for data, stream in ((b"a", OUT), (b"b\n", ERR), (b"\0\xff", OUT)):
        log.write(data, stream)
    log.close()
    assert [(p.stream, p.data) for p in pieces(tmp_path)] == [(OUT, b"a"), (ERR, b"b\n"), (OUT, b"\0\xff")]
    assert (tmp_path / "log").read_bytes() == b"ab\n\0\xff"


def test_since_leaves_out_what_came_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogWriter(tmp_path)
    for second in range(5):
        monkeypatch.setattr(runlog.time, "time", lambda second=second: 100.0 + second)
        log.write(b"%d" % second, OUT)
    assert whole(tmp_path, since=103.0) == b"34"


@given(st.lists(st.text("ab\n", max_size=6)), st.integers(0, 9), st.integers(1, 9))
def test_tail_is_the_last_lines_whatever_the_pieces_and_the_rotation(
        tmp_path_factory: pytest.TempPathFactory, written: list[str], lines: int, size: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = LogWriter(folder, Bounds(size=size, keep=1000))
    for text in written:
        log.write(text.encode(), OUT)
    log.close()
    text = "".join(written)
    expected = "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""
    assert whole(folder) == text.encode()
    assert whole(folder, tail=lines) == expected.encode()


def test_rotation_keeps_so_many_and_no_more(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, Bounds(size=10, keep=2))
    for number in range(10):
        log.write(b"%d" % number * 10, OUT)
    log.close()
    assert whole(tmp_path) == b"7" * 10 + b"8" * 10 + b"9" * 10
    assert len(list(tmp_path.iterdir())) == 6


def test_following_reads_on_across_a_rotation_and_ends_with_the_run(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, Bounds(size=4, keep=5))
    log.write(b"0000", OUT)
    turns = iter(range(1, 4))

    def alive() -> bool:
        number = next(turns, None)
        if number is not None:
            log.write(b"%d" % number * 4, OUT)
        return number is not None

    assert b"".join(p.data for p in follow(tmp_path, alive)) == b"0000111122223333"


def test_a_log_without_an_index_is_standard_output(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"old\nlog\n")
    assert [(p.stream, p.data) for p in pieces(tmp_path, tail=1)] == [(OUT, b"log\n")]


def test_half_a_row_of_a_killed_writer_is_not_read(tmp_path: Path) -> None:
    log = LogWriter(tmp_path)
    log.write(b"one\n", OUT)
    log.close()
    with (tmp_path / "log.index").open("ab") as index:
        index.write(b"\7\7\7")
    with (tmp_path / "log").open("ab") as file:
        file.write(b"two\n")
    assert [(p.stream, p.data) for p in pieces(tmp_path)] == [(OUT, b"one\n"), (OUT, b"two\n")]


def test_a_link_in_the_place_of_a_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "log").symlink_to("secret")
    assert whole(tmp_path) == b""
    with pytest.raises(OSError, match="symbolic"):
        LogWriter(tmp_path)


def test_where_attempts_begin_is_told_to_who_asks(tmp_path: Path) -> None:
    for attempt in (1, 2, 300):
        log = LogWriter(tmp_path, Bounds(size=5, keep=9))
        if attempt > 1:
            log.mark(attempt)
        log.write(b"of %d\n" % attempt, OUT)
        log.close()
    assert whole(tmp_path) == b"of 1\nof 2\nof 300\n"
    found = [(p.stream, p.data) for p in pieces(tmp_path, marks=True)]
    assert found == [(OUT, b"of 1\n"), (runlog.MARK, b"2"), (OUT, b"of 2\n"), (runlog.MARK, b"300"), (OUT, b"of 300\n")]
    assert [p.data for p in pieces(tmp_path, marks=True, tail=1)] == [b"of 300\n"]


def test_an_attempt_that_begins_while_the_log_is_followed(tmp_path: Path) -> None:
    log, going = LogWriter(tmp_path), True
    log.write(b"one", OUT)
    reading = follow(tmp_path, lambda: going, marks=True)
    assert next(reading).data == b"one"
    log.mark(2)
    assert (next(reading).stream, log.write(b"two", OUT), next(reading).data) == (runlog.MARK, None, b"two")
    going = False
    assert list(reading) == []
