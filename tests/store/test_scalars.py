"""The metrics of a run, from its results folder."""

from __future__ import annotations

import json
import os
import struct
import threading
from pathlib import Path

import pytest

from bareboat.store import pieces, scalars
from bareboat.training.events import _masked


def event(tag: str, step: int, value: float) -> bytes:
    """A record of a TFRecord file with one scalar, as TensorBoard's writers have it."""
    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    summary = field(1, field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
    record = b"\x09" + struct.pack("<d", 1.0) + b"\x10" + varint(step) + field(5, summary)
    head = struct.pack("<Q", len(record))
    return head + struct.pack("<I", _masked(head)) + record + struct.pack("<I", _masked(record))


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def found(folder: Path) -> dict[str, list[float]]:
    return {series.name: list(series.values) for series in scalars.metrics_of(folder).series}


def put(path: Path, content: str | bytes, written: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if written is not None:
        os.utime(path, (written, written))


def test_tables_of_the_folder_and_below(tmp_path: Path) -> None:
    put(tmp_path / "metrics.csv", "loss\n1\n")
    put(tmp_path / "a/b/c/deep.jsonl", '{"f1": 0.5}\n')
    put(tmp_path / "checkpoints/x.csv", "state\n1\n")
    put(tmp_path / ".hidden/x.csv", "hidden\n1\n")
    put(tmp_path / "notes.txt", "x\n1\n")
    assert found(tmp_path) == {"loss": [1.0], "f1": [0.5]}
    assert found(tmp_path / "none") == {}


def test_tables_with_one_name_of_a_metric(tmp_path: Path) -> None:
    put(tmp_path / "train.csv", "loss\n1\n")
    put(tmp_path / "val.csv", "loss\n2\n")
    assert found(tmp_path) == {"train/loss": [1.0], "val/loss": [2.0]}


def test_two_folders_with_one_last_name(tmp_path: Path) -> None:
    put(tmp_path / "a/logs/events.out.tfevents.1.host", event("loss", 1, 1.0))
    put(tmp_path / "b/logs/events.out.tfevents.1.host", event("loss", 1, 2.0))
    assert found(tmp_path) == {"a/loss": [1.0], "b/loss": [2.0]}


def test_an_attempt_goes_on_in_an_event_file_of_its_own(tmp_path: Path) -> None:
    put(tmp_path / "events.out.tfevents.1700000001.host.9.0", event("loss", 1, 4.0) + event("loss", 2, 3.0), 300)
    put(tmp_path / "events.out.tfevents.1700000002.host.1.0", event("loss", 2, 2.0) + event("loss", 3, 1.0), 200)
    made = scalars.metrics_of(tmp_path).series[0]
    assert (made.steps, made.values) == ((1, 2, 3), (4.0, 2.0, 1.0))


def test_of_mlflow(tmp_path: Path) -> None:
    run = tmp_path / "mlruns/0/0123abcd"
    put(run / "meta.yaml", "run_id: 0123abcd\n")
    put(run / "metrics/loss", "1700000000000 4.0 0\n1700000000001 2.0 1\n1700000000002 1.0")
    put(run / "metrics/eval/top 1/acc", "1700000000000 0.5 0\n")
    put(run / "params/lr", "0.1\n")
    put(tmp_path / "other/metrics/loss", "1 2 3\n")  # no run of MLflow's
    assert found(tmp_path) == {"loss": [4.0, 2.0], "eval/top 1/acc": [0.5]}


def test_of_several_runs_of_mlflow(tmp_path: Path) -> None:
    for run in ("aa", "bb"):
        put(tmp_path / f"mlruns/1/{run}/meta.yaml", "")
        put(tmp_path / f"mlruns/1/{run}/metrics/loss", "1 4.0 0\n")
    assert found(tmp_path) == {"aa/loss": [4.0], "bb/loss": [4.0]}


def test_the_newest_state_of_a_trainer_has_all(tmp_path: Path) -> None:
    for step, written in ((10, 200), (20, 300), (30, 100)):  # 30 is of an attempt that was older
        rows = [{"step": at, "loss": float(at)} for at in range(10, step + 1, 10)]
        put(tmp_path / f"checkpoints/checkpoint-{step}/trainer_state.json", json.dumps({"log_history": rows}), written)
    assert found(tmp_path) == {"loss": [10.0, 20.0]}


def test_json_lines_that_are_called_json(tmp_path: Path) -> None:
    put(tmp_path / "metrics.json", '{"iteration": 19, "total_loss": 2.0}\n{"iteration": 39, "total_loss": 1.0}\n{"it')
    made = scalars.metrics_of(tmp_path).series[0]
    assert (made.name, made.axis, made.steps, made.values) == ("total_loss", "iteration", (19, 39), (2.0, 1.0))


def test_a_json_document_that_is_being_written(tmp_path: Path) -> None:
    put(tmp_path / "history.json", '{"loss": [4, 2')
    put(tmp_path / "empty.json", "")
    assert scalars.metrics_of(tmp_path) == scalars.Found()


def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path: Path) -> None:
    put(tmp_path / "secret", "loss\n1\n")
    put(tmp_path / "run/metrics/loss", "1 2 3\n")
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "link.csv").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to(folder)
    (folder / "meta.yaml").touch()
    (folder / "metrics").symlink_to(tmp_path / "run/metrics")
    for name in ("pipe.csv", "pipe.json", "events.out.tfevents.1.pipe"):
        os.mkfifo(folder / name)
    assert scalars.metrics_of(folder) == scalars.Found()


