"""What Pyxis would be asked, to the letter; and a srun that stands in for it. No real one has been seen."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.sandbox_kit import Heard

from bareboat.engine.base import Live
from bareboat.engine.slurm.pyxis import Pyxis, srun, start_script, unfit, uri
from bareboat.errors import EngineError
from bareboat.host.loop import Loop
from bareboat.values import replace
from bareboat.workload import Limits, Mount, Port, Rootfs, Tmpfs, Workload

STAND_IN = Path(__file__).parents[2] / "slurm_pyxis_stand_in.sh"
IMAGE = "registry.test:5000#lab/runs:env-0123456789abcdef"
LOAD = Workload(Rootfs(()), ("python", "a b", "it's"), (("BAREBOAT_FENCE", "r.1"), ("A", "x\ny"), ("no-name", "z")),
                "/app", (Mount(Path("/s/results"), "/results"), Mount(Path("/s/code"), "/app/src", True)), uid=1001)


def test_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "n7")
    assert srun(replace(LOAD, limits=Limits(cpus=2.5)), IMAGE, Path("/s/run/pyxis")) == (
        "srun", "--overlap", "--quiet", "--nodes=1", "--ntasks=1", "--nodelist=n7", "--cpus-per-task=3",
        "--kill-on-bad-exit=0", f"--container-image={IMAGE}",
        "--container-mounts=/s/results:/results,/s/code:/app/src:ro,/s/run/pyxis:/run/bareboat-pyxis",
        "--container-workdir=/app", "--no-container-mount-home", "--no-container-entrypoint", "--container-writable",
        "--no-container-remap-root", "/bin/sh", "/run/bareboat-pyxis/start", "python", "a b", "it's")
    assert "--container-remap-root" in srun(replace(LOAD, uid=0), IMAGE, Path("/s"))


def test_variables_are_in_no_argv() -> None:
    assert start_script(LOAD) == """\
: > /run/bareboat-pyxis/began
trap '' TERM
export BAREBOAT_FENCE=r.1
export A='x
y'
mkdir -p "$HOME" 2>/dev/null
exec "$@"
"""
    assert uri("ghcr.io", "lab/runs", "t") == "ghcr.io#lab/runs:t"


@pytest.mark.parametrize(("more", "word"), [
    ({"network": "none"}, "--network"), ({"uid": 5}, "-u"), ({"tmpfs": (Tmpfs("/x"),)}, "--tmpfs"),
    ({"ports": (Port(0, 80),)}, "-p"), ({"platform": "linux/arm64"}, "--platform"),
    ({"code_overlays": (("/app/src", Path("/t")),)}, "extensions"),
    ({"mounts": (Mount(Path("/a,b"), "/x"),)}, "comma"), ({"mounts": (Mount(Path("/a"), "/x:y"),)}, "comma"),
])
def test_what_it_has_no_word_for(more: dict[str, object], word: str) -> None:
    assert unfit(LOAD, 1001) == "" and unfit(replace(LOAD, uid=0), 1001) == ""
    assert word in unfit(replace(LOAD, **more), 1001)


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/srun").symlink_to(STAND_IN)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("LC_WORDS", str(tmp_path / "words"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LC_REAL", raising=False)
    return tmp_path / "words"


def load(script: str, *argv: str) -> Workload:
    env = (("BAREBOAT_FENCE", f"r{os.getpid()}.1"), ("SAID", "it's"), ("HOME", os.environ["HOME"]))
    return Workload(Rootfs(()), ("sh", "-c", script, "sh", *argv), env, "/", uid=os.getuid())


def test_streams_variables_and_exit_code(tmp_path: Path, words: Path) -> None:
    heard, engine = Heard(), Pyxis(IMAGE, tmp_path / "run", os.getuid())
    outcome = engine.run(load('echo "$SAID" "$1"; echo bad >&2; exit 7', "a  b"), heard.streams())
    assert (outcome.code, heard.text, bytes(heard.err)) == (7, "it's a  b\n", b"bad\n")
    assert f"--container-image={IMAGE}" in words.read_text().splitlines()
    assert not (tmp_path / "run/start").exists()  # with the variables in it


def test_one_that_listens_is_warned_and_no_other(tmp_path: Path, words: Path) -> None:
    seen: list[int] = []

    def live(loop: Loop, container: Live) -> None:
        def warn() -> None:
            if not container.catches(signal.SIGUSR1):
                loop.after(0.05, warn)
                return
            seen.append(len(container.processes()))
            seen.append(container.warn(signal.SIGUSR1))

        warn()

    heard = Heard()
    outcome = Pyxis(IMAGE, tmp_path / "run", os.getuid()).run(
        load("trap 'echo warned; exit 3' USR1; while :; do sleep 0.05; done"), heard.streams(live=live))
    assert (outcome.code, heard.text) == (3, "warned\n")
    assert seen[0] >= 1 and seen[1] == 1  # not the sleep beside it


def test_one_that_is_killed(tmp_path: Path, words: Path) -> None:
    def live(loop: Loop, container: Live) -> None:
        def kill() -> None:
            if container.processes():
                container.kill("time limit")
            else:
                loop.after(0.05, kill)

        kill()

    outcome = Pyxis(IMAGE, tmp_path / "run", os.getuid()).run(load("sleep 600 & wait"), Heard().streams(live=live))
    assert (outcome.code, outcome.reason) == (137, "time limit")


def test_an_image_that_cannot_be_brought(tmp_path: Path, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYXIS_FAILS", "failed to import docker image")
    with pytest.raises(EngineError, match="failed to import docker image") as caught:
        Pyxis(IMAGE, tmp_path / "run", os.getuid()).run(load("true"), Heard().streams())
    assert caught.value.code == "slurm.pyxis" and caught.value.where == IMAGE
