"""What every engine does alike: one suite, one module of programs (tests/engine_kit.py).

harness is every engine, the fake among them; real are those with a kernel under them. Where an engine cannot, it says
so in its Capabilities or in docs/engines.md, and the test asks for what is said there.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import sandbox_kit as kit
from tests.engine_kit import PROGRAMS, Harness, Session

from bareboat.errors import EngineError, ProgramError, UsageError
from bareboat.workload import Limits, Mount, Tmpfs

# --- the program: what it is given, and how it ends ---


def test_streams_apart_and_the_programs_own_code(widest: Harness) -> None:
    heard = widest.run("both")
    assert (heard.out, heard.err, heard.outcome.code) == (b"to out\n", b"to err\n", 7)
    assert heard.outcome.reason == "" and heard.started == 1


def test_codes_that_engines_use_themselves_are_the_programs_own(harness: Harness) -> None:
    for code in (125, 126, 127) if harness.by_daemon else (0, 1, 125, 126, 127, 137, 255):
        assert harness.run("code", str(code)).outcome.code == code


def test_argv_arrives_to_the_letter(widest: Harness) -> None:
    words = ("--bind", "", "a b", "'\"", "$HOME", "*", "-", "ü", "a\nb", "--", "\\", "{{.}}")
    assert widest.run("args", *words).text == "".join(f"<{word}>\n" for word in words)


def test_environment_is_the_workloads_and_nothing_else(widest: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAREBOAT_CANARY", "leaked")
    monkeypatch.setenv("HTTPS_PROXY", "http://leaked.example:1")
    given = {"EMPTY": "", "WORDS": "a b=c", "LINES_OF": "one\ntwo\n", "QUOTED": "'\"$HOME`", "ünder": "ö", "a.b": "#x"}
    added = {"HOSTNAME": "bareboat"} if widest.kind.startswith("podman") else {}  # docs/engines.md
    usual = {"HOME": "/home/user", "PATH": "/opt/bin:/bin"}
    assert widest.environment(env=tuple(given.items())) == {**given, **added, **usual}


def test_a_hostname_in_the_environment_stays(harness: Harness) -> None:
    assert harness.environment(env=(("HOSTNAME", "mine"),))["HOSTNAME"] == "mine"


def test_the_working_directory(harness: Harness) -> None:
    assert harness.run("where", cwd="/var/lib").text == "/var/lib\n"


def test_a_working_directory_that_is_not_there_is_made(widest: Harness) -> None:
    assert widest.run("where", cwd="/deep/er").text == "/deep/er\n"


def test_the_hostname(harness: Harness) -> None:
    assert harness.run("hostname", hostname="a-box").text == "a-box\n"


def test_a_path_is_run_from_the_working_directory(harness: Harness) -> None:
    assert harness.run("bin/code", "3", cwd="/opt").outcome.code == 3 if harness.kind != "memory" else True


def test_a_program_that_is_not_there(harness: Harness) -> None:
    with pytest.raises(ProgramError) as caught:
        harness.run("nothing-of-that-name")
    assert (caught.value.exit_code, caught.value.code) == (127, "program.not-found")


@pytest.mark.parametrize(("name", "code"), [("plain", 126), ("directory", 126), ("interpreter", 127), ("foreign", 126)])
def test_what_cannot_be_run(real: Harness, name: str, code: int) -> None:
    with pytest.raises(ProgramError) as caught:
        real.run(f"/odd/{name}")
    assert caught.value.exit_code == code


def test_a_name_that_is_nearly_right_is_suggested(real: Harness) -> None:
    with pytest.raises(ProgramError) as caught:
        real.run("hostnaem")
    assert "hostname" in caught.value.hint


def test_a_signal_that_ends_it_is_128_more(real: Harness) -> None:
    for name, code in {"SEGV": 139, "KILL": 137}.items():
        assert real.sh(f"kill -{name} $$").outcome.code == code


def test_no_command(harness: Harness) -> None:
    with pytest.raises(UsageError) as caught:
        harness.engine.run(replace(harness.workload("x"), argv=()), kit.Heard().streams())
    assert caught.value.code == "engine.argv"


@pytest.mark.parametrize(("more", "code"), [
    ({"network": "bridge"}, "engine.network"), ({"env": (("A=B", "x"),)}, "engine.env"), ({"env": (("", "x"),)},
                                                                                       "engine.env"),
    ({"env": (("A", "x\0y"),)}, "engine.nul"), ({"cwd": "relative"}, "engine.path")])
def test_what_no_engine_runs_is_refused_before_anything_starts(
        real: Harness, more: dict[str, object], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        real.run("code", "0", **more)
    assert caught.value.code == code


def test_another_architecture_is_run_or_refused_by_name(real: Harness) -> None:
    if real.able.emulation:
        return  # tests/live/test_platforms.py runs one
    with pytest.raises(EngineError) as caught:
        real.run("code", "0", platform="linux/s390x")
    assert caught.value.code == "engine.platform"


# --- streams ---


def test_much_output_on_both_streams_without_loss(wide: Harness) -> None:
    heard = wide.run("much", "5000000", "1000000")
    assert (len(heard.out), len(heard.err)) == (5_000_000, 1_000_000)


def test_the_order_within_a_stream(harness: Harness) -> None:
    assert harness.run("lines", "20000").text.split() == [str(n) for n in range(1, 20001)]


def test_output_is_bytes(harness: Harness) -> None:
    assert harness.run("bytes").out == b"\0\1\r\n\x80\xff"


def test_output_without_a_newline_at_the_end(real: Harness) -> None:
    assert real.sh("printf 'no newline'").out == b"no newline"


def test_stdin_from_a_pipe(widest: Harness) -> None:
    read, write = os.pipe()
    os.write(write, b"through\n")
    os.close(write)
    assert widest.run("copy", stdin=read).text == "through\n"
    os.close(read)


def test_stdin_from_a_file_and_from_nothing(harness: Harness, shared: Path) -> None:
    (shared / "in").write_bytes(b"from a file")
    with (shared / "in").open("rb") as file:
        assert harness.run("copy", stdin=file.fileno()).text == "from a file"
    assert harness.run("copy").text == ""


def test_much_input(harness: Harness, shared: Path) -> None:
    (shared / "in").write_bytes(b"0123456789" * 300_000)
    with (shared / "in").open("rb") as file:
        assert harness.run("count", stdin=file.fileno()).text.strip() == "3000000"


def test_input_that_nobody_reads(harness: Harness) -> None:
    read, write = os.pipe()
    os.write(write, b"x" * 60_000)  # and the other end stays open
    assert harness.run("code", "4", stdin=read).outcome.code == 4
    os.close(read)
    os.close(write)


def test_stdin_that_is_a_directory_is_refused(real: Harness) -> None:
    descriptor = os.open("/", os.O_RDONLY)
    with pytest.raises(EngineError) as caught:
        real.run("copy", stdin=descriptor)
    os.close(descriptor)
    assert caught.value.code == "engine.stdin"


def test_no_terminal_where_none_was_asked_for(real: Harness) -> None:
    assert real.sh("for n in 0 1 2; do [ -t $n ] && echo $n; done; true").text == ""


# --- a terminal ---


class Terminal:
    """A pty of 33 rows and 77 columns, the caller's."""

    def __init__(self) -> None:
        from bareboat.host import terminal

        self.master, self.slave = os.openpty()
        terminal.resize(self.master, (33, 77))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.master)
        os.close(self.slave)

    def run(self, harness: Harness, *argv: str, **more: object) -> kit.Heard:
        return harness.run(*argv, tty=True, stdin=self.slave, terminal=self.slave, **more)  # type: ignore[arg-type]


