"""GPUs of one machine among real users: two who keep to it, and one who does not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import gpu_kit as kit
from tests.builder.layer_factory import E, d, tar
from tests.life_kit import until
from tests.live.layout_kit import write_layout
from tests.live.test_archive import remove
from tests.sandbox_kit import need_sandbox

from bareboat.host import processes

pytestmark = pytest.mark.live
PYTHON = os.environ.get("BAREBOAT_TEST_PYTHON", sys.executable)  # one that other users may start, with bareboat
ANN, BEN, MALLORY = 1250, 1251, 1252
TAKE = """
import sys
from pathlib import Path
from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import Place
from bareboat.lease.values import *
leases = FlockLeases(Place(Path(sys.argv[1]), True))
"""


class Lab:
    """A machine with two pretend GPUs, and a folder of each user."""

    def __init__(self, base: Path) -> None:
        self.base, self.leases = base, base / "lock/leases"
        base.chmod(0o755)
        self.leases.parent.mkdir()
        self.leases.parent.chmod(0o1777)
        for user in (ANN, BEN, MALLORY):
            (base / f"u{user}").mkdir()
            os.chown(base / f"u{user}", user, user)

    def env(self, user: int) -> dict[str, str]:
        mine = self.base / f"u{user}"
        env = {"PATH": "/usr/bin:/bin", "HOME": str(mine), "BAREBOAT_HOME": str(mine / "store"), "LANG": "C.UTF-8",
               "PYTHONDONTWRITEBYTECODE": "1", "BAREBOAT_LEASES_PATH": str(self.leases),
               "BAREBOAT_GPU_NVML": str(self.base / "libnvidia-ml.so.1"), "BAREBOAT_GPU_CDI": str(self.base / "cdi"),
               "FAKE_NVML": str(self.base / "nvml.txt")}
        return env | {k: os.environ[k] for k in ("PYTHONPATH",) if k in os.environ}

    def run(self, user: int, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([PYTHON, "-m", "bareboat", *words], capture_output=True, text=True, cwd="/",
                              env=self.env(user), stdin=subprocess.DEVNULL, user=user, group=user, extra_groups=[])

    def script(self, user: int, text: str, *words: str) -> subprocess.Popen[str]:
        """Python by that user, which has `leases`; it stays until it is killed where it waits for input."""
        return subprocess.Popen([PYTHON, "-c", TAKE + text, str(self.leases), *words], text=True, cwd="/",
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.env(user), user=user,
                                group=user, extra_groups=[], umask=0o077)

    def said(self, user: int, text: str) -> str:
        with self.script(user, text) as done:
            out, _ = done.communicate("")
        assert done.returncode == 0
        return out

    def gpus(self, user: int) -> list[dict[str, Any]]:
        done = self.run(user, "gpus", "--json")
        assert done.returncode == 0, done.stderr
        listed: list[dict[str, Any]] = json.loads(done.stdout)["gpus"]
        return listed


@pytest.fixture
def lab() -> Iterator[Lab]:
    if os.getuid() != 0:
        pytest.skip("only root can become other users")
    able = subprocess.run([PYTHON, "-c", "import bareboat"], user=ANN, group=ANN, extra_groups=[], cwd="/",
                          capture_output=True)
    if able.returncode:
        pytest.skip("this Python cannot be started by other users: set BAREBOAT_TEST_PYTHON to one that can")
    base = Path(tempfile.mkdtemp(prefix="bareboat-gpus-", dir="/var/tmp"))
    try:
        yield Lab(base)
    finally:
        remove(base)


HOLD = """
lease = leases.take(Holding(0, "r", "unet", units=(("GPU-a", SLOTS),), cpus=2.0))
print(lease is not None, flush=True)
sys.stdin.read()
"""


def test_what_one_has_the_other_has_not_and_sees_whose_it_is(lab: Lab) -> None:
    with lab.script(ANN, HOLD) as ann:
        assert ann.stdout is not None and ann.stdout.readline() == "True\n"
        told = lab.said(BEN, "print(leases.take(Holding(0, 's', units=(('GPU-a', 1),))), leases.holdings(), "
                        "leases.problems())")
        assert told.startswith(f"None (Holding(uid={ANN}, run='r', name='unet',") and told.endswith(" ()\n")
        ann.kill()
    assert "True" in lab.said(BEN, "print(leases.take(Holding(0, 's', units=(('GPU-a', SLOTS),))) is not None)")
    assert lab.said(BEN, "print(leases.holdings())") == "()\n"
    assert sum(n.startswith(f"holding-{ANN}") for n in os.listdir(lab.leases)) == 1  # what the dead left is hers
    lab.said(ANN, "leases.holdings()")
    assert not any(n.startswith("holding-") for n in os.listdir(lab.leases))


def test_pages_of_both_are_read_by_both(lab: Lab) -> None:
    page = "leases.publish(Page(0, 1.0, 2.0, (Wish('r', sys.argv[2]),))); print(flush=True); sys.stdin.read()"
    with lab.script(ANN, page, "ann") as ann, lab.script(BEN, page, "ben") as ben:
        for one in (ann, ben):
            assert one.stdout is not None and one.stdout.readline() == "\n"
        told = "print([(p.uid, [w.name for w in p.wishes]) for p in leases.pages()], leases.problems())"
        for user in (ANN, BEN):
            assert lab.said(user, told) == f"[({ANN}, ['ann']), ({BEN}, ['ben'])] ()\n"


def test_what_a_hostile_user_puts_there_is_named_and_harms_nobody_but_by_taking_gpus(lab: Lab) -> None:
    lab.said(ANN, "leases.holdings()")
    hostile = f"""
