"""docs/sweeps.md and the example: commands are commands, and the table of values is what the grammar makes of them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bareboat.cli.dispatch import parser_of
from bareboat.cli.train import parse, request_of
from bareboat.training.sweep import grid
from bareboat.training.values import Point

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/sweep"
PAGE = (ROOT / "docs/sweeps.md").read_text()
LINES = [line.strip().partition("  #")[0] for line in
         (PAGE + (EXAMPLE / "README.md").read_text()).splitlines() if line.startswith("    bareboat ")]


def test_there_are_commands() -> None:
    assert len(LINES) > 12


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_is_one(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)
    _, verb, *words = shlex.split(line)
    if verb != "train":
        parser_of(verb).parse_args(words)
    elif "--again" in words:
        assert parse(words).again == "lr"
    else:
        request = request_of(parse(words))
        assert request.spread is not None and len(request.spread(Point("", "x", argv=request.run.program))) > 1


@pytest.mark.parametrize(("written", "values"), [
    (row[0], row[1]) for row in re.findall(r"^\| `'?([a-z]+=[^`']+)'?` \| (.*) \|$", PAGE, re.MULTILINE)])
def test_the_table_of_values(written: str, values: str) -> None:
    told = re.findall(r"`[^`]+`|\d+(?:\.\d+)?", values.partition(":")[0].partition(";")[0])
    rows = [row[0] for row in grid([written]).rows]
    assert [word.strip("`") for word in told] == (rows if "…" not in values else [rows[0], rows[1], rows[-1]])


@pytest.mark.parametrize(("rate", "code"), [("0.1", 0), ("1", 1)])
def test_the_examples_program(rate: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    done = subprocess.run([sys.executable, EXAMPLE / "src/train.py", rate, "1"], cwd=tmp_path, capture_output=True,
                          check=False)
    assert done.returncode == code
    assert (tmp_path / "results/metrics.csv").read_text().startswith("step,loss\n0,")