def test_a_terminal_of_the_callers_size(wide: Harness) -> None:
    with Terminal() as terminal:
        heard = terminal.run(wide, "sh", "-c", "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && stty size; tty")
    size, name = heard.text.split("\r\n")[:2]
    assert size == "33 77" and name.startswith("/dev/")


def test_what_is_typed_arrives(real: Harness) -> None:
    with Terminal() as terminal:
        os.write(terminal.master, b"hello\n")
        heard = terminal.run(real, "typed")
    assert "got hello\r\n" in heard.text and heard.outcome.code == 0


def test_control_c_is_the_terminals(real: Harness) -> None:
    with Terminal() as terminal:
        heard = terminal.run(real, "sh", "-c", "echo ready; sleep 100",
                             when={b"ready": lambda _: os.write(terminal.master, b"\x03")})
    assert heard.outcome.code == 130


def test_a_terminal_that_grows(real: Harness) -> None:
    with Terminal() as terminal:
        heard = terminal.run(real, "sh", "-c", "echo ready; exec sized",
                             when={b"ready": lambda live: live.resize((40, 100))})  # type: ignore[attr-defined]
    assert heard.text.endswith("grown\r\n")


def test_the_callers_terminal_is_as_it_was(real: Harness) -> None:
    import termios

    with Terminal() as terminal:
        before = termios.tcgetattr(terminal.slave)
        assert terminal.run(real, "code", "5").outcome.code == 5
        assert termios.tcgetattr(terminal.slave) == before


