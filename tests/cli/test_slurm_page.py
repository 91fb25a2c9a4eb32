"""docs/slurm.md: its commands are commands, its options are train's, and its errors are ours."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bareboat.cli.dispatch import parser_of
from bareboat.cli.train import parse, request_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/slurm.md").read_text()
COMMANDS = [line.strip().partition("  #")[0] for line in PAGE.replace("\\\n", " ").splitlines()
            if line.startswith("    bareboat ")]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 7


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_is_one(line: str) -> None:
    _, verb, *words = shlex.split(line)
    if verb == "train":
        made = request_of(parse(words))
        assert made.run.program and made.training.scheduler == "slurm"
    else:
        parser_of(verb).parse_args(words)


def test_every_option_of_the_page_is_trains() -> None:
    known = parser_of("train")._option_string_actions
    rows = [line for line in PAGE.splitlines() if line.startswith("| `--")]
    named = {flag for row in rows for flag in re.findall(r"--[a-z-]+", row.split("|")[1])}
    assert len(named) > 12 and named - {"--exclude", "--mail-type"} <= set(known), named - set(known)


def test_every_check_of_a_node_is_made() -> None:
    source = (ROOT / "src/bareboat/verbs/nodes.py").read_text()
    codes = set(re.findall(r"`(node\.[a-z]+)`", PAGE))
    assert len(codes) == 6 and all(f'"{code}"' in source for code in codes)
