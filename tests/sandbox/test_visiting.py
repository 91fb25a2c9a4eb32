"""One more program in a sandbox that runs, and what its supervisor can do to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import sandbox_kit as kit

from bareboat.engine.base import Live, Streams
from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.errors import EngineError, ProgramError
from bareboat.host import processes
from bareboat.host.loop import Loop
from bareboat.workload import Exec, Handle, Outcome

ENGINE = Bubblewrap(Path("/nonexistent"))


class Inside:
    """A container that sleeps, in the hands of a test."""

    def __init__(self, live: Live, load: object) -> None:
        self.live, self.load = live, load

    def exec(self, *argv: str, **more: object) -> kit.Heard:
        heard = kit.Heard()
        handle = self.live.handle()
        try:
            heard.outcome = ENGINE.exec(handle, _call(*argv, **more), heard.streams())
        finally:
            os.close(handle.pidfd)
        return heard


def _call(*argv: str, **more: object) -> Exec:
    settings = {"env": (kit.PATH, ("HOME", "/home/user")), "cwd": "/", "uid": 1000, "gid": 1000, **more}
    return Exec(argv, **settings)  # type: ignore[arg-type]


def inhabit(tmp_path: Path, do: Callable[[Inside], None], *argv: str, **more: object) -> Outcome:
    """Run a container, do something in it when it lives, end it."""
    kit.need_sandbox()
    load = kit.workload(kit.skeleton(tmp_path / "tree"), *(argv or ("sleep", "60")), **more)
    failed: list[BaseException] = []

    def live(_loop: Loop, container: Live) -> None:
        try:
            do(Inside(container, load))
        except BaseException as error:
            failed.append(error)
        container.kill("the test is over")

    outcome = ENGINE.run(load, Streams(lambda _: None, lambda _: None, live=live))
    if failed:
        raise failed[0]
    return outcome


def test_it_sees_what_the_program_sees_and_no_more(tmp_path: Path) -> None:
    def do(inside: Inside) -> None:
        heard = inside.exec("sh", "-c", "id -u; pwd; ls /proc | grep -c '^[0-9]'; grep -E '^(CapEff|CapBnd|NoNewPrivs|"
                            "Seccomp):' /proc/self/status; ls /proc/self/fd | wc -l; unshare -Ur true || echo refused",
                            cwd="/etc")
        lines = heard.text.split()
        assert lines[:2] == ["1000", "/etc"]
        assert int(lines[2]) < 10  # the pid namespace is the container's
        assert "CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2" in " ".join(lines)
        assert lines[-2:] == ["4", "refused"]  # 0, 1, 2 and ls's own

    inhabit(tmp_path, do)


def test_its_code_its_streams_and_its_end_are_its_own(tmp_path: Path) -> None:
    def do(inside: Inside) -> None:
        heard = inside.exec("sh", "-c", "echo out; echo err >&2; exit 7")
        assert (heard.out, heard.err, heard.outcome.code, heard.started) == (b"out\n", b"err\n", 7, 1)
        assert inside.exec("sh", "-c", "kill -TERM $$").outcome.code == 143

    assert inhabit(tmp_path, do).reason == "the test is over"


@pytest.mark.parametrize(("argv", "code"), [(("nothing",), 127), (("/etc/passwd",), 126), (("/etc",), 126)])
def test_a_program_that_cannot_start(tmp_path: Path, argv: tuple[str, ...], code: int) -> None:
    def do(inside: Inside) -> None:
        with pytest.raises(ProgramError) as error:
            inside.exec(*argv)
        assert error.value.exit_code == code and error.value.where == argv[0]

    inhabit(tmp_path, do)


def test_a_working_directory_that_is_not_there(tmp_path: Path) -> None:
    def do(inside: Inside) -> None:
        with pytest.raises(EngineError, match="working directory") as error:
            inside.exec("true", cwd="/nowhere")
        assert error.value.code == "engine.workdir"

    inhabit(tmp_path, do)


def test_a_terminal_of_its_own(tmp_path: Path) -> None:
    def do(inside: Inside) -> None:
        assert inside.exec("sh", "-c", "test -t 0 && tty && ps -o tty= -p $$", tty=True).text.split() == [
            "/dev/pts/0", "pts/0"]

    inhabit(tmp_path, do)


def test_it_may_signal_the_program_and_the_program_s_children(tmp_path: Path) -> None:
    def do(inside: Inside) -> None:
        assert inside.exec("sh", "-c", "kill -0 2").outcome.code == 0

    inhabit(tmp_path, do)


def test_a_container_that_ended_cannot_be_entered(tmp_path: Path) -> None:
    kept: list[Handle] = []
    inhabit(tmp_path, lambda inside: kept.append(inside.live.handle()))
    with pytest.raises(EngineError) as error:
        ENGINE.exec(kept[0], _call("true"), kit.Heard().streams())
    assert error.value.code == "engine.gone"
    os.close(kept[0].pidfd)


def _states(live: Live) -> set[str]:
    return {processes.state(p.pid) for p in live.processes()}


def test_pause_stops_every_process_also_those_that_fork_all_the_time(tmp_path: Path) -> None:
    def do(inside: Inside) -> None:
        for _ in range(20):
            inside.live.pause()
            assert _states(inside.live) <= set("TZD")  # D: waits by vfork for a child that is stopped
            before = [(p.pid, p.seconds) for p in inside.live.processes()]
            assert [(p.pid, p.seconds) for p in inside.live.processes()] == before
            inside.live.unpause()
        assert "T" not in _states(inside.live)

    inhabit(tmp_path, do, "sh", "-c", "while :; do /bin/true & /bin/true; done")


def test_what_it_uses_and_what_runs_in_it(tmp_path: Path) -> None:
    def do(inside: Inside) -> None:
        first = inside.live.processes()[0]
        assert first.argv == "sleep 60" and first.memory > 0
        assert inside.live.usage().pids == 1
        assert inside.live.signal(signal.SIGCONT)

    inhabit(tmp_path, do)