# --- signals, and the end ---


def test_every_signal_that_is_forwarded_reaches_the_program(wide: Harness) -> None:
    names = ["HUP", "INT", "QUIT", "USR1", "USR2"]
    send: dict[bytes, Callable[[object], None]] = {}
    for before, name in zip(["ready", *(f"got {n}" for n in names)], [*names, "TERM"], strict=True):
        send[before.encode()] = lambda _, name=name: os.kill(os.getpid(), signal.Signals[f"SIG{name}"])  # type: ignore[misc]
    heard = wide.run("trap", *names, when=send)
    assert heard.text.split("\n")[:-1] == ["ready", *(f"got {n}" for n in names)]
    assert heard.outcome.code == 9


def test_a_program_without_handlers_ends_by_a_plain_sigterm(real: Harness) -> None:
    heard = real.run("wait", when={b"ready": lambda live: live.signal(15)})  # type: ignore[attr-defined]
    assert heard.outcome.code == 143


def test_interrupt_once_asks_and_twice_kills(wide: Harness) -> None:
    def interrupt(_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    heard = wide.run("deaf", when={b"ready": interrupt, b"asked": interrupt})
    assert (heard.outcome.code, heard.outcome.reason) == (137, "killed")


def test_it_is_killed_for_a_reason(real: Harness) -> None:
    heard = real.run("deaf", when={b"ready": lambda live: live.kill("time limit")})  # type: ignore[attr-defined]
    assert (heard.outcome.code, heard.outcome.reason) == (137, "time limit")


def test_signals_go_to_the_program_and_not_to_its_children(real: Harness) -> None:
    heard = real.sh("trap 'echo parent; exit 3' USR1; (trap 'echo child' USR1; echo ready; sleep 0.4) & "
                    "wait; echo never", when={b"ready": lambda live: live.signal(signal.SIGUSR1)})  # type: ignore[attr-defined]
    assert heard.text == "ready\nparent\n" and heard.outcome.code == 3


def still(file: Path) -> bool:
    """Whether nobody writes any more: watched for a fifth of a second, ten times what a beat takes."""
    import time

    before = file.read_bytes()
    time.sleep(0.2)
    return file.read_bytes() == before


def test_a_double_fork_ends_with_the_program(wide: Harness, shared: Path) -> None:
    out = wide.folder(shared / "out")
    assert wide.run("beat", mounts=(Mount(out, "/out"),)).text == "done\n"
    assert still(out / "beat")


def test_orphans_are_reaped(real: Harness) -> None:
    heard = real.sh("(sh -c 'sleep 0.1 &'); sleep 0.3; cat /proc/[0-9]*/stat | grep -c ') Z'")
    assert heard.text.strip() == "0"


# --- who, and what it may ---


def test_the_user(wide: Harness) -> None:
    heard = wide.sh("id -u; id -g")
    assert heard.text.split() == [str(wide.inside)] * 2


def test_an_ordinary_user_and_a_daemon_of_roots(engines: Session, shared: Path) -> None:
    harness = engines.harness("docker", shared, caller=(2001, 2002))
    mounts = (Mount(harness.folder(shared / "out"), "/out"),)
    heard = harness.sh("id -u; id -g; echo x > /out/f && echo x > ~/f && echo x > /tmp/f && echo x > /var/lib/f && "
                       "echo all; echo x > /etc/new", uid=2001, gid=2002, mounts=mounts)
    assert heard.text.split() == ["2001", "2002", "all"] and heard.outcome.code != 0  # the image's files are root's
    assert ((shared / "out/f").stat().st_uid, (shared / "out/f").stat().st_gid) == (2001, 2002)
    with pytest.raises(EngineError) as caught:
        harness.run("code", "0", uid=0, gid=0, mounts=mounts)
    assert caught.value.code == "engine.user"


def test_home_and_tmp_can_be_written_and_are_new_every_time(wide: Harness) -> None:
    text = "ls -A ~ /tmp | grep -c left; echo x > ~/left && echo x > /tmp/left && echo both"
    for heard in (wide.sh(text), wide.sh(text)):
        assert (heard.text, heard.outcome.code, heard.err) == ("0\nboth\n", 0, b"")


def status(heard: kit.Heard) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in heard.text.splitlines() if ":\t" in line)