def test_a_pipe_or_a_link_in_the_place_of_a_table_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    put(tmp_path / "table", "loss\n1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "table")
    for name in ("pipe.csv", "link.csv"):
        with pytest.raises(OSError):
            pieces.opened(str(tmp_path / name))


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.json", "events.out.tfevents.1.h", "metrics/loss"])
def test_rubbish(name: str, tmp_path: Path) -> None:
    (tmp_path / "meta.yaml").touch()
    put(tmp_path / name, b"\xff\x00\n\x1b]0;x\x07,\"\n" + bytes(range(256)) * 300)
    found(tmp_path)  # whatever that is, it ends
    put(tmp_path / name, b"\x00" * 100_000)
    assert found(tmp_path) == {}


def test_a_large_table_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "LEAST", 1000)
    monkeypatch.setattr(scalars, "BYTES", 200_000)
    rows = [f"{step},{1000 - step / 100:.4f},{step * 2}" for step in range(100_000)]
    put(tmp_path / "large.csv", "step,loss,other\n" + "\n".join(rows) + "\n99999,5")
    made = scalars.metrics_of(tmp_path)
    loss, other = made.series
    assert made.notes[0].startswith("large.csv (2 MB): 0.1 MB of it were read") and loss.count < 6000
    assert loss.steps[0] == 0 and loss.steps[-1] == 99_999 and loss.values[-1] == 0.01
    gaps = [after - before for before, after in zip(loss.steps, loss.steps[1:], strict=False)]
    assert max(gaps) < 2000 and all(value == 2 * step for step, value in zip(other.steps, other.values, strict=True))


def test_places_in_a_large_table_without_steps_are_about_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "LEAST", 1000)
    monkeypatch.setattr(scalars, "BYTES", 100_000)
    put(tmp_path / "large.csv", "row\n" + "".join(f"{row:06}\n" for row in range(100_000)))
    series = scalars.metrics_of(tmp_path).series[0]
    assert series.axis == "" and all(abs(at - row) < 100 for at, row in zip(series.steps, series.values, strict=True))


def test_a_large_event_file_is_read_in_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "LEAST", 10_000)
    monkeypatch.setattr(scalars, "BYTES", 10_000)
    monkeypatch.setattr("bareboat.training.events.RECORDS", 3)
    put(tmp_path / "events.out.tfevents.1.h", b"".join(event("loss", step, step / 2) for step in range(5000)))
    made = scalars.metrics_of(tmp_path)
    assert made.notes == ("events.out.tfevents.1.h (0 MB): read in some places all over it",)
    assert made.series[0].steps[0] == 0 and made.series[0].steps[-1] == 4999 and 64 < made.series[0].count < 2000
    assert all(value == step / 2 for step, value in zip(made.series[0].steps, made.series[0].values, strict=True))


def test_a_large_document_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "DOCUMENT", 100)
    put(tmp_path / "history.json", json.dumps({"loss": [1.0] * 100}))
    assert scalars.metrics_of(tmp_path).notes == (
        "history.json (0 MB): too large a JSON document to be read",)


def test_a_hundred_thousand_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "LOOKED_AT", 300)
    for number in range(250):
        (tmp_path / f"{number:06}.png").touch()
    put(tmp_path / "zz.csv", "loss\n1\n")
    assert found(tmp_path) == {"loss": [1.0]}  # what is no table costs no more than its name
    for number in range(100):
        (tmp_path / f"{number:06}.txt").touch()
    assert "only the first 300 names in the results were looked at" in scalars.metrics_of(tmp_path).notes


def test_the_newest_tables_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scalars.MOST, "tables", 2)
    for number in range(4):
        put(tmp_path / f"{number}.csv", f"c{number}\n1\n", 1000 - number)
    made = scalars.metrics_of(tmp_path)
    assert [series.name for series in made.series] == ["c0", "c1"] and made.notes == ("2 older tables were not read",)


def test_too_many_metrics_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "NAMES", 2)
    put(tmp_path / "m.csv", "a,b,c\n1,2,3\n")
    assert scalars.metrics_of(tmp_path).notes == ("1 of 3 metrics are left out",)


def test_a_table_that_is_written_at_this_moment(tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with open(tmp_path / "m.csv", "w", buffering=1) as file:
            file.write("step,loss\n")
            for step in range(20_000):
                file.write(f"{step},")
                file.flush()
                file.write(f"{step}.5\n")
                if stop.is_set():
                    break

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            for series in scalars.metrics_of(tmp_path).series:
                assert all(value == step + 0.5 for step, value in zip(series.steps, series.values, strict=True))
    finally:
        stop.set()
        writer.join()
