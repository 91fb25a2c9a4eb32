"""The first process of a container: run here as an ordinary one, on this machine's architecture and on the other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bareboat.engine import init

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(params=["linux/amd64", "linux/arm64"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    file = tmp_path / "init"
    file.write_bytes(init.program(request.param))
    file.chmod(0o755)
    before: list[str] = []
    if {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}[request.param] != os.uname().machine:
        emulator = shutil.which({"linux/amd64": "qemu-x86_64-static"}.get(request.param, "qemu-aarch64-static"))
        if emulator is None:
            pytest.skip("no emulator for the other architecture")
        before = [emulator]
    return lambda *argv: subprocess.Popen([*before, file, "/bin/sh", *argv], stdout=subprocess.PIPE,
                                          stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(("text", "code"), [("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143),
                                            ("kill -KILL $$", 137), ("(exit 4) & wait; exit 3", 3)])
def test_the_programs_end_is_its_own(start: Start, text: str, code: int) -> None:
    with start("sh", "-c", text) as process:
        assert process.wait(30) == code


def test_argv_and_environment_are_handed_on(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAREBOAT_TEST", "a b")
    with start("name", "-c", 'echo "$0|$1|$BAREBOAT_TEST|$#"', "zero", "") as process:
        assert process.communicate(timeout=30)[0] == b"zero||a b|1\n"


def test_signals_are_handed_on(start: Start) -> None:
    with start("sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done") as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.wait(30) == 9


@pytest.mark.parametrize(("make", "code"), [(None, 127), (0o644, 126)])
def test_what_cannot_be_started(tmp_path: Path, make: int | None, code: int) -> None:
    file, target = tmp_path / "init", tmp_path / "it"
    file.write_bytes(init.program({"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[os.uname().machine]))
    file.chmod(0o755)
    if make is not None:
        target.write_text("")
        target.chmod(make)
    assert subprocess.run([file, target, "x"], check=False).returncode == code


def test_other_architectures_are_not_known() -> None:
    with pytest.raises(KeyError):
        init.program("linux/riscv64")
