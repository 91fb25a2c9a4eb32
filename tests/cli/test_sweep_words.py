"""Sweeps on the command line: the options, and the table of outcomes to the letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bareboat import cli
from bareboat.cli import train as train_words
from bareboat.cli.sweeping import choose, document, in_csv, report
from bareboat.errors import UsageError
from bareboat.queue.base import Added
from bareboat.queue.sqlite import SqliteLedger
from bareboat.store import Store
from bareboat.training.series import Found, Series
from bareboat.training.sweep import grid
from bareboat.training.values import Point
from bareboat.verbs.outcomes import Outcome, Outcomes
from bareboat.verbs.submission import placed
from bareboat.verbs.sweep import spread

BASE = ["--name", "lr", "--sweep", "lr=0.1,0.01", "--sweep", "seed=1..2"]


def test_words_to_points() -> None:
    request = train_words.request_of(train_words.parse(
        [*BASE, "--max-parallel", "4", "-e", "S={seed}", "--", "t", "--lr={lr}"]))
    assert request.training.parallel == 4 and request.spread is not None
    made = request.spread(Point("", "lr", argv=("t", "--lr={lr}")))
    assert [p.argv for p in made] == [("t", "--lr=0.1"), ("t", "--lr=0.1"), ("t", "--lr=0.01"), ("t", "--lr=0.01")]
    assert dict(made[3].env)["S"] == "2"


def test_one_without_a_name_gets_one() -> None:
    request = train_words.request_of(train_words.parse(["--sweep", "a=1,2", "--", "t", "{a}"]))
    assert request.run.name.startswith("sweep-")


def test_without_a_sweep_nothing_is_filled_in() -> None:
    request = train_words.request_of(train_words.parse(["--", "t", "{lr}"]))
    assert request.spread is None and request.run.program == ("t", "{lr}") and request.training.parallel == 0


@pytest.mark.parametrize(("words", "code"), [
    (["--max-parallel", "2"], "usage.max-parallel"), ([*BASE, "--max-parallel", "0"], "usage.number"),
    (["--sweep", "lr"], "sweep.parameter"), (["--sweep-file", "none.csv"], "sweep.file-unreadable"),
])
def test_words_that_are_refused(words: list[str], code: str) -> None:
    with pytest.raises(UsageError) as error:
        train_words.request_of(train_words.parse([*words, "--", "t", "{lr}"]))
    assert error.value.code == code


def test_doubles_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    train_words.request_of(train_words.parse(["--sweep", "a=1,1,1", "--", "t", "{a}"]))
    assert "2 of 3 points are the same as one before" in capsys.readouterr().err


POINTS = (
    Outcome("aaa", "lr-0000", 0, "succeeded", "", 0, 1, 2.5, (("lr", "0.1"), ("note", "a, b")), (("loss", 0.25, 0.2),),
            "/r/0"),
    Outcome("bbb", "lr-0001", 1, "failed", "exit 3", 3, 2, 65.0, (("lr", "0.01"), ("note", "two\nlines and long")), ()),
    Outcome("ccc", "lr-0002", 2, "failed", "out of memory", 137, 1, 4000.0, (("lr", "1"), ("note", "")), ()),
    Outcome("ddd", "lr-0003", 3, "pending", "2 ahead", None, 0, 0.0, (("lr", "1"), ("note", "x")), ()),
)
FOUND = Outcomes("5e", "lr", 0.0, (("pending", 1), ("succeeded", 1), ("failed", 2)), ("lr", "note"),
                 (("model", "s"),), POINTS)
TABLE = """\
lr: 4 runs: 1 pending, 1 succeeded, 2 failed
all with model=s
the failed ones again: bareboat resume lr --failed

