"""bareboat create."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

from bareboat.cli import run

SUMMARY = "Make a container without starting it; prints its id."
EXAMPLES = """\
  bareboat create --name sweep -- python src/run.py
  bareboat start sweep
"""


def parse(words: list[str]) -> argparse.Namespace | SimpleNamespace:
    """As run's words."""
    return run.parse(words, "create")


def configure(parser: argparse.ArgumentParser) -> None:
    """As run's."""
    run.configure(parser)


def command(options: argparse.Namespace | SimpleNamespace) -> int:
    """Print the container's id."""
    from bareboat.cli.life import life_of
    from bareboat.verbs.launch import create

    container, _ = create(run.request_of(options), life_of(options), run.work_of(options))
    print(container.id)
    return 0
