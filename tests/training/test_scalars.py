"""Metrics in the tables that programs write."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.training.scalars import scalars


@pytest.mark.parametrize(("name", "text", "found"), [
    ("m.csv", "step,loss\n0,1.5\n1,0.5\n", {"loss": [1.5, 0.5]}),
    ("m.CSV", "epoch, train loss ,note\r\n0,1,good\r\n1,1e-3,x\r\n", {"train loss": [1.0, 0.001]}),
    ("m.csv", "step,a,b\n0,1,\n0,,2\n", {"a": [1.0], "b": [2.0]}),  # Lightning's, with gaps
    ("m.csv", "loss\n1\n2\n3", {"loss": [1.0, 2.0]}),  # the last line is being written
    ("m.csv", "1,2\n3,4\n", {}), ("m.csv", "", {}), ("m.csv", "loss\n1_000\n", {}),
    ("m.jsonl", '{"step": 0, "loss": 2, "ok": true, "who": "x"}\n{"loss": 1.5, "f1": 0.5}\n',
     {"loss": [2.0, 1.5], "f1": [0.5]}),
    ("m.jsonl", '{"loss": 1}\n{"loss": 0.\n[1]\nnull\n\n{"loss": 1' + "0" * 400 + "}", {"loss": [1.0]}),
])
def test_tables(name: str, text: str, found: dict[str, list[float]]) -> None:
    assert scalars(text, name) == found


def test_what_is_no_number_any_more_is_told() -> None:
    assert math.isnan(scalars("loss\nnan\n", "m.csv")["loss"][0])
    assert math.isnan(scalars('{"loss": NaN}', "m.jsonl")["loss"][0])


@given(st.text(), st.sampled_from(["m.csv", "m.jsonl"]))
def test_any_text(text: str, name: str) -> None:
    assert all(isinstance(v, float) for values in scalars(text, name).values() for v in values)