RUN      STATE              TOOK  lr    note            loss  WHY
lr-0000  succeeded         2.5 s  0.1   a, b            0.25
lr-0001  failed 3         65.0 s  0.01  two\\nlines an…
lr-0002  failed 137  66 min 40 s  1                           out of memory
lr-0003  pending                  1     x                     2 ahead"""


def options(*, all: bool = False, json: bool = False, csv: bool = False, sort: str | None = None) -> object:
    import argparse

    return argparse.Namespace(all=all, json=json, csv=csv, sort=sort)


def test_what_was_read_in_part_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    points = tuple(Outcome(f"{n:012x}", f"m-{n}", n, "succeeded", "", 0, 1, 1.0, (), (), f"/r/m-{n}") for n in range(3))
    found = Outcomes("5e", "m", 0.0, (("succeeded", 3),), (), (), points)
    report(found, options(), lambda folder: Found((), ("large",) if folder.name != "m-0" else ()))  # type: ignore
    assert capsys.readouterr().err.startswith("of 2 runs not all was read that they measured; which: ")


def test_metrics_are_read_of_what_is_shown_and_all_are_sorted_by_one() -> None:
    asked = []

    def metrics(folder: Path) -> Found:
        asked.append(folder)
        number = int(folder.name)
        return Found((Series("loss", (0, 1, 2), (3.0, 1.0 / (number + 1), 2.0), 3),
                      Series("val_acc", (0, 1, 2), (0.1, number / 100, 0.0), 3)) if number != 7 else ())

    points = tuple(Outcome(f"{n:012x}", f"m-{n:04d}", n, "succeeded", "", 0, 1, 1.0, (("n", str(n)),), (), f"/r/{n}")
                   for n in range(50))
    found = Outcomes("5e", "m", 0.0, (("succeeded", 50),), ("n",), (), points)
    shown = report(found, options(), metrics).splitlines()  # type: ignore[arg-type]
    assert len(asked) == 10 and shown[2].split() == ["RUN", "STATE", "TOOK", "n", "loss", "val_acc", "WHY"]
    for sort, first in (("loss", 49), ("loss:max", 0), ("val_acc", 49), ("val_acc:min", 0), ("n", 0), ("n:max", 49)):
        lines = report(found, options(sort=sort), metrics).splitlines()  # type: ignore[arg-type]
        assert lines[3].startswith(f"m-{first:04d}"), sort
    assert json.loads(report(found, options(sort="loss", json=True), metrics))["runs"][-1]["index"] == 7  # type: ignore
    with pytest.raises(UsageError) as error:
        report(found, options(sort="nope"), metrics)  # type: ignore[arg-type]
    assert error.value.code == "sweep.sort" and "val_acc" in error.value.hint


def test_the_table() -> None:
    assert report(FOUND, options()) == TABLE  # type: ignore[arg-type]


def test_csv_and_json_have_everything() -> None:
    assert in_csv(FOUND).startswith(
        'run,id,lr,note,state,exit_code,seconds,loss,reason\nlr-0000,aaa,0.1,"a, b",succeeded,0,2.500,0.25,\n'
        'lr-0001,bbb,0.01,"two\nlines and long",failed,3,65.000,,exit 3\n')
    made = document(FOUND)
    assert made["states"] == {"pending": 1, "succeeded": 1, "failed": 2}
    assert made["runs"][0]["metrics"] == {"loss": {"last": 0.25, "best": 0.2}}
    assert json.loads(json.dumps(made)) == made


def test_ten_thousand_points_are_readable() -> None:
    points = tuple(Outcome(f"{n:012x}", f"big-{n:04d}", n, "failed" if n % 100 == 99 else "succeeded", "exit 1", n % 2,
                           1, 1.0, (("n", str(n)),)) for n in range(10_000))
    found = Outcomes("5e", "big", 0.0, (("succeeded", 9900), ("failed", 100)), ("n",), (), points)
    lines = report(found, options()).splitlines()  # type: ignore[arg-type]
    assert lines[0] == "big: 10,000 runs: 9,900 succeeded, 100 failed"
    assert len(lines) < 35 and max(map(len, lines)) <= 80
    assert lines[-1] == "and 9,975 more: --all, --json or --csv"
    assert [p.index for p in choose(points)][:12] == [*range(10), 99, 199]
    assert len(report(found, options(all=True)).splitlines()) > 10_000  # type: ignore[arg-type]


def test_queue_show_and_logs_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    store = Store.open(tmp_path / "home")
    ledger = SqliteLedger(store.queue)
    points = placed(spread(grid(["a=1..3"]))(Point("", "sw", argv=("{a}",))), tmp_path / "results", "sw")
    ledger.add(Added("5eed", b"{}", points, created=1.0, name="sw"))
    for point in points:
        ledger.move(point.run, ("pending", 0), state="failed", attempt=1, exit_code=2, started=1.0, ended=2.0)
    ledger.close()
    for words in (["queue", "sw"], ["show", "sw"], ["queue", "5eed"]):
        assert cli.main(words) == 0
        assert "sw-0002  failed 2  1.0 s  3" in capsys.readouterr().out
    assert cli.main(["queue", "sw", "--csv"]) == 0
    assert capsys.readouterr().out.count("\n") == 4
    assert cli.main(["logs", "sw"]) == 125
    assert "[queue.sweep]" in capsys.readouterr().err
    assert cli.main(["queue", "--csv"]) == 125
    assert "[usage.no-sweep]" in capsys.readouterr().err
