from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bareboat.errors import RecordError, StoreError
from bareboat.store import Store
from bareboat.store.runs import RunStore


@pytest.fixture
def runs(tmp_path: Path) -> RunStore:
    return Store.open(tmp_path / "home").runs


def test_a_record_is_what_was_written_last(runs: RunStore) -> None:
    folder = runs.create("calm-otter-1")
    assert (folder / "results").is_dir() and runs.ids() == []
    runs.write("calm-otter-1", {"state": "running", "é": "\udcff"})
    runs.write("calm-otter-1", {"state": "succeeded", "é": [1.5, None]})
    assert runs.read("calm-otter-1") == {"state": "succeeded", "é": [1.5, None]}
    assert runs.ids() == ["calm-otter-1"]


def test_find_by_prefix(runs: RunStore) -> None:
    for run in ("ab", "abc", "x1"):
        runs.create(run)
        runs.write(run, {})
    assert runs.find("ab") == "ab" and runs.find("abc") == "abc" and runs.find("x") == "x1"
    for prefix, code in (("a", "record.ambiguous"), ("zz", "record.missing"), ("", "record.missing")):
        with pytest.raises(RecordError) as error:
            runs.find(prefix)
        assert error.value.code == code


def test_no_run_twice_and_no_path_out(runs: RunStore) -> None:
    runs.create("a")
    with pytest.raises(RecordError) as error:
        runs.create("a")
    assert error.value.code == "record.exists"
    with pytest.raises(StoreError):
        runs.create("../x")


def test_a_changed_bit_is_noticed(runs: RunStore) -> None:
    runs.create("a")
    runs.write("a", {"exit": 0, "pins": ["blob:x"]})
    path = runs.path("a") / "record.json"
    good = path.read_bytes()
    for place in range(len(good)):
        bad = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        path.write_bytes(bad)
        try:
            assert runs.read("a") == {"exit": 0, "pins": ["blob:x"]}  # white space between values
        except StoreError as error:
            assert error.code == "store.damaged"
    path.write_bytes(good)
    assert runs.read("a") == {"exit": 0, "pins": ["blob:x"]}
    path.unlink()
    with pytest.raises(RecordError):
        runs.read("a")


OWNER = """
import sys, time
from pathlib import Path
from bareboat.store import Store
runs = Store.open(Path(sys.argv[1])).runs
runs.create("r")
runs.write("r", {"state": "running"})
print("up", flush=True)
time.sleep(60)
"""


def test_running_and_died_are_told_apart(runs: RunStore, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path / "home")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"up\n"
        assert runs.is_alive("r") and not runs.hold("r")
        with pytest.raises(RecordError) as error:
            runs.remove("r")
        assert error.value.code == "record.alive"
        owner.kill()
    assert not runs.is_alive("r") and runs.read("r") == {"state": "running"}
    assert runs.hold("r") and runs.is_alive("r")
    runs.release("r")
    runs.remove("r")
    assert os.listdir(tmp_path / "home/runs") == []