def test_no_capabilities_no_new_ones_and_a_filter(wide: Harness) -> None:
    found = status(wide.run("copy", "/proc/self/status"))
    assert {found[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_only_its_own_processes_are_seen(real: Harness) -> None:
    seen = [name for name in real.sh("ls /proc").text.split() if name.isdigit()]
    assert 1 < len(seen) < 8


def test_the_kernels_switches_are_out_of_reach(wide: Harness) -> None:
    heard = wide.sh("for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern; do (: > $f) 2>/dev/null && echo $f;"
                    "done; head -c 1 /proc/kcore 2>/dev/null | wc -c")
    assert heard.text.strip() == "0"


def test_only_harmless_devices(real: Harness) -> None:
    heard = real.sh("find /dev -type b; for d in null zero full random urandom tty; do [ -c /dev/$d ] || echo no $d;"
                    "done; head -c 3 /dev/zero | wc -c")
    assert heard.text.strip() == "3"


# --- files ---


def test_a_writable_mount_keeps_what_is_written_and_it_is_the_callers(widest: Harness, shared: Path) -> None:
    results = widest.folder(shared / "re sul,ts:\"1'ü")
    heard = widest.run("write", "/results/out.txt", mounts=(Mount(results, "/results"),))
    status = (results / "out.txt").stat()
    assert (results / "out.txt").read_text() == "kept\n"
    assert (status.st_uid, status.st_gid) == widest.caller
    assert heard.outcome.lost.count == 0


def test_what_is_made_has_ordinary_modes(real: Harness, shared: Path) -> None:
    out = real.folder(shared / "out")
    real.sh("echo x > /out/f; mkdir /out/d", mounts=(Mount(out, "/out"),))
    assert ((out / "f").stat().st_mode & 0o777, (out / "d").stat().st_mode & 0o777) == (0o644, 0o755)


def test_relative_paths_start_in_the_working_directory(harness: Harness, shared: Path) -> None:
    folder = harness.folder(shared / "here")
    harness.run("write", "here.txt", cwd="/work/dir", mounts=(Mount(folder, "/work/dir"),))
    assert (folder / "here.txt").read_text() == "kept\n"


def test_a_read_only_mount_cannot_be_written(widest: Harness, shared: Path) -> None:
    code = widest.folder(shared / "code")
    assert widest.run("write", "/code/new", mounts=(Mount(code, "/code", True),)).outcome.code != 0
    assert not list(code.iterdir())


def test_a_single_file_is_mounted(harness: Harness, shared: Path) -> None:
    (shared / "one").write_text("one file\n")
    assert harness.run("copy", "/etc/one", mounts=(Mount(shared / "one", "/etc/one", True),)).text == "one file\n"


def test_a_mount_hides_what_the_image_has_there(harness: Harness, shared: Path) -> None:
    (harness.folder(shared / "other") / "passwd").write_text("mine\n")
    assert harness.run("copy", "/odd/passwd", mounts=(Mount(shared / "other", "/odd", True),)).text == "mine\n"


def test_nested_mounts_whatever_their_order(harness: Harness, shared: Path) -> None:
    for name in ("a", "a/data", "b"):
        harness.folder(shared / name)
    (shared / "b/f").write_text("b\n")
    mounts = (Mount(shared / "b", "/app/data"), Mount(shared / "a", "/app", True))
    assert harness.run("copy", "/app/data/f", mounts=mounts).text == "b\n"
    assert harness.run("write", "/app/data/g", "/app/no", mounts=mounts).outcome.code != 0
    assert (shared / "b/g").exists() and not (shared / "a/no").exists()


def test_a_mount_that_is_not_there(harness: Harness, shared: Path) -> None:
    with pytest.raises(EngineError) as caught:
        harness.run("both", mounts=(Mount(shared / "missing", "/x"),))
    assert caught.value.code == "engine.source"
    assert "missing" in caught.value.where


@pytest.mark.parametrize("target", ["/", "/proc", "/proc/self", "/dev", "relative", "/dev/fd/3", "/x/../proc/1"])
def test_targets_that_cannot_be(real: Harness, shared: Path, target: str) -> None:
    with pytest.raises(UsageError):
        real.run("code", "0", mounts=(Mount(shared, target),))


def test_what_is_written_elsewhere_is_lost_and_said(widest: Harness) -> None:
    if widest.kind == "bubblewrap-without-overlay":
        pytest.skip("without overlay there is nowhere else to write")
    if widest.kind == "podman-rootless":
        assert "a" in widest.run("elsewhere").outcome.lost.first[0]
        return
    lost = widest.run("elsewhere").outcome.lost
    assert lost.count == 7 and lost.first == tuple(f"/var/lib/{name}" for name in "abcde")
    assert lost.bytes >= 35 if widest.by_daemon else lost.bytes == 35  # docs/engines.md: the whole layer's


def test_upper_trees_hide_lower_ones(harness: Harness, shared: Path) -> None:
    if harness.kind == "bubblewrap-without-overlay":
        pytest.skip("one tree only without overlay")
    trees = []
    for number in range(3):
        (shared / f"t{number}/opt").mkdir(parents=True)
        (shared / f"t{number}/opt/which").write_text(str(number))
        trees.append(shared / f"t{number}")
    assert harness.run("copy", "/opt/which", trees=trees).text == "2"


def test_a_tree_over_the_code_or_a_refusal(real: Harness, shared: Path) -> None:
    for name in ("code", "built"):
        (real.folder(shared / name) / name).write_text(f"{name}\n")
    more = {"mounts": (Mount(shared / "code", "/app/src", True),), "code_overlays": (("/app/src", shared / "built"),)}
    if real.able.code_overlays:
        assert real.run("copy", "/app/src/built", "/app/src/code", **more).text == "built\ncode\n"
        return
    with pytest.raises(EngineError) as caught:
        real.run("code", "0", **more)
    assert caught.value.code == "engine.code-overlay"


def test_a_tmpfs(real: Harness) -> None:
    heard = real.sh("df -k /scratch | tail -n 1 | tr -s ' ' | cut -d' ' -f2; echo x > /scratch/f && echo written",
                    tmpfs=(Tmpfs("/scratch", 8 << 20),))
    assert heard.text.split() == ["8192", "written"]


# --- the network ---


def interfaces(heard: kit.Heard) -> set[str]:
    return {line.split(":")[0].strip() for line in heard.text.splitlines()[2:]}


def test_network_none_is_a_loopback_of_its_own(wide: Harness) -> None:
    heard = wide.sh("tail -n +3 /proc/net/dev | cut -d: -f1; nc -l -p 7 -e echo through & sleep 0.2;"
                    "nc 127.0.0.1 7 </dev/null || echo refused", network="none")
    names = heard.text.split()
    assert names[0] == "lo" and len(names) == 2


def test_network_host_is_the_hosts(wide: Harness) -> None:
    ours = {line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]}
    assert interfaces(wide.run("copy", "/proc/net/dev")) == ours


# --- limits ---


def able_to_limit(real: Harness, **limits: object) -> bool:
    """Whether the engine takes these limits; where it does not, that it says so before anything starts."""
    if real.kind != "podman-rootless":
        return True
    with pytest.raises(EngineError) as caught:
        real.run("code", "0", limits=Limits(**limits))  # type: ignore[arg-type]
    assert caught.value.code == "engine.limits"
    return False


def test_memory_exceeded_is_told_by_name(wide: Harness) -> None:
    if able_to_limit(wide, memory=100 << 20):
        outcome = wide.sh("dd if=/dev/zero of=/dev/null bs=300M count=1 && sleep 20",
                          limits=Limits(memory=100 << 20)).outcome
        assert (outcome.code, outcome.reason) == (137, "out of memory")


def test_memory_that_is_enough(real: Harness) -> None:
    if able_to_limit(real, memory=1 << 30):
        assert real.run("code", "6", limits=Limits(memory=1 << 30)).outcome.code == 6


def test_a_limit_of_processes(wide: Harness) -> None:
    if able_to_limit(wide, pids=5):
        heard = wide.sh("for n in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; sleep 0.5; echo all", limits=Limits(pids=5))
        assert heard.outcome.reason == "too many processes" or b"fork" in heard.err


def test_a_limit_of_cpus(wide: Harness) -> None:
    if able_to_limit(wide, cpus=0.5):
        assert wide.run("code", "6", limits=Limits(cpus=0.5)).outcome.code == 6


def test_the_size_of_shared_memory(wide: Harness) -> None:
    heard = wide.sh("df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f2; echo x > /dev/shm/f && echo written",
                    limits=Limits(shm_size=5 << 20))
    assert heard.text.split() == ["5120", "written"]


def test_shared_memory_is_ample_without_a_word(real: Harness) -> None:
    size = int(real.sh("df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f2").text)
    assert size > 1 << 20  # KiB: Docker's own 64 MiB break data loaders


def test_a_bound_of_the_thin_layer_or_a_refusal(real: Harness) -> None:
    limits = Limits(scratch_size=8 << 20)
    if real.able.scratch_bound:
        assert b"No space" in real.sh("dd if=/dev/zero of=$HOME/big bs=1M count=20", limits=limits).err
        return
    with pytest.raises(EngineError) as caught:
        real.run("code", "0", limits=limits)
    assert caught.value.code == "engine.limits"


def test_how_limits_are_kept_is_said(harness: Harness) -> None:
    assert harness.engine.limits(Limits()) == ""
    if harness.kind != "memory":
        assert harness.engine.limits(Limits(memory=1 << 30))


# --- lives ---


def test_the_live_container_is_handed_over_once(harness: Harness) -> None:
    seen: list[object] = []
    heard = kit.Heard()
    streams = heard.streams(live=lambda loop, live: seen.append((heard.started, live.handle())))
    harness.engine.run(harness.workload("code", "0"), streams)
    assert len(seen) == (0 if harness.kind == "memory" else 1)
    for started, handle in seen:  # type: ignore[misc]
        assert started == 1
        if handle.pidfd >= 0:
            os.close(handle.pidfd)


def test_what_runs_in_it_and_what_it_uses(real: Harness) -> None:
    seen: list[object] = []

    def look(live: Any) -> None:
        seen.extend((live.processes(), live.usage()))
        live.kill("seen")

    assert real.run("wait", when={b"ready": look}).outcome.reason == "seen"
    found, usage = seen
    assert "wait" in found[0].argv and found[0].memory > 0  # type: ignore[index]
    assert usage.pids >= 1 and usage.memory > 0  # type: ignore[attr-defined]


def test_all_of_it_stands_still_while_it_is_paused(wide: Harness, shared: Path) -> None:
    out, seen = wide.folder(shared / "out"), list[object]()

    def freeze(live: Any) -> None:
        try:
            live.pause()
            live.pause()  # twice is once
            seen.append(still(out / "beat"))
            live.unpause()
            end = _deadline()
            while still(out / "beat") and end():
                pass
            seen.append(end())
        except EngineError as error:
            seen.append(error.code)
        live.kill("enough")

    wide.run("beat", "long", mounts=(Mount(out, "/out"),), when={b"done": freeze})
    assert seen == ([True, True] if wide.able.pause else ["engine.pause"])


def test_several_at_once(widest: Harness) -> None:
    found: dict[int, int] = {}

    def one(number: int) -> None:
        found[number] = widest.run("code", str(number)).outcome.code

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: n for n in range(1, 5)}


