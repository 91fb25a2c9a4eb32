"""bareboat logs: of a queued run with several attempts, into a file and byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue_kit import Yard

from bareboat.cli import logs
from bareboat.training.values import Retry, Training

SCRIPT = r"""
printf '\r  0%%\r 50%%\r100%%\n'
printf '\033[31mred' >&2
if [ $BAREBOAT_ATTEMPT = 1 ]; then mkdir $BAREBOAT_CHECKPOINTS/step-500; touch $BAREBOAT_CHECKPOINTS/step-500/.complete
printf unfinished; exit 75; fi
echo end
"""


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def test_attempts_are_told_apart_and_the_bytes_stay(yard: Yard, capfd: pytest.CaptureFixture[str]) -> None:
    run, = yard.submit(SCRIPT, training=Training(retry=Retry()))
    yard.wake()
    yard.over(run)
    capfd.readouterr()
    assert logs.show(yard.store, run, follow=False) == 0
    out, err = capfd.readouterr()
    assert out == "100%\nunfinished\n100%\nend\n"
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", err) == (
        "\x1b[31mred\n\x1b[0m── attempt 2 · after exit 75 · resumed from step-500 · TIME ──\n\x1b[31mred")
    logs.show(yard.store, run, follow=True)
    assert capfd.readouterr().out == out
    logs.show(yard.store, run, follow=False, raw=True)
    bars = "\r  0%\r 50%\r100%\n"
    assert capfd.readouterr() == (f"{bars}unfinished{bars}end\n", "\x1b[31mred\x1b[31mred")
