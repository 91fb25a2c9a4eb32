"""What only a real sandbox can show: namespaces, mounts, terminals, signals, limits, and that nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests import sandbox_kit as kit

from bareboat.errors import EngineError, ProgramError, UsageError
from bareboat.workload import Limits, Mount

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    kit.need_sandbox()
    return kit.skeleton(tmp_path / "tree")


def sh(tree: Path, text: str, **more: object) -> kit.Heard:
    streams = {name: more.pop(name) for name in ("stdin", "terminal") if name in more}
    return kit.run(kit.workload(tree, "sh", "-c", text, **more), **streams)


def test_who_and_where(tree: Path) -> None:
    heard = sh(tree, "id -u; id -g; id -un; hostname; cat /etc/hostname; echo $$; getent hosts bareboat; pwd; echo ~",
               cwd="/deep/er", hostname="bareboat")
    assert heard.text.splitlines() == [
        "1000", "1000", "user", "bareboat", "bareboat", "2", "127.0.0.1       bareboat", "/deep/er", "/home/user"]


def test_root_only_when_asked_and_without_power(tree: Path) -> None:
    heard = sh(tree, "id -u; id -un; grep CapEff /proc/self/status; chown 12 /etc/passwd || echo no", uid=0, gid=0,
               home="/root")
    assert heard.text.split() == ["0", "root", "CapEff:", "0000000000000000", "no"]


@pytest.mark.parametrize(("make", "code"), [("plain", 126), ("directory", 126), ("interpreter", 127), ("foreign", 126)])
def test_what_cannot_be_run(tree: Path, make: str, code: int) -> None:
    target = tree / "opt/bin/it"
    target.parent.mkdir(parents=True)
    if make == "directory":
        target.mkdir()
    else:
        target.write_bytes({"plain": b"#!/bin/sh\n", "interpreter": b"#!/no/such\n",
                            "foreign": b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0\x09\0" + b"\0" * 40}[make])
        target.chmod(0o644 if make == "plain" else 0o755)
    with pytest.raises(ProgramError) as caught:
        kit.run(kit.workload(tree, "/opt/bin/it"))
    assert caught.value.exit_code == code


def test_a_name_that_is_nearly_right_is_suggested(tree: Path) -> None:
    with pytest.raises(ProgramError) as caught:
        kit.run(kit.workload(tree, "pyhton3"))
    assert "python3" in caught.value.hint


def test_a_signal_is_128_more(tree: Path) -> None:
    assert sh(tree, "kill -TERM $$").outcome.code == 143
    assert sh(tree, "kill -KILL $$").outcome.code == 137


ODD = [
    "with space", "quo'te\"s", "co:lon,comma", "new\nline", "back\\slash", "--ro-bind", os.fsdecode(b"\xff\xfe"), "ü",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_for_sources_targets_and_trees(tmp_path: Path, tree: Path, name: str) -> None:
    source = tmp_path / "src" / name
    source.mkdir(parents=True)
    (source / "f").write_text("read\n")
    upper = tmp_path / "trees" / name
    upper.mkdir(parents=True)
    (upper / "mark").write_text("tree\n")
    heard = sh(tree, 'cat "$M/f" /mark; echo w > "$M/out"', mounts=(Mount(source, f"/m/{name}"),), trees=(upper,),
               env=(("M", f"/m/{name}"),))
    assert heard.text == "read\ntree\n"
    assert (source / "out").read_text() == "w\n"


def test_four_hundred_trees(tmp_path: Path, tree: Path) -> None:
    trees = []
    for number in range(399):
        (tmp_path / f"{number:064x}").mkdir()
        (tmp_path / f"{number:064x}" / f"f{number}").write_text("")
        trees.append(tmp_path / f"{number:064x}")
    assert sh(tree, "ls / | grep -c '^f[0-9]'", trees=trees).text == "399\n"


def test_mount_points_follow_links_of_the_image_only_inside(tmp_path: Path, tree: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree / "app").symlink_to(outside)  # absolute: means this path inside the image
    (tree / "up").symlink_to("../../../../../../.." + str(outside))
    (tree / "dangling").symlink_to("/not/there")
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_text("x")
    mounts = tuple(Mount(source, t) for t in ("/app/deep", "/up/other", "/dangling"))
    heard = sh(tree, "cat /app/deep/f /up/other/f /dangling/f /not/there/f", mounts=mounts)
    assert heard.text == "xxxx"
    assert not list(outside.iterdir())


@pytest.mark.parametrize("name", ["proc", "dev", "sys"])
def test_a_link_in_place_of_our_own_directories_is_refused(tmp_path: Path, tree: Path, name: str) -> None:
    (tree / name).symlink_to("/tmp")
    with pytest.raises(EngineError) as caught:
        sh(tree, "true")
    assert caught.value.code == "engine.root"


@pytest.mark.parametrize("target", ["/", "/proc", "/proc/self", "/dev", "relative", "/dev/fd/3", "/x/../proc/1"])
def test_targets_that_cannot_be(tmp_path: Path, tree: Path, target: str) -> None:
    with pytest.raises(UsageError):
        sh(tree, "true", mounts=(Mount(tmp_path, target),))


def test_a_file_on_a_directory_is_refused(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(EngineError) as caught:
        sh(tree, "true", mounts=(Mount(tmp_path / "f", "/etc"),))
    assert caught.value.code == "engine.mount-target"


def test_nested_mounts_whatever_their_order(tmp_path: Path, tree: Path) -> None:
    for name in ("a", "a/data", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "b/f").write_text("b")
    mounts = (Mount(tmp_path / "b", "/app/data"), Mount(tmp_path / "a", "/app", True))
    assert sh(tree, "cat /app/data/f; echo w > /app/data/g; touch /app/no || true", mounts=mounts).text == "b"
    assert (tmp_path / "b/g").exists() and not (tmp_path / "a/no").exists()


def test_a_mount_under_dev(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "shared").mkdir()
    sh(tree, "echo x > /dev/shm/f", mounts=(Mount(tmp_path / "shared", "/dev/shm"),))
    assert (tmp_path / "shared/f").read_text() == "x\n"


def test_a_tree_over_the_code_shows_edits(tmp_path: Path, tree: Path) -> None:
    code, built = tmp_path / "co:de", tmp_path / "built"
    for folder in (code, built):
        folder.mkdir()
    (built / "ext.so").write_text("built ")
    (code / "m.py").write_text("one ")
    more = {"mounts": (Mount(code, "/app/src", True),), "code_overlays": (("/app/src", built),)}
    assert sh(tree, "cat /app/src/ext.so /app/src/m.py; touch /app/src/n", **dict(more)).text == "built one "
    (code / "m.py").write_text("two")
    assert sh(tree, "cat /app/src/ext.so /app/src/m.py", **dict(more)).text == "built two"
    assert not (code / "n").exists()


def test_network_none_has_a_loopback_of_its_own(tree: Path) -> None:
    heard = sh(tree, "cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /etc/hosts; "
                     "python3 -c 'import socket as s; a=s.create_server((\"127.0.0.1\",0));"
                     "s.create_connection(a.getsockname()); print(\"lo\")'", network="none")
    lines = [line.strip() for line in heard.text.splitlines()]
    assert lines[0] == "lo" and lines[-1] == "lo" and len([x for x in lines if x == "lo"]) == 2


def test_sizes_of_shm_and_thin_layer(tree: Path) -> None:
    limits = Limits(shm_size=5 << 20, scratch_size=8 << 20)
    heard = sh(tree, "df -k /dev/shm /tmp / | tail -n +2 | tr -s ' ' | cut -d' ' -f2;"
                     "head -c 20000000 /dev/zero > /home/user/big; echo $?", limits=limits)
    assert heard.text.split() == ["5120", "8192", "8192", "1"]
    assert b"No space left" in heard.err


def test_thin_layer_on_disk(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "scratch").mkdir()
    heard = sh(tree, "echo x > /new; echo y > /tmp/t", scratch="disk", scratch_dir=tmp_path / "scratch")
    assert heard.outcome.lost.first == ("/new",)
    assert (tmp_path / "scratch/upper/new").exists()


def test_stdin_that_is_a_directory_is_refused(tree: Path) -> None:
    descriptor = os.open("/", os.O_RDONLY)
    with pytest.raises(EngineError) as caught:
        sh(tree, "true", stdin=descriptor)
    os.close(descriptor)
    assert caught.value.code == "engine.stdin"


def test_much_output_and_closed_input(tree: Path) -> None:
    heard = sh(tree, "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2")
    assert (len(heard.out), len(heard.err)) == (3_000_000, 1_000_000)


def test_memory_limit_ends_the_run(tree: Path) -> None:
    outcome = sh(tree, "python3 -c 'x = b\"x\" * 300_000_000; import time; time.sleep(20)'",
                 limits=Limits(memory=100 << 20)).outcome
    assert (outcome.code, outcome.reason) == (137, "out of memory")


def test_cpu_limit(tree: Path) -> None:
    assert sh(tree, "nproc", limits=Limits(cpus=0.5)).text == "1\n"


def test_process_limit(tree: Path) -> None:
    heard = sh(tree, "for n in 1 2 3 4 5 6 7 8 9; do sleep 2 & done; sleep 1; echo all", limits=Limits(pids=5))
    assert heard.outcome.reason == "too many processes" or b"fork" in heard.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_trees_of_another_group_are_an_error_that_says_so(tree: Path) -> None:
    os.chown(tree / "etc", 0, 12345)
    with pytest.raises(EngineError) as caught:
        sh(tree, "true")
    assert caught.value.code == "engine.owner"


def test_image_without_anything(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(EngineError):
        kit.run(replace(kit.workload(tree, "sh"), root=replace(kit.workload(tree, "sh").root, trees=())))


# From here on the engine runs in a process of its own, to be signalled and killed.

CHILD = """
import sys
from pathlib import Path
from bareboat.engine.base import Streams
from bareboat.engine.bubblewrap import Bubblewrap
from tests import sandbox_kit as kit
from bareboat.errors import BareboatError
tree, text, tty = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "tty"
load = kit.workload(tree, "sh", *text.split("|||"), tty=tty)
def out(chunk):
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
outcome = Bubblewrap(Path("/nonexistent")).run(load, Streams(out, out, stdin=0, terminal=0 if tty else None))
print("OUTCOME", outcome.code, outcome.reason, flush=True)
"""


def child(tree: Path, text: str, **more: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tree), "-c|||" + text, "no"], cwd=ROOT, stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": f"{ROOT}/src"}, **more)  # type: ignore[call-overload,no-any-return]


def until(process: subprocess.Popen[bytes], word: bytes) -> None:
    seen = b""
    assert process.stdout is not None
    while word not in seen:
        chunk = os.read(process.stdout.fileno(), 4096)
        assert chunk, seen
        seen += chunk


def rest(process: subprocess.Popen[bytes]) -> str:
    out, _ = process.communicate(timeout=30)
    return out.decode()


TRAP = "trap 'echo got {0}; exit 9' {0}; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "USR2", "INT", "QUIT"])
def test_signals_reach_the_program(tree: Path, name: str) -> None:
    process = child(tree, TRAP.format(name))
    until(process, b"ready")
    process.send_signal(signal.Signals[f"SIG{name}"])
    text = rest(process)
    assert f"got {name}" in text and "OUTCOME 9" in text


def test_interrupt_once_asks_and_twice_kills(tree: Path) -> None:
    process = child(tree, "trap 'echo asked' INT; echo ready; while :; do sleep 0.05; done")
    until(process, b"ready")
    process.send_signal(signal.SIGINT)
    until(process, b"asked")
    process.send_signal(signal.SIGINT)
    assert "OUTCOME 137 killed" in rest(process)


DAEMON = "(setsid sh -c 'while :; do date +%N > {0}; sleep 0.02; done' >/dev/null 2>&1 &) ; "


def alive(file: Path) -> bool:
    """Whether anybody still writes."""
    before = file.read_bytes() if file.exists() else b""
    time.sleep(0.3)
    return (file.read_bytes() if file.exists() else b"") != before


def test_daemons_end_with_the_program(tmp_path: Path, tree: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    heard = sh(tree, DAEMON.format("/out/beat") + "sleep 0.2; echo done", mounts=(Mount(out, "/out"),))
    assert heard.text == "done\n" and (out / "beat").exists()
    assert not alive(out / "beat")


@pytest.fixture
def beat(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "out").mkdir()
    yield tmp_path / "out/beat"


@pytest.mark.parametrize("delay", [0, 0.002, 0.005, 0.01, 0.02, 0.03, None])
def test_nothing_is_left_after_kill_9(tmp_path: Path, tree: Path, beat: Path, delay: float | None) -> None:
    text = CHILD.replace('tty=tty)', f'tty=tty, mounts=(kit.Mount(Path({str(beat.parent)!r}), "/out"),))')
    text = text.replace("outcome =", "print('HERE', flush=True)\noutcome =")
    process = subprocess.Popen(
        [sys.executable, "-c", text, str(tree), "-c|||" + DAEMON.format("/out/beat") + "echo up; sleep 60", "no"],
        cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": f"{ROOT}/src"})
    until(process, b"HERE" if delay is not None else b"up")
    time.sleep(delay or 0)
    process.kill()
    rest(process)
    time.sleep(0.05)
    assert not alive(beat)
    marked = [pid for pid in os.listdir("/proc") if pid.isdigit() and str(beat.parent).encode() in command(pid)]
    assert not marked


def command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_terminal_with_job_control(tree: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    before = termios.tcgetattr(slave)
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(tree), "-i", "tty"], cwd=ROOT, stdin=slave,
                               stdout=slave, stderr=slave, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                               env={**os.environ, "PYTHONPATH": f"{ROOT}/src", "PS1": "$ "})
    heard = bytearray()

    def expect(word: bytes) -> None:
        import select

        while word not in heard:
            assert select.select([master], [], [], 15)[0], bytes(heard)
            heard.extend(os.read(master, 4096))
        del heard[: heard.index(word) + len(word)]

    def say(text: bytes, word: bytes) -> None:
        os.write(master, text)
        expect(word)

    expect(b"$ ")
    say(b"tty; stty size\n", b"/dev/pts/0\r\n33 77")
    os.write(master, b"echo go; sleep 100\n")
    expect(b"go\r\n")
    time.sleep(0.2)
    os.write(master, b"\x03")
    say(b"echo rc=$?\n", b"rc=130")
    os.write(master, b"echo on; sleep 100\n")
    expect(b"on\r\n")
    time.sleep(0.2)
    os.write(master, b"\x1a")
    say(b"jobs\n", b"Stopped")
    say(b"kill -KILL %1; wait; echo ki''lled\n", b"killed")
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process.send_signal(signal.SIGWINCH)
    time.sleep(0.2)
    say(b"stty size\n", b"40 100")
    say(b"exit 5\n", b"OUTCOME 5")
    process.wait(15)
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_an_empty_standard_input_ends(tree: Path) -> None:
    with open(os.devnull, "rb") as nothing:  # the guard kept an end of the pipe it is copied through: cat hung
        heard = sh(tree, "timeout 10 cat; echo $?", stdin=nothing.fileno())
    assert heard.text == "0\n"


@pytest.mark.parametrize(("argv", "shell"), [
    ((b"bash",), True), ((b"/bin/sh", b"-i"), True), ((b"bash", b"-lc", b"x"), False), ((b"sh", b"x.sh"), False),
    ((b"python",), False)])
def test_a_shell_is_not_killed_by_two_interrupts(argv: tuple[bytes, ...], shell: bool) -> None:
    from bareboat.host import terminal

    assert terminal.is_shell(argv) is shell
