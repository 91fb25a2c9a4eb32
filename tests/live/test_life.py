"""A container's life by the command line, the same words on every engine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.docker_daemon import CLIENT, debian_docker
from tests.life_kit import until
from tests.live.test_save import PEERS

pytestmark = pytest.mark.live
SERVE = """
import socket, sys
s = socket.create_server(("127.0.0.1", 4712))
print("up", flush=True)
while True:
    c, _ = s.accept()
    c.sendall(b"inside: " + c.recv(100))
    c.close()
"""


class Words:
    """bareboat's words on one engine."""

    def __init__(self, engine: str, home: Path, project: Path, env: dict[str, str]) -> None:
        self.engine, self.project = engine, project
        self.env = {**os.environ, "BAREBOAT_HOME": str(home), "BAREBOAT_ENGINE": engine,
                    "BAREBOAT_LEASES_PATH": str(home.parent / "leases"), **env}  # of one user there is one queue

    def __call__(self, *words: str, code: int = 0, stdin: bytes | None = None) -> str:
        done = subprocess.run([sys.executable, "-m", "bareboat", "-q", *words], cwd=self.project, env=self.env,
                              input=stdin or b"", capture_output=True, timeout=300)
        assert done.returncode == code, f"{words}: {done.returncode} {done.stderr.decode()}"
        return done.stdout.decode()

    def row(self, name: str) -> dict[str, object]:
        return next(row for row in json.loads(self("ps", "-a", "--json")) if row["name"] == name)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("life")
    (root / "requirements.txt").write_text("")
    (root / "src").mkdir()
    (root / "src/serve.py").write_text(SERVE)
    return root


@pytest.fixture
def bb(engine: Words) -> Iterator[Words]:
    yield engine
    for row in json.loads(engine("ps", "-a", "--json")):
        engine("rm", "-f", row["id"])


@pytest.fixture(scope="module", params=["bubblewrap", "docker", "podman"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
           project: Path) -> Iterator[Words]:
    name = request.param
    home = tmp_path_factory.mktemp("life-store") / "home"
    with ExitStack() as stack:
        env = {}
        if name == "docker":  # of a daemon in a chroot, exec would enter the machine's own root
            env = {"DOCKER_HOST": stack.enter_context(debian_docker(tmp_path_factory.mktemp("dockerd"))),
                   "PATH": f"{Path(CLIENT).parent}:{os.environ['PATH']}"}
        elif name == "podman":
            if not PEERS or os.getuid():
                pytest.skip("needs BAREBOAT_PEERS, and podman's state is root's here")
            env = {"PATH": f"{PEERS}:{os.environ['PATH']}"}
        words = Words(name, home, project, env)
        words("run", "--", "true")
        yield words


def test_from_start_to_rm(bb: Words) -> None:
    made = bb("run", "-d", "--name", "one", "--label", "k=v", "--", "sh", "-c",
              "trap 'echo bye; exit 5' TERM; echo out; echo err >&2; while :; do sleep 0.05; done").strip()
    until(lambda: "out" in bb("logs", "one"))
    assert bb.row("one")["state"] == "running" and bb.row("one")["engine"] == bb.engine
    assert bb("ps", "--ids", "--filter", "label=k=v").strip() == made[:12]
    bb("stop", "one")
    assert (bb.row("one")["state"], bb.row("one")["exit_code"], bb.row("one")["reason"]) == ("exited", 5, "stopped")
    assert bb("logs", "one") == "out\nbye\n"
    bb("start", "one")
    assert bb.row("one")["attempt"] == 2
    bb("rm", "one", code=125)
    bb("rm", "-f", "one")
    assert bb("ps", "-a", "--ids", "--filter", "name=one") == ""


def test_the_warning_reaches_who_listens_behind_a_shell(bb: Words) -> None:
    listener = "trap 'echo saved; exit' USR1; echo out; while :; do sleep 0.05; done"
    bb("train", "--name", "behind", "--grace", "20s", "--", "sh", "-c", f'sh -c "{listener}"; echo after it')
    until(lambda: "out" in bb("logs", "behind"))
    bb("stop", "behind")
    bb("wait", "behind")
    said = [line for line in bb("logs", "behind").splitlines() if "bareboat" not in line]
    assert said == ["out", "saved", "after it"]
    bb("rm", "behind")


def test_exec_and_cp(bb: Words, tmp_path: Path) -> None:
    if bb.engine == "podman":
        pytest.skip("its runtime is in a chroot here, where what joins a container gets the machine's own root")
    bb("run", "-d", "--name", "two", "-e", "MINE=1", "--", "sleep", "600")
    said = bb("exec", "-e", "MORE=2", "-w", "/tmp", "two", "sh", "-c", "echo $MINE$MORE; pwd; exit 6", code=6)
    assert said == "12\n/tmp\n"
    if bb.engine == "bubblewrap":  # Docker 20.10 says 126
        bb("exec", "two", "no-such-program", code=127)
    assert bb("exec", "-i", "two", "cat", stdin=b"given") == "given"
    (tmp_path / "file").write_bytes(b"x" * 70_000)
    bb("cp", str(tmp_path / "file"), "two:/tmp/there")
    assert bb("exec", "two", "wc", "-c", "/tmp/there").split()[0] == "70000"
    bb("cp", "two:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"x" * 70_000


def test_pause_top_and_stats(bb: Words) -> None:
    bb("run", "-d", "--name", "paused", "--", "sleep", "600")
    bb("pause", "paused")
    assert bb.row("paused")["state"] == "paused"
    bb("exec", "paused", "true", code=125)
    bb("unpause", "paused")
    if bb.engine == "podman":
        return  # what it measures it finds inside the container, or in a cgroup of version 2
    assert "sleep 600" in bb("top", "paused")
    assert json.loads(bb("stats", "--json", "paused"))[0]["pids"] >= 1


def test_wait_kill_and_restart(bb: Words) -> None:
    bb("run", "-d", "--name", "three", "--restart", "on-failure:1", "--", "sh", "-c", "echo try; exit 3")
    assert bb("wait", "three").strip() == "3"
    until(lambda: bb.row("three")["state"] == "exited")
    assert bb.row("three")["attempt"] == 2 and bb("logs", "three") == "try\ntry\n"
    bb("run", "-d", "--name", "four", "--", "sleep", "600")
    bb("kill", "four")
    assert bb.row("four")["exit_code"] == 137
    bb("rm", "three", "four")


def test_names_clash(bb: Words) -> None:
    bb("create", "--name", "five", "--", "true")
    bb("create", "--name", "five", "--", "true", code=125)
    bb("rename", "five", "six")
    assert bb.row("six")["state"] == "created"
    bb("rm", "six")


def test_a_port_leads_inside(bb: Words) -> None:
    bb("run", "-d", "--name", "seven", "-p", "4712", "--", "python", "src/serve.py")
    until(lambda: "up" in bb("logs", "seven"))
    shown = bb.row("seven")["ports"]
    assert isinstance(shown, list)
    port = int(shown[0].split("->")[0].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"inside: hello"
    bb("rm", "-f", "seven")


def test_the_supervisor_killed(bb: Words) -> None:
    bb("run", "-d", "--name", "eight", "--", "sleep", "45454")
    pid = bb.row("eight")["supervisor"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    until(lambda: bb.row("eight")["state"] == "dead")
    bb("start", "eight")
    assert bb.row("eight")["state"] == "running"
    bb("rm", "-f", "eight")
    until(lambda: not _running("sleep 45454"), 30)


def _running(words: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if line.strip() == words:
                found.append(entry.name)
    return found