import os
os.umask(0o022)
os.chdir(sys.argv[1])
os.symlink("/etc/shadow", "holding-{ANN}-r-0")
os.mkfifo("page-{ANN}-0")
open("holding-{BEN}-s-0", "w").write('{{"uid": {BEN}, "run": "s", "units": [["GPU-b", 12]]}}')
open("page-{MALLORY}-0", "w").write("[" * 100000)
os.mkfifo("gpu-GPU-a")
os.symlink("/etc/passwd", "turn")
try:
    os.unlink([n for n in os.listdir(".") if n.startswith("page-{ANN}-") and n != "page-{ANN}-0"][0])
    print("removed")
except (PermissionError, IndexError) as error:
    print(type(error).__name__)
"""
    with lab.script(ANN, "leases.publish(Page(0)); print(flush=True); sys.stdin.read()") as ann:
        assert ann.stdout is not None and ann.stdout.readline() == "\n"
        assert lab.said(MALLORY, hostile) == "PermissionError\n"
        look = """
with leases.turn():
    taken = leases.take(Holding(0, "r", units=(("GPU-b", SLOTS),)))
    refused = leases.take(Holding(0, "q", units=(("GPU-a", SLOTS),)))
print([h.uid for h in leases.holdings()], [p.uid for p in leases.pages()], refused)
print(*leases.problems(), sep="\\n")
"""
        first, *problems = lab.said(BEN, look).splitlines()
    assert first == f"[{BEN}] [{ANN}] None"
    for name in (f"holding-{ANN}-r-0: is a symbolic link", f"page-{ANN}-0: is no regular file",
                 f"holding-{BEN}-s-0: belongs to uid {MALLORY}", f"page-{MALLORY}-0: it is nested too deep",
                 "gpu-GPU-a: is no regular file", "turn: "):
        assert any(line.startswith(name) for line in problems), (name, problems)


def test_two_users_run_on_two_gpus(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    need_sandbox()
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox, statically linked")
    shutil.copy(kit.nvml(kit.TWO, lab.base, monkeypatch), lab.base / "libnvidia-ml.so.1")
    kit.cdi_yaml(lab.base / "cdi", kit.library(lab.base / "libcuda.so.999.88", "libcuda.so.1"))
    for path in lab.base.rglob("*"):
        if not path.is_relative_to(lab.leases.parent):
            path.chmod(0o755)
    layer = tar([d("etc"), d("tmp", mode=0o1777), d("bin"), E("bin/busybox", Path(busybox).read_bytes(), mode=0o755),
                 *(E(f"bin/{tool}", kind=b"2", link="busybox") for tool in ("sh", "sleep", "env"))])
    write_layout(lab.base / "layout", [layer], lambda data: data)
    for user in (ANN, BEN):
        done = lab.run(user, "pull", f"oci:{lab.base}/layout:1", "-t", "box:1")
        assert done.returncode == 0, done.stderr
        done = lab.run(user, "run", "-d", "--name", f"of-{user}", "--gpus", "1", "box:1", "sleep", "600")
        assert done.returncode == 0, done.stderr
    try:
        for user in (ANN, BEN):
            assert sorted(lease["name"] for gpu in lab.gpus(user) for lease in gpu["leases"]) == [
                f"of-{ANN}", f"of-{BEN}"]
        for words in (("--gpus", "1"), ("--gpus", "0.5"), ("--gpus", "device=1")):
            done = lab.run(BEN, "run", *words, "box:1", "env")
            assert done.returncode == 125 and "has uid 1250's session of-1250" in done.stderr, done.stderr
        found = [int(n) for n in os.listdir("/proc") if n.isdigit() and (about := processes.told(int(n)))
                 and about[0] == ANN and "bareboat.entry.supervisor" in about[2]]
        os.kill(next(pid for pid in found if processes.parent_of(pid) not in found), signal.SIGKILL)
        until(lambda: lab.run(BEN, "run", "--gpus", "0.5", "box:1", "env").returncode == 0)
        done = lab.run(BEN, "run", "--gpus", "0.5", "box:1", "env")
        assert "BAREBOAT_GPU_MEMORY_SHARE=0.5000" in done.stdout
    finally:
        for user in (ANN, BEN):
            lab.run(user, "rm", "-f", f"of-{user}")
    assert [gpu["leases"] for gpu in lab.gpus(BEN)] == [[], []]
