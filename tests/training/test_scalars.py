"""Metrics in the tables that programs write."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.training.scalars import NAMES, Table, document, values
from bareboat.training.series import Series, Track

KERAS = "epoch,accuracy,loss\n0,0.25,4.5\n1,0.5,2.25\n"  # keras.callbacks.CSVLogger, 3.x
LIGHTNING = "epoch,step,train_loss,val_loss\n0,0,4.0,\n0,9,2.0,\n0,9,,3.0\n1,19,1.0,\n1,19,,2.5\n"  # CSVLogger, 2.x
TRAINER = json.dumps({"epoch": 1.0, "global_step": 20, "log_history": [  # transformers TrainerState.save_to_json
    {"epoch": 0.5, "grad_norm": 1.5, "learning_rate": 5e-5, "loss": 2.5, "step": 10},
    {"epoch": 0.5, "eval_loss": 2.0, "eval_runtime": 0.1, "step": 10},
    {"epoch": 1.0, "grad_norm": 1.0, "learning_rate": 0.0, "loss": 1.5, "step": 20}], "max_steps": 20}, indent=2)


def read(text: str, name: str) -> dict[str, list[float]]:
    return {key: list(series.values) for key, series in curves(text, name).items()}


def curves(text: str, name: str) -> dict[str, Series]:
    if name.endswith(".json"):
        table = document(text, name)
        assert table is not None
    else:
        table = Table(name)
        table.add(text[:text.rfind("\n") + 1])
    return {key: track.series(key) for key, track in table.tracks.items()}


@pytest.mark.parametrize(("name", "text", "found"), [
    ("m.csv", "step,loss\n0,1.5\n1,0.5\n", {"loss": [1.5, 0.5]}),
    ("m.CSV", "epoch, train loss ,note\r\n0,1,good\r\n1,1e-3,x\r\n", {"train loss": [1.0, 0.001]}),
    ("m.csv", "loss\n1\n2\n3", {"loss": [1.0, 2.0]}),  # the last line is being written
    ("m.csv", "1,2\n3,4\n", {}), ("m.csv", "", {}), ("m.csv", "loss\n1_000\n", {}),
    ("m.csv", "step;loss\n0;1.5\n", {"loss": [1.5]}), ("m.tsv", "step\tloss, all\n0\t1.5\n", {"loss, all": [1.5]}),
    ("progress.csv", '#{"t_start": 1.0}\nr,l\n2.5,100\n', {"r": [2.5], "l": [100.0]}),  # a monitor's first line
    ("m.csv", "step,loss\n0,4\n1,2\nstep,loss\n1,3\n2,1\n", {"loss": [4.0, 3.0, 1.0]}),  # started again, appended
    ("m.csv", 'loss\n1\n"' + "x" * 200_000 + '"\n2\n', {"loss": [1.0, 2.0]}),  # a cell beyond csv's limit
    ("m.jsonl", '{"step": 0, "loss": 2, "ok": true, "who": "x"}\n{"step": 1, "loss": 1.5, "f1": 0.5}\n',
     {"loss": [2.0, 1.5], "f1": [0.5]}),
    ("m.jsonl", '{"loss": 1}\n{"loss": 0.\n[1]\nnull\n\n{"loss": 1' + "0" * 400 + "}\n" + "[" * 100_000 + "\n",
     {"loss": [1.0]}),
    ("history.json", '{"loss": [4, 2], "val_loss": [5, 3]}', {"loss": [4.0, 2.0], "val_loss": [5.0, 3.0]}),
    ("x.json", '{"epoch": [0, 1], "loss": [4, 2]}', {"loss": [4.0, 2.0]}),
    ("x.json", '[{"step": 1, "loss": 4}, {"step": 2, "loss": 2}]', {"loss": [4.0, 2.0]}),
    ("x.json", '{"labels": [0, 1], "guesses": [1, 1]}', {}),  # whatever it is
    ("x.json", '[{"image_id": 1, "score": 0.5}]', {}), ("log.json", '{"loss": [1, 2], "lr": [1]}', {}),
    ("log.json", "[1, 2]", {}), ("log.json", "3", {}), ("log.json", '{"loss": [1], "run": "a"}', {}),
])
def test_tables(name: str, text: str, found: dict[str, list[float]]) -> None:
    assert read(text, name) == found


def test_of_keras() -> None:
    assert curves(KERAS, "log.csv")["loss"] == Series("loss", (0, 1), (4.5, 2.25), 2, "epoch")


def test_of_lightning() -> None:
    found = curves(LIGHTNING, "metrics.csv")
    assert found["train_loss"] == Series("train_loss", (0, 9, 19), (4.0, 2.0, 1.0), 3, "step")
    assert found["val_loss"] == Series("val_loss", (9, 19), (3.0, 2.5), 2, "step")


def test_of_hugging_face() -> None:
    found = curves(TRAINER, "trainer_state.json")
    assert sorted(found) == ["eval_loss", "eval_runtime", "grad_norm", "learning_rate", "loss"]
    assert found["loss"] == Series("loss", (10, 20), (2.5, 1.5), 2, "step")


def test_steps_that_begin_anew_in_each_epoch_are_places() -> None:
    found = curves("epoch,step,loss\n0,0,4\n0,1,3\n1,0,2\n1,1,1\n", "m.csv")
    assert found["loss"] == Series("loss", (0, 1, 2, 3), (4.0, 3.0, 2.0, 1.0), 4)


def test_batches_of_an_epoch_are_places() -> None:
    found = curves("epoch,batch,loss\n0,0,4\n0,1,3\n0,2,2\n1,0,2\n1,1,1\n1,2,1\n", "m.csv")
    assert found["loss"].steps == (0, 1, 2, 3, 4, 5)


def test_a_resumed_program_that_appends() -> None:
    found = curves("epoch,step,loss\n0,10,4\n1,20,3\n2,30,2\n1,20,2.5\n2,30,1\n", "m.csv")
    assert found["loss"] == Series("loss", (10, 20, 30), (4.0, 2.5, 1.0), 5, "step")


def test_of_mlflow() -> None:
    track = Track()
    values("1700000000000 4.5 0\n1700000000001 2.25 1\nrubbish\n1 2 3 4\n1700000000002 nan 2\n", track)
    made = track.series("loss")
    assert made.steps == (0, 1, 2) and made.values[:2] == (4.5, 2.25) and math.isnan(made.values[2])


def test_what_is_no_number_any_more_is_told() -> None:
    assert math.isnan(read("loss\nnan\n", "m.csv")["loss"][0])
    assert math.isnan(read('{"loss": NaN}\n', "m.jsonl")["loss"][0])
    assert read("loss\ninf\n-Infinity\n", "m.csv")["loss"] == [math.inf, -math.inf]


def test_more_columns_than_are_read() -> None:
    table = Table("m.csv")
    table.add(",".join(f"c{n}" for n in range(NAMES + 1)) + "\n" + ",".join("1" for _ in range(NAMES + 1)) + "\n")
    assert len(table.tracks) == NAMES and table.more


@settings(max_examples=200)
@given(st.text(), st.sampled_from(["m.csv", "m.tsv", "m.jsonl"]))
def test_any_text(text: str, name: str) -> None:
    table = Table(name)
    table.add(text)
    for key, track in table.tracks.items():
        series = track.series(key)
        assert len(series.steps) == len(series.values) >= 1


JSON = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
                    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(max_size=4), inner)))


@given(st.one_of(JSON, st.builds(lambda rows: {"log_history": rows}, JSON)))
def test_any_document(found: object) -> None:
    table = document(json.dumps(found), "log.json")
    assert table is not None and all(track.count for track in table.tracks.values())


@given(st.lists(st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)), max_size=20))
def test_a_table_is_read_as_it_was_written(points: list[tuple[float, float]]) -> None:
    rows = sorted(dict(points).items())
    text = "step,loss\n" + "".join(f"{step!r},{value!r}\n" for step, value in rows)
    found = curves(text, "m.csv").get("loss")
    finite = all(math.isfinite(step) for step, _ in rows)
    assert (list(found.values) if found else []) == [value for _, value in rows]
    assert found is None or not finite or len(rows) < 2 or list(found.steps) == [step for step, _ in rows]
