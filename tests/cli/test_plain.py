"""What is said on a terminal: nothing that others named can move its cursor or add lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bareboat.cli import main
from bareboat.cli.dispatch import report
from bareboat.cli.plain import replay
from bareboat.cli.term import Reporter, table
from bareboat.errors import BareboatError

EVIL = "a\x1b[2J\x1b]0;title\x07\r\nbareboat exit 0\udcff\x9b"


def quiet(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


def test_lines_of_a_run_hold_no_controls(capsys):
    say = Reporter(2)
    say.say(f"exit 0; results: {EVIL}")
    say.detail(EVIL)
    said = capsys.readouterr().err
    assert quiet(said) and said.count("\n") == 2 and "a\\x1b[2J" in said


def test_errors_hold_no_controls_and_keep_their_lines(capsys):
    report(BareboatError("a.b", f"no {EVIL}\nsecond", where=EVIL, hint=f"do {EVIL}"))
    said = capsys.readouterr().err
    assert quiet(said) and "[a.b]\n" in said and "\nsecond\n" in said
    report(BareboatError("a.b", "what", where="where", hint="hint"))
    assert capsys.readouterr().err == "bareboat: error: where: what [a.b]\n  hint\n"
    report(BareboatError("a.b", "what"))
    assert capsys.readouterr().err == "bareboat: error: what [a.b]\n"


def test_words_that_are_no_option(capsys):
    try:
        main(["runs", "--bad\x1b[31m"])
    except SystemExit:
        pass
    assert quiet(capsys.readouterr().err)


def test_tables_hold_no_controls():
    assert quiet(table([("NAME", "X"), (EVIL, "1")]))


def test_a_log_on_a_terminal_keeps_colours_alone():
    log = b"\x1b[1;31mred\x1b[0m\ttab\r\n\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1bc\xc2\x9bx caf\xc3\xa9 \xff\x08"
    shown = b"\x1b[1;31mred\x1b[0m\ttab\r\n\\x1b]52;c;ZXZpbA==\\x07\\x1b[2J\\x1bc\\x9bx caf\xc3\xa9 \xff\x08"
    assert b"".join(replay([log])) == shown


@given(st.lists(st.binary(max_size=9)), st.binary(max_size=9))
def test_a_log_is_shown_alike_however_it_is_cut(parts, last):
    parts = [*parts, b"\x1b[", b"2", b"J", b"\x1b", b"[3", b"1m", b"\xc2", b"\x9b", last]
    whole = b"".join(replay([b"".join(parts)]))
    assert b"".join(replay(parts)) == whole
    assert b"\x07" not in whole and b"\x1b[2J" not in whole
