"""The commands of docs/runs-that-travel.md are commands, and its media types those that are written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from bareboat.cli.dispatch import parser_of
from bareboat.record import artifact

PAGE = (Path(__file__).parents[2] / "docs/runs-that-travel.md").read_text()


def test_every_command_parses() -> None:
    lines = [shlex.split(line.strip()) for line in PAGE.splitlines() if line.startswith("    bareboat ")]
    assert len(lines) >= 7
    for _, verb, *words in lines:
        parser_of(verb).parse_args(words)


def test_every_media_type_is_told() -> None:
    known = {artifact.RUN, artifact.RECORD, *artifact.PARTS}
    assert set(re.findall(r"application/vnd\.bareboat\.run[a-z0-9.+]*", PAGE)) == known
