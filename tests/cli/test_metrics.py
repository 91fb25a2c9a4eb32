"""Metrics in the terminal, as a picture and for programs."""

from __future__ import annotations

import io
import json
import math
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.cli import main
from bareboat.cli.metrics import BARS, WIDE, curve, elided, rows
from bareboat.queue.base import Added
from bareboat.queue.sqlite import SqliteLedger
from bareboat.record.values import Results, RunRecord
from bareboat.store import Store
from bareboat.training.series import Series
from bareboat.training.sweep import grid
from bareboat.training.values import Point
from bareboat.verbs.submission import placed
from bareboat.verbs.sweep import spread

HOSTILE = "x\x1b]0;owned\x07\x1b[2J\x9b1mloss\u202e"


def of(name: str, *values: float) -> Series:
    return Series(name, tuple(range(len(values))), values, len(values))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with two runs of names, and where their results are."""
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    store = Store.open(tmp_path / "home")
    for number, name in enumerate(("unet", "vnet")):
        folder = tmp_path / name
        folder.mkdir()
        record = RunRecord(f"{number}bcdef012345", state="succeeded", argv=("true",), name=name,
                           results=Results(str(folder)))
        store.runs.create(record.id)
        store.runs.write(record.id, record.document())
        store.runs.release(record.id)
    return tmp_path


def csv(folder: Path, *losses: float) -> None:
    rows = "".join(f"{10 * at},{loss},{at / 10}\n" for at, loss in enumerate(losses))
    (folder / "metrics.csv").write_text("step,loss,val_acc\n" + rows)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def shown(*words: str, encoding: str = "utf-8") -> str:
    """What show says on a terminal of 80 columns."""
    raw = io.BytesIO()
    before, sys.stdout = sys.stdout, Terminal(raw, encoding=encoding, errors="strict")
    try:
        assert main(["show", *words]) == 0
        sys.stdout.flush()
        return raw.getvalue().decode(encoding)
    finally:
        sys.stdout = before


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
    assert len(text) == min(len(values), WIDE) and set(text) <= {*BARS, " "}


def test_the_end_of_a_name_is_what_tells() -> None:
    assert elided("a/" * 20 + "val_loss", 18) == "a/a/a/…/a/val_loss" and elided("loss", 4) == "loss"


def test_a_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "unet", "--metrics"]) == 125 and "record.no-metrics" in capsys.readouterr().err
    csv(runs / "unet", 4, 2)
    assert main(["show", "unet", "--metrics"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["loss", "2", "2", "4", "2", "█▁"]
    csv(runs / "vnet", 3)
    assert main(["show", "unet", "vnet", "unet", "--metrics"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["loss", "unet", "2"], ["loss", "vnet", "3"], ["val_acc", "unet", "0.1"], ["val_acc", "vnet", "0"]]


def test_of_chosen_metrics_a_pipe_gets_their_values(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv(runs / "unet", 4, math.nan)
    csv(runs / "vnet", 3)
    assert main(["show", "unet", "vnet", "--metrics", "l*"]) == 0
    assert capsys.readouterr().out == ("run,metric,step,value\nunet,loss,0,4.0\nunet,loss,10,nan\n"
                                       "vnet,loss,0,3.0\n")


def test_for_programs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv(runs / "unet", 4, math.inf)
    assert main(["show", "unet", "--metrics", "loss", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"id": "0bcdef012345", "name": "unet", "parameters": {}, "notes": [],
         "metrics": {"loss": {"axis": "step", "count": 2, "steps": [0, 10], "values": [4.0, None]}}}]


@pytest.mark.parametrize(("words", "code"), [
    (["unet", "--metrics", "nope"], "record.no-such-metric"), (["nobody", "--metrics"], "record.missing"),
    (["unet", "vnet"], "usage.show"), (["unet", "--png", "x.png"], "usage.show"),
    (["unet", "--json", "--log"], "usage.show"), (["unet", "--metrics", "loss", "--png", "/"], "metrics.folder"),
    (["unet", "--metrics", "--png", "/nowhere/at/all.png"], "metrics.folder"),
])
def test_what_is_refused(words: list[str], code: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv(runs / "unet", 4, 2)
    assert main(["show", *words]) == 125 and code in capsys.readouterr().err


def test_a_name_that_would_move_the_cursor(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "unet/metrics.jsonl").write_text(json.dumps({HOSTILE: 1.5, "loss": 1}) + "\n")
    told = [shown("unet", "--metrics"), shown("unet", "--metrics", "*"), shown("unet", "vnet", "--metrics", "x*")]
    assert main(["show", "unet", "--metrics", "*"]) == 0
    assert main(["show", "unet", "--metrics", "nope"]) == 125
    said = capsys.readouterr()
    for text in (*told, said.out, said.err):
        assert "\\x1b]0;" in text and all(c.isprintable() or c == "\n" for c in text.replace("\x1b[1m", "")), text


def test_a_drawing_fits_the_terminal(runs: Path) -> None:
    csv(runs / "unet", *(100 / (at + 1) for at in range(500)))
    csv(runs / "vnet", *(50 / (at + 1) for at in range(300)))
    one, two = shown("unet", "--metrics", "loss"), shown("unet", "vnet", "--metrics", "loss")
    for text in (one, two):
        assert max(map(len, text.splitlines())) <= 80
    assert one.startswith("loss: last 0.2, least 0.2, most 100\n") and any("\u2800" < c < "\u2900" for c in one)
    assert two.splitlines()[-3:] == ["   RUN      LAST    LEAST  MOST", "o  unet      0.2      0.2   100",
                                     "x  vnet  0.16667  0.16667    50"]


def test_a_terminal_without_unicode(runs: Path) -> None:
    csv(runs / "unet", 4, 3, 2, 1)
    for words in (["--metrics"], ["--metrics", "loss"]):
        assert "loss" in shown("unet", *words, encoding="ascii")


def test_a_picture_replaces_what_is_there(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv(runs / "unet", 4, 2)
    target = runs / "loss.png"
    target.write_text("old")
    assert main(["show", "unet", "--metrics", "loss", "--png", str(target)]) == 0
    assert target.read_bytes().startswith(b"\x89PNG") and capsys.readouterr().out == ""
    assert [path.name for path in runs.iterdir() if "loss" in path.name] == ["loss.png"]


def test_a_picture_into_a_pipe(runs: Path) -> None:
    csv(runs / "unet", 4, 2)
    pipe = runs / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert main(["show", "unet", "--metrics", "--png", str(pipe)]) == 0
    reader.join()
    assert got[0].startswith(b"\x89PNG") and pipe.is_fifo()


def test_on_a_real_terminal(runs: Path) -> None:
    csv(runs / "unet", 4, 2)
    ours, theirs = pty.openpty()
    with open(theirs, "wb") as end:
        subprocess.run([sys.executable, "-m", "bareboat", "show", "unet", "--metrics", "loss"], stdout=end, check=True,
                       env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    text = b""
    try:
        while part := os.read(ours, 65536):
            text += part
    except OSError:
        pass  # EIO: nobody is at the other end any more
    os.close(ours)
    assert "┤" in text.decode()


def test_the_runs_of_a_sweep(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = SqliteLedger(Store.open(runs / "home").queue)
    points = placed(spread(grid(["lr=1..25", "seed=1"]))(Point("", "sw", argv=("{lr}", "{seed}"))), runs / "r", "sw")
    ledger.add(Added("5eed", b"{}", points, created=1.0, name="sw"))
    for point in points[1:]:  # the first one waits
        ledger.move(point.run, ("pending", 0), state="running", attempt=1, started=1.0)
        folder = Path(point.results)
        folder.mkdir(parents=True)
        csv(folder, 4, 3, int(dict(point.parameters)["lr"]))
    ledger.close()
    text = shown("sw", "--metrics", "loss")
    assert "o  sw-0001 lr=2   " in text and "l  sw-0020 lr=21 " in text and "seed" not in text
    assert capsys.readouterr().err == "4 more runs are left out\n"
    assert main(["show", "sw-0003", "--metrics", "loss", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["metrics"]["loss"]["values"] == [4.0, 3.0, 4.0]
    assert main(["show", "sw-0000", "--metrics"]) == 125
