"""Sweeps: what is sent, and how its points went."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from bareboat.errors import BareboatError, UsageError
from bareboat.queue.base import Added
from bareboat.queue.memory import MemoryLedger
from bareboat.training.series import Found, Series
from bareboat.training.sweep import Sweep, grid
from bareboat.training.values import Point
from bareboat.values import replace
from bareboat.verbs.outcomes import Outcome, measured, outcomes, rises
from bareboat.verbs.submission import placed
from bareboat.verbs.sweep import failed_of, given, meant, spread, sweep_of, swept


def ledger_with(*words: str, name: str = "lr", argv: tuple[str, ...] = ("t", "{lr}")) -> MemoryLedger:
    ledger = MemoryLedger()
    made = placed(spread(swept(words))(Point("", name, argv=argv)), Path("/p/results"), name)
    ledger.add(Added("s1", b"", made, created=5.0, name=name))
    return ledger


def test_a_file_and_words_are_one_grid(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("lr\n0.1\n0.2\n")
    assert swept(["seed=1..2"], tmp_path / "p.csv").rows == (("0.1", "1"), ("0.1", "2"), ("0.2", "1"), ("0.2", "2"))
    with pytest.raises(UsageError) as error:
        swept([], tmp_path / "none.csv")
    assert error.value.code == "sweep.file-unreadable"
    with pytest.raises(UsageError) as error:
        swept([], tmp_path)
    assert error.value.code == "sweep.file-unreadable"


def test_grids_and_points_of_python() -> None:
    assert given({"lr": [0.1, 1e-5], "big": (True, None)}) == Sweep(("lr", "big"), (
        ("0.1", "true"), ("0.1", "None"), ("1e-05", "true"), ("1e-05", "None")))
    assert given([{"a": 1, "b": "x y"}, {"b": "{a}", "a": 2}]).rows == (("1", "x y"), ("2", "{a}"))


@pytest.mark.parametrize(("values", "code"), [
    ({}, "sweep.values"), ([], "sweep.values"), ({"a": []}, "sweep.values"), ({"a": "abc"}, "sweep.values"),
    ({"a": ["\0"]}, "sweep.values"), ({"a b": [1]}, "sweep.parameter"), ({"a": [1], "A": [1]}, "sweep.twice"),
    ([{"a": 1}, {"b": 1}], "sweep.file-row"), ({"a": itertools.count()}, "sweep.too-many"),
    ({"a": range(1000), "b": range(1000)}, "sweep.too-many"), ([{"a": 1}] * 100_001, "sweep.too-many"),
])
def test_what_is_no_sweep_of_python(values: Any, code: str) -> None:
    with pytest.raises(UsageError) as error:
        given(values)
    assert error.value.code == code


def test_values_of_e_are_filled_and_names_without_a_value_are_left() -> None:
    made = spread(grid(["lr=1,2"]), ("LR={lr}", "HOME", "X=a=b"))(Point("", "n", argv=("t",)))
    assert made[1].env == (("LR", "2"), ("X", "a=b"), ("BAREBOAT_PARAM_LR", "2"))


def test_names_that_would_be_too_long() -> None:
    assert spread(grid(["a=1"]))(Point("", "n" * 123, argv=("{a}",)))[0].name == "n" * 123 + "-0000"
    with pytest.raises(UsageError) as error:
        spread(grid(["a=1"]))(Point("", "n" * 124, argv=("{a}",)))
    assert error.value.code == "sweep.name" and "at most 123" in error.value.hint


def test_results_of_a_sweep_are_in_a_folder_together(tmp_path: Path) -> None:
    points = (Point("", "lr-0000"), Point("", "lr-0001"))
    first = placed(points, tmp_path, "lr")
    assert [p.results for p in first] == [str(tmp_path / "lr/lr-0000"), str(tmp_path / "lr/lr-0001")]
    (tmp_path / "lr").mkdir()
    again = placed(points, tmp_path, "lr")
    assert Path(again[0].results).parent.name.startswith("lr-")
    assert len({Path(p.results).parent for p in again}) == 1


def test_how_points_went() -> None:
    ledger = ledger_with("lr=0.1,0.2", "seed=1..2", "model=s", argv=("t", "{lr}", "{seed}", "{model}"))
    runs = [entry.run for entry in ledger.entries()]
    ledger.move(runs[0], ("pending", 0), state="succeeded", attempt=1, started=10.0, ended=12.5, exit_code=0)
    ledger.move(runs[1], ("pending", 0), state="failed", attempt=2, started=10.0, ended=11.0, exit_code=3,
                reason="exit 3")
    ledger.move(runs[2], ("pending", 0), state="running", attempt=1, started=time.time() - 60)
    found = outcomes("s1", ledger)
    assert (found.name, found.created, found.total) == ("lr", 5.0, 4)
    assert found.counts == (("pending", 1), ("running", 1), ("succeeded", 1), ("failed", 1))
    assert (found.varied, found.same) == (("lr", "seed"), (("model", "s"),))
    assert [(p.name, p.state, p.exit_code, p.attempt) for p in found.points] == [
        ("lr-0000", "succeeded", 0, 1), ("lr-0001", "failed", 3, 2), ("lr-0002", "running", None, 1),
        ("lr-0003", "pending", None, 0)]
    assert found.points[0].seconds == 2.5 and found.points[2].seconds >= 60 and found.points[3].seconds == 0
    assert found.points[3].parameters == (("lr", "0.2"), ("seed", "2"), ("model", "s"))


def test_those_that_failed_are_points_again() -> None:
    ledger = ledger_with("lr=0.1,0.2", "seed=1..2", argv=("t", "{lr}", "{seed}"))
    runs = [entry.run for entry in ledger.entries()]
    with pytest.raises(UsageError) as error:
        failed_of("s1", ledger)
    assert error.value.code == "sweep.none-failed"
    for run in (runs[1], runs[2]):
        ledger.move(run, ("pending", 0), state="failed")
    assert failed_of("s1", ledger) == Sweep(("lr", "seed"), (("0.1", "2"), ("0.2", "1")))


@pytest.mark.parametrize(("name", "more"), [
    ("loss", False), ("val_loss", False), ("accuracy", True), ("valAcc", True), ("eval/accuracy_top1", True),
    ("macro-f1", True), ("rmse", False), ("episode_reward", True), ("BLEU", True), ("perplexity", False)])
def test_which_metrics_rise(name: str, more: bool) -> None:
    assert rises(name) is more


def told(**metrics: list[float]) -> Found:
    return Found(tuple(Series(name, tuple(range(len(v))), tuple(v), len(v)) for name, v in metrics.items()))


def test_what_is_no_number_is_no_best() -> None:
    nan = float("nan")
    point = Outcome("r", "n", 0, "running", attempt=1, results="/r")
    assert measured([point], lambda _: told(loss=[nan, 2.0, 3.0, nan], bad=[nan]))[0].metrics[0][2] == 2.0
    assert measured([replace(point, attempt=0)], lambda _: told(loss=[1.0]))[0].metrics == ()


def test_what_a_word_means() -> None:
    ledger = ledger_with("lr=1,2")
    ledger.add(Added("s2", b"", (Point("aaaaaaaaaaaa", "one"),), name="one"))
    assert sweep_of(ledger, "lr") == sweep_of(ledger, "s1") == "s1"
    assert sweep_of(ledger, "one") == sweep_of(ledger, "lr-0000") == sweep_of(ledger, "") == ""
    for text, code in (("one", "queue.no-sweep"), ("lr-0000", "queue.no-sweep"), ("what", "queue.unknown")):
        with pytest.raises(BareboatError) as error:
            meant(ledger, text)
        assert error.value.code == code