def test_many_short_ones(harness: Harness) -> None:
    """As many as the kind can afford here; `python -m tests.faults --short N` has the thousands."""
    count = {"memory": 1000, "bubblewrap": 30}.get(harness.kind, 2)
    assert sum(harness.run("code", "1").outcome.code for _ in range(count)) == count


def test_nothing_is_left_of_a_bareboat_that_was_killed(wide: Harness, shared: Path) -> None:
    out = wide.folder(shared / "out")
    pid = os.fork()
    if pid == 0:  # a bareboat of its own, which nobody lets clean up
        try:
            wide.run("beat", "long", mounts=(Mount(out, "/out"),),
                     when={b"done": lambda _: os.kill(os.getpid(), signal.SIGKILL)})
        finally:
            os._exit(1)
    _, ended = os.waitpid(pid, 0)
    assert os.WTERMSIG(ended) == signal.SIGKILL
    end = _deadline()
    while not still(out / "beat"):
        assert end(), "it still writes"
    if wide.by_daemon:
        while wide.engine.leftovers():  # type: ignore[attr-defined]
            assert end(), "the guard did not take it away"


def _deadline(seconds: float = 20) -> Callable[[], bool]:
    import time

    last = time.monotonic() + seconds
    return lambda: time.monotonic() < last


def test_explain_and_checks_say_something(harness: Harness) -> None:
    assert "both" in harness.engine.explain(harness.workload("both"))
    assert all(check.name and check.ok in (True, False) for check in harness.engine.checks())


def test_every_program_of_the_kit_is_used() -> None:
    text = Path(__file__).read_text()
    assert not [n for n in PROGRAMS if f'"{n}"' not in text and f"exec {n}" not in text and n != "environment"]
