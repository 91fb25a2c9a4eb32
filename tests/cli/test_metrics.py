"""Metrics in the terminal: a row each, and a curve of a few characters."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.cli.metrics import BARS, curve, rows
from bareboat.training.series import Series


def of(name: str, *values: float) -> Series:
    return Series(name, tuple(range(len(values))), values, len(values))


def test_a_row_for_each() -> None:
    assert rows([of("acc", 0.5), of("loss", 4.0, 2.0, 1.0)]) == [
        ("METRIC", "LAST", "LEAST", "MOST", "VALUES", "CURVE"),
        ("acc", "0.5", "0.5", "0.5", "1", "▄"), ("loss", "1", "1", "4", "3", "█▃▁")]


def test_what_is_no_number_leaves_a_gap() -> None:
    assert curve([1.0, math.nan, 2.0]) == "▁ █" and curve([math.inf]) == " " and curve([]) == ""
    assert rows([of("x", math.nan)])[1] == ("x", "nan", "", "", "1", " ")


@given(st.lists(st.floats(), max_size=200))
def test_any_values_make_a_curve(values: list[float]) -> None:
    text = curve(values)
    assert len(text) == min(len(values), 24) and set(text) <= {*BARS, " "}


def test_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from bareboat.cli import main
    from bareboat.record.values import Results, RunRecord
    from bareboat.store import Store

    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    store, results = Store.open(tmp_path / "home"), tmp_path / "results"
    results.mkdir()
    record = RunRecord("abcdef012345", state="succeeded", argv=("true",), results=Results(str(results)))
    store.runs.create(record.id)
    store.runs.write(record.id, record.document())
    store.runs.release(record.id)
    assert main(["show", "abc", "--metrics"]) == 125 and "record.no-metrics" in capsys.readouterr().err
    (results / "log.csv").write_text("epoch,loss\n0,4\n1,2\n")
    assert main(["show", "abc", "--metrics"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["loss", "2", "2", "4", "2", "█▁"]
