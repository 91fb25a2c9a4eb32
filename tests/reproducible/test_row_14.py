"""A sample of row 14, each control that it must catch, and real processes with other environments.

BAREBOAT_FAULT_ROUNDS sets the count; `python -m tests.reproducible --rounds 1000` prints the figures.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from tests.archive_factory import Key
from tests.faults.kit import rounds
from tests.reproducible.inputs import CHANGES, inputs, write
from tests.reproducible.row import CONTROLS, rows

from bareboat.host.process import Command, run

BUILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.archive_factory import Key
from tests.reproducible.building import build
from tests.reproducible.inputs import inputs
print(json.dumps(build(inputs(7), Path(sys.argv[2]), Key.__new__(Key), Path(sys.argv[3]))))
"""


def test_row_14() -> None:
    figures = rows(rounds(4))
    assert figures.bad == [], figures.line()
    assert figures.counts["bytes changed"] == figures.counts["seen"] == figures.counts["builds compared"] > 0


@pytest.mark.parametrize("control", CONTROLS)
def test_row_14_catches(control: str) -> None:
    figures = rows(1, seed=5, control=control, changes=("wheel",))
    assert figures.bad != [] and "a build failed" not in " ".join(figures.bad)


def test_each_kind_of_change_is_one_byte_of_the_same_inputs() -> None:
    for touched in CHANGES:
        before, after = inputs(11), inputs(11, touched)
        assert before != after and len(before.packages) == len(after.packages)


def test_processes_with_other_hash_seeds_and_locales(tmp_path: Path) -> None:
    key = Key()
    write(inputs(7), tmp_path / "mirror", key)
    script = BUILD.replace("Key.__new__(Key)", f"type('K', (), {{'public': {key.public!r}}})()")
    found = []
    for number, env in enumerate(({"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC"},
                                  {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "TZ": "Asia/Kathmandu"},
                                  {"PYTHONUTF8": "1", "LC_ALL": "xx_XX", "TZ": "<-13>13"})):
        argv = (sys.executable, "-c", script, str(Path(__file__).parents[2]), str(tmp_path / "mirror"),
                str(tmp_path / str(number)))
        done = run(Command(argv, env={"PATH": os.environ["PATH"], **env}))
        assert done.code == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1] == found[2]
