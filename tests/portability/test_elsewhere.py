"""All but the rooms for Linux works without Linux: imported, and used, in a process that has none of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.portability.elsewhere import LINUX_ROOMS

import bareboat

ROOT = Path(bareboat.__file__).parent
APART = ("bareboat.__main__",)  # it is the command itself


def elsewhere(script: str, *words: str, cwd: Path | None = None) -> str:
    """What a script prints that runs without Linux; its first lines have made it so."""
    begin = ("import pytest\nfrom tests.portability.elsewhere import leave_linux\nleave_linux()\n"
             "import json, os, sys\n")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("BAREBOAT_", "UV_", "PIP_"))}
    path = os.pathsep.join([os.fspath(ROOT.parent), *(p for p in sys.path if p)])
    done = subprocess.run([sys.executable, "-c", begin + script, *words], capture_output=True, text=True, cwd=cwd,
                          env={**environ, "PYTHONPATH": path, "NO_PROXY": "127.0.0.1"},
                          stdin=subprocess.DEVNULL)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def modules() -> list[str]:
    """Every module of ours that is not in a room for Linux."""
    names = (".".join(("bareboat", *p.relative_to(ROOT).with_suffix("").parts)) for p in ROOT.rglob("*.py"))
    found = sorted({name.removesuffix(".__init__") for name in names})
    return [name for name in found if not name.startswith(LINUX_ROOMS) and name not in APART
            and not name.endswith("_inside")]  # run by an image's own Python


def test_the_stand_in_takes_away_what_it_says() -> None:
    asked = """
tried = []
for words in ("os.pidfd_open", "os.pipe2", "os.O_PATH", "fcntl.F_OFD_SETLK", "signal.pidfd_send_signal"):
    module, name = words.split(".")
    tried.append(hasattr(__import__(module), name))
tried += [os.path.exists("/proc/self"), os.path.exists("/usr")]
import ctypes
tried += [hasattr(ctypes.CDLL(None), "syscall"), hasattr(ctypes.CDLL(None), "getpid")]
for name in ("bareboat.engine.bubblewrap", "bareboat.sandbox.box", "bareboat.errors"):
    try:
        __import__(name)
        tried.append(True)
    except ImportError:
        tried.append(False)
print(json.dumps(tried))
"""
    assert json.loads(elsewhere(asked)) == [False] * 6 + [True, False, True, False, False, True]


def test_every_other_module_can_be_imported() -> None:
    names = modules()
    assert len(names) > 200 and "bareboat.verbs.run" in names
    script = """
import importlib
failed = {}
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {error}"
print(json.dumps(failed))
"""
    assert json.loads(elsewhere(script, json.dumps(names))) == {}


USE = """
import io
from dataclasses import replace
from pathlib import Path
from tests.resolve.python.conftest import Index
from tests.world_kit import World
import bareboat.verbs.run
from bareboat.engine.memory import Guest
from bareboat.project import load as load_project
from bareboat.registry.places import parse_place
from bareboat.store import Store
from bareboat.store.gc import Policy
from bareboat.verbs.archive import archive
from bareboat.verbs.environment import environment
from bareboat.verbs.load import load
from bareboat.verbs.lock import host_platform
from bareboat.verbs.lock_mode import LockMode
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.pull import pull
from bareboat.verbs.push import push
from bareboat.verbs.save import Target, save

bareboat.verbs.run.after = lambda made, work: None  # no process outlives a test
base = Path(sys.argv[1])
(base / "index").mkdir()
index = Index(base / "index")
os.environ.update(UV_DEFAULT_INDEX=index.url, UV_CACHE_DIR=str(base / "uv"))
world = World(base, index)
os.chdir(world.root)
world.publish("alpha", "1.0")
world.publish("beta", "2.0", "alpha")
world.require("beta")
said = {}

def answer(guest):
    guest.write("/results/answer", b"42")
    return 0

world.program("answer", answer)
record = bareboat.verbs.run.run(RunRequest(program=("answer",), project=world.root), world.work)
said["run"] = [record.exit_code, [f.path for f in record.results.files]]
world.store.tag("lab/iris:1", environment(load_project(world.root), LockMode(), world.work).plan)
said["plan"] = record.plan
stream = io.BytesIO()
said["saved"] = save("lab/iris:1", Target(out=stream.write), world.work).plan
push("lab/iris:1", parse_place(f"oci:{base}/layout:1"), world.work)

other = replace(world.work, store=Store.open(base / "other"))
(names, loaded), = load(io.BytesIO(stream.getvalue()), "saved", host_platform(), other)
said["loaded"] = list(names)
third = replace(world.work, store=Store.open(base / "third"))
pulled = pull(parse_place(f"oci:{base}/layout:1"), host_platform(), third, "lab/iris:2")
said["pulled"] = sorted(third.store.tags()) + [pulled.plan == loaded.plan]
seen = []
for words, work in ((("lab/iris:1", "answer"), other), (("lab/iris:2", "answer"), third)):
    seen.append(bareboat.verbs.run.run(RunRequest(words=words, project_run=False), work).exit_code)
