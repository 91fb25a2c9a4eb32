"""Points of a sweep from a file."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import UsageError
from bareboat.toml import quote
from bareboat.training.sweep import POINTS_MOST, Sweep
from bareboat.training.sweep_file import from_file

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
ROWS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8)
EXPECTED = Sweep(("lr", "name"), (("0.10", "a, b"), ("1e-3", "c")))


@pytest.mark.parametrize(("file", "text"), [
    ("p.csv", 'lr,name\n0.10,"a, b"\n\n1e-3,c\n'), ("p.CSV", '\ufefflr, name\r\n0.10,"a, b"\r\n1e-3,c'),
    ("p.tsv", "lr\tname\n0.10\ta, b\n1e-3\tc\n"),
    ("p.jsonl", '{"lr": 0.10, "name": "a, b"}\n\n{"name": "c", "lr": 1e-3}\n'),
    ("p.toml", '[[point]]\nlr = "0.10"\nname = "a, b"\n[[point]]\nlr = "1e-3"\nname = "c"\n'),
])
def test_each_form(file: str, text: str) -> None:
    assert from_file(text.encode(), file) == EXPECTED


def test_what_is_no_text() -> None:
    assert from_file(b'{"a": true, "b": 12345678901234567890, "c": NaN}', "p.jsonl").rows == (
        ("true", "12345678901234567890", "NaN"),)
    assert from_file(b"[[point]]\na = false\nb = 3\nc = 0.5", "p.toml").rows == (("false", "3", "0.5"),)


@pytest.mark.parametrize(("file", "text", "code", "where"), [
    ("p.txt", "a\n1", "sweep.file-kind", "p.txt"), ("p", "a\n1", "sweep.file-kind", "p"),
    ("p.csv", "", "sweep.file-empty", "p.csv"), ("p.csv", "a,b\n", "sweep.file-empty", "p.csv"),
    ("p.jsonl", "", "sweep.file-empty", "p.jsonl"), ("p.toml", "", "sweep.file-row", "p.toml"),
    ("p.csv", "a,b\n1\n", "sweep.file-row", "p.csv:2"), ("p.csv", "a\n1,2\n", "sweep.file-row", "p.csv:2"),
    ("p.csv", 'a\n"1\n', "sweep.file-row", "p.csv:2"), ("p.csv", "a,a\n1,2\n", "sweep.twice", "p.csv:1"),
    ("p.csv", "a,\n1,2\n", "sweep.parameter", "p.csv:1: ''"),
    ("p.csv", "1,2\n3,4\n", "sweep.parameter", "p.csv:1: '1'"),
    ("p.jsonl", '{"a": 1}\n[1]', "sweep.file-row", "p.jsonl:2"),
    ("p.jsonl", '{"a": 1}\n{', "sweep.file-row", "p.jsonl:2"),
    ("p.jsonl", '{"a": 1}\n{"b": 1}', "sweep.file-row", "p.jsonl:2"),
    ("p.jsonl", '{"a": 1, "a": 2}', "sweep.twice", "p.jsonl:1"),
    ("p.jsonl", '{"a": null}', "sweep.file-row", "p.jsonl:1: a"),
    ("p.jsonl", '{"a": {}}', "sweep.file-row", "p.jsonl:1: a"),
    ("p.jsonl", "{}", "sweep.file-empty", "p.jsonl"), ("p.jsonl", "[" * 100000, "sweep.file-row", "p.jsonl:1"),
    ("p.jsonl", '{"a": "\\u0000"}', "sweep.values", "p.jsonl:1: a"),
    ("p.toml", "lr = [1]", "sweep.file-row", "p.toml"), ("p.toml", "point = [1]", "sweep.file-row", "p.toml: point 1"),
    ("p.toml", "[[point]]\na = [1]", "sweep.file-row", "p.toml: point 1: a"),
    ("p.toml", "[[point]]\na = 0x" + "f" * 5000, "sweep.file-row", "p.toml: point 1: a"),
    ("p.toml", "[[point]", "sweep.file.toml", "p.toml"),
])
def test_what_is_wrong_with_a_file_is_said_where(file: str, text: str, code: str, where: str) -> None:
    with pytest.raises(UsageError) as error:
        from_file(text.encode(), file)
    assert error.value.code == code and error.value.where.startswith(where)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(UsageError) as error:
        from_file(b"a\n\xff\n", "p.csv")
    assert error.value.code == "sweep.file.encoding" and error.value.where == "p.csv:2"


def test_the_bound() -> None:
    assert len(from_file(b"a\n" + b"1\n" * POINTS_MOST, "p.csv").rows) == POINTS_MOST
    with pytest.raises(UsageError) as error:
        from_file(b"a\n" + b"1\n" * (POINTS_MOST + 1), "p.csv")
    assert error.value.code == "sweep.too-many"


@given(ROWS)
def test_what_was_written_is_read(rows: list[tuple[str, str]]) -> None:
    expected = Sweep(("a", "b"), tuple(rows))
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerows([("a", "b"), *rows])
    assert from_file(out.getvalue().encode(), "p.csv") == expected
    lines = "\n".join(json.dumps({"a": a, "b": b}, ensure_ascii=False) for a, b in rows)
    assert from_file(lines.encode(), "p.jsonl") == expected
    tables = "\n".join(f"[[point]]\na = {quote(a)}\nb = {quote(b)}" for a, b in rows)
    assert from_file(tables.encode(), "p.toml") == expected


@given(st.binary(max_size=60), st.sampled_from(["p.csv", "p.tsv", "p.jsonl", "p.toml"]))
def test_any_bytes_are_points_or_refused(content: bytes, file: str) -> None:
    try:
        assert from_file(content, file).rows
    except UsageError as error:
        assert error.code.startswith("sweep.")
