"""docs/watching.md: its commands are commands, its drawings are what the code draws, and its tables are true."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.test_picture import read

from bareboat.cli.dispatch import parser_of
from bareboat.cli.metrics import summary
from bareboat.cli.picture import picture
from bareboat.cli.plot import plot
from bareboat.cli.train import parse, request_of
from bareboat.queue.base import Entry
from bareboat.store.scalars import BYTES, DEEP, metrics_of
from bareboat.training.series import POINTS, Series
from bareboat.training.values import Watch
from bareboat.verbs.over import about, variables

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/watching.md").read_text()
COMMANDS = [part.strip() for line in PAGE.splitlines() if line.startswith("    bareboat ")
            for part in re.split(r" && |; |  #| > ", line.strip()) if part.startswith("bareboat ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_is_one(line: str) -> None:
    _, verb, *words = shlex.split(line)
    if verb == "train":
        assert request_of(parse(words)).run.program
    else:
        parser_of(verb).parse_args(words)


def test_the_drawing_is_one() -> None:
    values = tuple(math.exp(-step / 70) for step in range(200))
    series = Series("loss", tuple(range(200)), values, 200, "step")
    lines = ["loss: last {}, least {}, most {}".format(*summary(series)), *plot([series], 46, high=10)]
    assert "".join(f"    {line}\n" for line in lines) in PAGE


def test_the_picture_is_of_the_example(tmp_path: Path) -> None:
    rates, curves = "0.03,0.01,0.003,0.001", []
    assert f"--sweep lr={rates}" in PAGE
    for number, rate in enumerate(rates.split(",")):
        folder = tmp_path / rate / "results"
        folder.mkdir(parents=True)
        subprocess.run([sys.executable, ROOT / "examples/sweep/src/train.py", rate, "1"], cwd=folder.parent, check=True,
                       capture_output=True)
        curves.append((f"rates-{number:04d} lr={rate}", metrics_of(folder).series[0]))
    assert read((ROOT / "docs/watching.png").read_bytes()) == read(picture([("loss", curves)]))


def test_what_a_notification_gets() -> None:
    rows = "".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `BAREBOAT_"))
    given = about(Entry("r", "s", "n", state="failed", reason="exit 1", exit_code=1))
    assert set(re.findall(r"BAREBOAT_\w+", rows)) == set(variables(given)) - {"HOME"}
    assert f"({', '.join(f'`{name}`' for name in given)})" in PAGE


def test_figures() -> None:
    assert f"at most {POINTS} points" in PAGE and f"more than {BYTES >> 20} MiB" in PAGE and DEEP == 8
    assert f"for {Watch().hang / 60:.0f} minutes" in PAGE
