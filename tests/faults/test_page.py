"""docs/faults.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_test_that_the_page_names_is_there() -> None:
    page = (TESTS.parent / "docs/faults.md").read_text("utf-8")
    named = re.findall(r"`([a-z_/]+\.py)(?:::(test_\w+))?`", page.replace("`tests/", "`"))
    missing = [f"{file}::{name}" for file, name in named
               if not (TESTS / file).exists() or (name and f"def {name}(" not in (TESTS / file).read_text("utf-8"))]
    assert missing == [] and len(named) > 50
