"""Claims: what other living processes are about to take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bareboat.store import Store, claims

TAKES = """
import sys
from pathlib import Path
from bareboat.store import Store
with Store.open(Path(sys.argv[1])).claims() as found:
    print(*sorted(found.others), flush=True)
    found.take(sys.argv[2:])
print("taken", flush=True)
sys.stdin.read()
"""


def process(home: Path, *names: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", TAKES, str(home), *names], stdin=subprocess.PIPE, text=True,
                            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def others(store: Store) -> set[str]:
    with store.claims() as found:
        return set(found.others)


def test_of_other_processes_while_they_live(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "home")
    with process(store.home, "gpu-0", "gpu-1") as first:
        assert first.stdout is not None and [first.stdout.readline() for _ in range(2)] == ["\n", "taken\n"]
        assert others(store) == {"gpu-0", "gpu-1"}
        with process(store.home, "gpu-2") as second:
            assert second.stdout is not None and second.stdout.readline() == "gpu-0 gpu-1\n"
            second.communicate("")
        assert others(store) == {"gpu-0", "gpu-1"}
        first.communicate("")
    assert others(store) == set()


def test_ones_own_are_no_hindrance(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "home")
    with store.claims() as found:
        found.take(["gpu-0"])
    assert others(store) == set()


def test_what_is_old_damaged_or_of_another_who_got_the_number(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(tmp_path / "home")
    with process(store.home, "gpu-0") as first:
        assert first.stdout is not None and [first.stdout.readline() for _ in range(2)]
        file = store.home / "locks/claims"
        good = file.read_text()
        name, pid, _, boot, at = good.split()
        for text, left in ((good, {"gpu-0"}), (f"{name} {pid} 1 {boot} {at}\n", set()), (good[:-8], set()),
                           ("\0\xff junk\n" + good, {"gpu-0"}), (f"{name} {pid} 1 elsewhere {at}\n", {"gpu-0"})):
            file.write_text(text)
            assert others(store) == left
        file.write_text(good)
        monkeypatch.setattr(claims, "SECONDS", -10.0)
        assert others(store) == set()
        first.communicate("")


def test_a_loop_in_the_background_gets_one_each(tmp_path: Path) -> None:
    first_free = "found.take([next(n for n in sys.argv[2:] if n not in found.others)])"
    script = TAKES.replace("found.take(sys.argv[2:])", first_free)
    home = Store.open(tmp_path / "home").home
    names = [f"gpu-{n}" for n in range(6)]
    running = [subprocess.Popen([sys.executable, "-c", script, str(home), *names], stdin=subprocess.PIPE, text=True,
                                stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
               for _ in names]
    for each in running:
        assert each.stdout is not None and [each.stdout.readline() for _ in range(2)][1] == "taken\n"
    taken = [line.split(" ")[0] for line in (home / "locks/claims").read_text().splitlines()]
    for each in running:
        each.communicate("")
    assert sorted(taken) == names
