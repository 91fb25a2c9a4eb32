"""run NOTEBOOK.ipynb over a world of our own: where it stands inside, what is asked of it, and how it is repeated."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.errors import UsageError
from bareboat.record.values import RunRecord
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.rerun import RerunRequest, rerun
from bareboat.verbs.run import run
from bareboat.verbs.run_notebook import parameters

PROGRAM = "/opt/bareboat/lab/bin/python"


def executed(world: World, path: str, *words: str, **more: object) -> tuple[Guest, RunRecord]:
    for name in ("jupyterlab", "nbclient", "ipykernel"):
        world.publish(name, "1.0")
    seen: list[Guest] = []

    def program(guest: Guest) -> int:
        seen.append(guest)
        notebook, output = guest.workload.argv[5:7]
        guest.write(output, b"out of " + guest.read(notebook))
        return 0

    world.program(PROGRAM, program)
    request = RunRequest(words=(path, *words), project_run=False, **more)  # type: ignore[arg-type]
    record = run(request, world.work)
    return seen[-1], record


def test_it_is_executed_where_it_stands_and_the_output_is_a_result(world: World) -> None:
    world.require("beta")
    (world.root / "src/fit.ipynb").write_text("nb")
    guest, record = executed(world, "src/fit.ipynb", "--param", "lr=0.1", parameters=("n=3",))
    assert guest.workload.argv == (
        PROGRAM, "-I", "-W", "ignore", "/opt/bareboat/lab/share/bareboat/execute.py", "/app/src/fit.ipynb",
        "/results/fit.ipynb", "/app/src", '{"lr": 0.1, "n": 3}')
    assert (world.root / "results/fit.ipynb").read_bytes() == b"out of nb"
    assert [f.path for f in record.results.files] == ["fit.ipynb"] and record.kind == "" and record.code is not None


@pytest.mark.parametrize(("path", "inside"), [
    ("notebooks/a.ipynb", "/app/notebooks/a.ipynb"), ("top.ipynb", "/app/top.ipynb"),
    ("deep/er/b.ipynb", "/app/deep/er/b.ipynb")])
def test_one_beside_the_code_is_mounted_read_only_and_recorded(world: World, path: str, inside: str) -> None:
    world.require("beta")
    (world.root / path).parent.mkdir(parents=True, exist_ok=True)
    (world.root / path).write_text("nb")
    guest, record = executed(world, path)
    assert guest.workload.argv[5] == inside and guest.read(inside) == b"nb"
    with pytest.raises(PermissionError):
        guest.write(inside, b"")
    mount = next(m for m in record.mounts if inside.startswith(m.target) and m.kind == "code")
    assert mount.read_only and mount.within and path.startswith(mount.within)


def test_it_is_repeated_with_the_tools_it_needs(world: World, tmp_path: Path) -> None:
    world.require("beta")
    (world.root / "src/fit.ipynb").write_text("nb")
    _, record = executed(world, "src/fit.ipynb")
    (world.root / "src/fit.ipynb").write_text("edited since")
    done = rerun(RerunRequest(record.id, into=tmp_path / "again"), world.work)
    assert done.verdict.verdict == "identical"
    assert "/opt/bareboat/lab" in [m.target for m in world.engine.ran[-1].mounts]


def test_outside_missing_and_without_results(world: World, tmp_path: Path) -> None:
    world.require("beta")
    (tmp_path / "other.ipynb").write_text("nb")
    (world.root / "bareboat.toml").write_text("results = false\n")
    (world.root / "src/fit.ipynb").write_text("nb")
    for path, code in ((os.fspath(tmp_path / "other.ipynb"), "notebook.outside"), ("none.ipynb", "notebook.missing"),
                       ("src/fit.ipynb", "notebook.results")):
        with pytest.raises(UsageError) as caught:
            executed(world, path)
        assert caught.value.code == code


def test_parameters_are_json_or_text() -> None:
    given = ("a=1", "b=0.5", "c=true", "d=False", "e=[1, 2]", "f=text", "g=", "h=NaN", 'i="1"', "j=a=b", "k=null")
    assert parameters(given) == {"a": 1, "b": 0.5, "c": True, "d": False, "e": [1, 2], "f": "text", "g": "",
                                 "h": "NaN", "i": "1", "j": "a=b", "k": None}


@pytest.mark.parametrize("text", ["a", "=1", "a b=1", "1a=2", "import os;x=1", "a.b=1"])
def test_bad_parameters(text: str) -> None:
    with pytest.raises(UsageError):
        parameters((text,))


def test_parameters_of_a_program_are_refused(world: World) -> None:
    with pytest.raises(UsageError):
        run(RunRequest(program=("true",), parameters=("a=1",)), world.work)


def test_parameters_travel_as_one_argument(world: World) -> None:
    world.require("beta")
    (world.root / "src/fit.ipynb").write_text("nb")
    guest, _ = executed(world, "src/fit.ipynb", "text=it's \"q\"; $(x)")
    assert json.loads(guest.workload.argv[8]) == {"text": "it's \"q\"; $(x)"}
