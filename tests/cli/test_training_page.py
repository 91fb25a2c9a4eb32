"""docs/training.md: its commands are commands, its options are train's, and its table is what follows an attempt."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bareboat.cli.dispatch import parser_of
from bareboat.cli.train import parse, request_of

PAGE = (Path(__file__).parents[2] / "docs/training.md").read_text()
COMMANDS = [line.strip().partition("  #")[0] for line in PAGE.splitlines() if line.startswith("    bareboat ")]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_is_one(line: str) -> None:
    _, verb, *words = shlex.split(line)
    if verb == "train":
        assert request_of(parse(words)).run.program
    else:
        parser_of(verb).parse_args(words)


def test_every_option_of_the_page_is_trains() -> None:
    known = parser_of("train")._option_string_actions
    rows = [line for line in PAGE.splitlines() if line.startswith("| `--")]
    named = {flag for row in rows for flag in re.findall(r"--[a-z-]+", row.split("|")[1])}
    assert len(named) > 15 and named <= set(known), named - set(known)


def test_every_state_is_told() -> None:
    from bareboat.record.states import STATES

    assert all(f"`{state}`" in PAGE for state in STATES)