said["ran"] = seen
said["unsettled"] = [len(w.store.unsettled()) for w in (world.work, other, third)]
said["damaged"] = [len(w.store.check().damaged) for w in (world.work, other, third)]
third.store.untag("lab/iris:2")
third.store.close()
said["freed"] = third.store.gc(Policy(older_than=0, grace=0)).bytes > 0
said["kept"] = world.store.gc(Policy(older_than=0, grace=0)).kept > 0
index.server.shutdown()
print(json.dumps(said))
"""


def test_an_image_is_assembled_run_saved_loaded_pushed_and_pulled(tmp_path: Path) -> None:
    said = json.loads(elsewhere(USE, str(tmp_path)))
    assert said.pop("plan") == said.pop("saved")
    assert said == {"run": [0, ["answer"]], "loaded": ["lab/iris:1"], "pulled": ["lab/iris:2", True], "ran": [0, 0],
                    "unsettled": [0, 0, 0],  # nothing may count on a kernel's number for its boot: there is none
                    "damaged": [0, 0, 0], "freed": True, "kept": True}


AT_ONCE = """
import threading
from pathlib import Path
from bareboat.store import Store

store, made = Store.open(Path(sys.argv[1])), []
begin = threading.Barrier(6)

def fill(tree):
    made.append(threading.get_ident())
    tree.file("one", 0o644, [b"1"])

def ask():
    begin.wait()
    store.make_tree("one", fill)

threads = [threading.Thread(target=ask) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with store.turn("long work") as mine, store.turn("long work", wait=False) as second:
    turns = [mine, second]
left = [name for name in os.listdir(store.home / "locks") if name.startswith("make-")]
print(json.dumps([len(made), turns, left]))
"""


def test_one_maker_at_a_time_without_locks_of_open_files(tmp_path: Path) -> None:
    assert json.loads(elsewhere(AT_ONCE, str(tmp_path / "home"))) == [1, [True, False], []]


DOOR = """
import _socket, tempfile
from bareboat.supervisor import wire
folder = sys.argv[1]
door, other = wire.Door(folder), wire.Door(folder)
here, there = _socket.socket(_socket.AF_UNIX), _socket.socket(_socket.AF_UNIX)
here.bind(door.address)
here.listen(1)
there.connect(other.address)
there.send(b"hello")
accepted = _socket.socket(fileno=here._accept()[0])
said = wire.receive(accepted)[0].decode()
for each in (door, other, door):
    each.close()
for each in (here, there, accepted):
    each.close()
print(json.dumps([len(door.address) < 104, said, os.path.exists(os.path.dirname(os.path.dirname(door.address)))]))
"""


def test_a_socket_in_a_deep_directory_has_a_short_address(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 40)
    deep.mkdir()
    assert json.loads(elsewhere(DOOR, str(deep))) == [True, "hello", False]


HEALTH = """
from bareboat.host.loop import Loop
from bareboat.supervisor.rules import Health
from bareboat.supervisor.watches import Checkup

class Keeper:
    paused = False
    def end(self, why): ...
    def note(self, text): said.append(text)

said, loop, last = [], Loop(), [0]

def probe(code):
    def start():
        last[0] = os.fork()
        if last[0] == 0:
            os._exit(code)
        return last[0]
    return start

for code in (0, 1):
    checkup = Checkup(Health(("true",), interval=0.01, retries=1), probe(code), Keeper())
    checkup.start(loop)
    while checkup.state == "starting":
        loop.turn(None)
    checkup.stop()
    try:
        os.kill(last[0], 0)
        said.append("left")
    except ProcessLookupError:
        pass
print(json.dumps(said))
"""


def test_health_is_asked_without_descriptors_of_processes() -> None:
    assert json.loads(elsewhere(HEALTH)) == ["bareboat: health: healthy", "bareboat: health: unhealthy"]


ENGINE = """
from pathlib import Path
from bareboat.errors import EngineError
from bareboat.settings import Settings
from bareboat.wiring import engine
said = [engine(Settings(home=Path("/h")).override(engine=name)).name for name in ("docker", "podman")]
try:
    engine(Settings(home=Path("/h")))
except EngineError as error:
    said.append(error.code)
print(json.dumps(said))
"""


def test_the_engines_that_bring_a_linux_are_there_and_ours_says_why_not() -> None:
    assert json.loads(elsewhere(ENGINE)) == ["docker", "podman", "engine.platform"]
