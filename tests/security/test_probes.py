"""Row 10 of the promises: what runs inside reaches nothing outside. Each control breaks one wall and must be seen."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests import sandbox_kit as kit

from bareboat.engine import bubblewrap
from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.host import kernel
from bareboat.sandbox import box as boxes
from bareboat.sandbox import seccomp
from bareboat.sandbox.session import Settings
from bareboat.workload import Mount

HERE = Path(__file__).parent
ORDINARY = 54321
Engines = Callable[[], Bubblewrap]


@contextmanager
def host(folder: Path, canary: str) -> Iterator[tuple[str, int]]:
    """What must not be reached: a file, two abstract sockets, a process, an environment, shared memory."""
    folder.joinpath("secret").write_text(canary)
    with socket.socket(socket.AF_UNIX) as stream, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
        stream.bind(b"\0" + canary.encode())
        stream.listen()
        datagram.bind(b"\0" + canary.encode() + b"-dgram")
        process = os.fork()
        if process == 0:
            os.execv("/bin/sh", ["bareboat-canary", "-c", "sleep 100; : bareboat-canary"])
        shared = Path("/dev/shm") / canary
        shared.write_text(canary)
        os.environ["BAREBOAT_TEST_CANARY"] = canary
        try:
            yield canary, process
        finally:
            del os.environ["BAREBOAT_TEST_CANARY"]
            shared.unlink()
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def attempts(folder: Path, engine: Bubblewrap, *wanted: str, uid: int = 1000, network: str = "host") -> dict[str, str]:
    """Run the probes inside; name → "held" or what broke."""
    canary = secrets.token_hex(8)
    tree = kit.skeleton(folder / f"tree{canary}")
    for name in ("results", "code"):
        folder.joinpath(name).mkdir(exist_ok=True)
    shutil.copy(HERE / "probes.py", folder / "code/probes.py")
    mounts = (Mount(folder / "results", "/results"), Mount(folder / "code", "/code", True))
    with host(folder, canary) as (name, process):
        load = kit.workload(tree, "/usr/bin/python3", "-B", "/code/probes.py", str(folder / "secret"), name,
                            str(process), canary[:-1] + "?", *wanted, mounts=mounts, uid=uid, gid=uid, network=network)
        load = replace(load, argv=tuple(canary if part == canary[:-1] + "?" else part for part in load.argv))
        heard = kit.run(load, engine)
    lines = dict(line.split("\t", 1) for line in heard.text.splitlines())
    assert heard.outcome.code == 0 and lines, (heard.outcome, heard.err)
    assert not wanted or set(lines) == set(wanted)
    return lines


def as_ordinary_user(do: Callable[[Path], dict[str, str]]) -> dict[str, str]:
    """Run in a child that is an ordinary user, in a folder of its own; all modules are loaded already."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, ORDINARY, ORDINARY)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(ORDINARY, ORDINARY, ORDINARY)
            os.setresuid(ORDINARY, ORDINARY, ORDINARY)
            kernel.prctl(4, 1)  # PR_SET_DUMPABLE: changing the user took it away, exec would give it back
            os.write(write, json.dumps(do(folder)).encode())
        except BaseException as error:
            os.write(write, json.dumps({"the harness": repr(error)}).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answers:
        found: dict[str, str] = json.load(answers)
    os.waitpid(pid, 0)
    shutil.rmtree(folder)
    return found


def verdict(found: dict[str, str], who: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = {name: text for name, text in found.items() if text != "held"}
    with capsys.disabled():
        print(f"\n{who}: probes {len(found)}, breakouts {len(broken)}")
    assert not broken
    assert len(found) >= 40


@pytest.fixture(autouse=True)
def sandbox() -> None:
    kit.need_sandbox()


@pytest.mark.parametrize(("uid", "network"), [(1000, "host"), (0, "host"), (1000, "none")])
def test_nothing_is_reached(tmp_path: Path, uid: int, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    needed = () if network == "none" or kernel.landlock_abi() >= 6 else ("abstract_stream_socket",)
    found = attempts(tmp_path, Bubblewrap(tmp_path), uid=uid, network=network)
    if needed:
        found = {name: text for name, text in found.items() if not name.startswith("abstract")}
    verdict(found, f"uid {uid} inside, uid {os.geteuid()} outside, network {network}", capsys)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("uid", [1000, 0])
def test_nothing_is_reached_by_an_ordinary_user(tmp_path: Path, uid: int, capsys: pytest.CaptureFixture[str]) -> None:
    attempts(tmp_path, Bubblewrap(tmp_path), "no_capabilities")  # loads every module that the child will need
    found = as_ordinary_user(lambda folder: attempts(folder, Bubblewrap(folder), uid=uid))
    if kernel.landlock_abi() < 6:
        found = {name: text for name, text in found.items() if not name.startswith("abstract")}
    verdict(found, f"uid {uid} inside, uid {ORDINARY} outside", capsys)


ALLOW_ALL = seccomp._op(0x06, seccomp.ALLOW)


def broken(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """An engine with one wall taken down."""
    whole = Bubblewrap._settings

    def settings(self: Bubblewrap) -> Settings:
        return replace(whole(self), **changes)  # type: ignore[arg-type]

    monkeypatch.setattr(bubblewrap.Bubblewrap, "_settings", settings)


def test_control_without_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, seccomp=ALLOW_ALL)
    found = attempts(tmp_path, Bubblewrap(tmp_path))
    seen = {name for name, text in found.items() if text != "held"}
    assert {"filter_keyctl", "filter_io_uring_setup", "filter_bpf", "terminal_injection",
            "set_user_id_files_in_results"} <= seen


@pytest.mark.skipif(kernel.landlock_abi() < 6, reason="no scopes to take away")
def test_control_without_scopes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, scopes=0)
    found = attempts(tmp_path, Bubblewrap(tmp_path))
    seen = {name for name, text in found.items() if text != "held"}
    assert seen == {"abstract_stream_socket", "abstract_datagram_socket"}


def test_control_without_guards_for_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root's runs have this hole: the files belong to whoever is uid 0 outside."""
    if os.geteuid() != 0:
        pytest.skip("an ordinary user owns nothing in /proc/sys")
    monkeypatch.setattr(boxes, "_guards", lambda stage: [])
    names = ("write_/proc/sys/kernel/core_pattern", "devices_are_not_changed")
    found = attempts(tmp_path, Bubblewrap(tmp_path), *names)
    assert all(text.startswith("BREAKOUT") for text in found.values()), found


def test_control_with_a_descriptor_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leak = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(leak, True)
    monkeypatch.setattr(kernel, "close_range", lambda *_: None)
    found = attempts(tmp_path, Bubblewrap(tmp_path), "only_three_descriptors", "out_through_descriptors")
    os.close(leak)
    assert all(text.startswith("BREAKOUT") for text in found.values()), found


# What an image or its metadata tries before anything of it runs.

@pytest.mark.parametrize("argv", [
    ("--ro-bind", "/etc/hostname", "/stolen", "cat", "/stolen"), ("--dev-bind", "/", "/", "true"), ("--args", "0"),
    ("--", "cat", "/etc/hostname"), ("-c", "true")])
def test_an_entrypoint_is_never_an_option(tmp_path: Path, argv: tuple[str, ...]) -> None:
    from bareboat.errors import ProgramError

    tree = kit.skeleton(tmp_path / "tree")
    with pytest.raises(ProgramError):
        kit.run(kit.workload(tree, *argv))


def test_variables_of_an_image_never_reach_a_helper(tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    env = (("LD_DEBUG", "files"), ("LD_DEBUG_OUTPUT", f"{traces}/ld"), ("GCONV_PATH", "/x"), ("PYTHONPATH", "/x"))
    kit.run(kit.workload(kit.skeleton(tmp_path / "tree"), "true", env=env))
    assert not list(traces.iterdir())


def test_values_do_not_show_in_a_list_of_processes(tmp_path: Path) -> None:
    tree = kit.skeleton(tmp_path / "tree")
    seen: list[bytes] = []

    def look(chunk: bytes) -> None:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                seen.append(Path(f"/proc/{pid}/cmdline").read_bytes())
            except OSError:
                pass

    heard = kit.Heard()
    load = kit.workload(tree, "sh", "-c", "echo x; sleep 0.3", env=(("TOKEN", "hunter2-hunter2"),))
    Bubblewrap(tmp_path).run(load, replace(heard.streams(), stdout=look))
    assert any(b"bwrap" in line for line in seen)
    assert not any(b"hunter2-hunter2" in line for line in seen)


@pytest.mark.parametrize("path", ["etc/passwd", "etc/group", "etc/hosts", "etc/hostname", "etc/resolv.conf"])
@pytest.mark.parametrize("link", ["{}", "../../../../../../../../../..{}"])
def test_files_we_write_never_follow_a_link(tmp_path: Path, path: str, link: str) -> None:
    tree = kit.skeleton(tmp_path / "tree")
    secret = tmp_path / "secret"
    secret.write_text("canary\n")
    tree.joinpath(path).unlink(missing_ok=True)
    tree.joinpath(path).symlink_to(link.format(secret))
    heard = kit.run(kit.workload(tree, "cat", f"/{path}"))
    assert "canary" not in heard.text
    assert secret.read_text() == "canary\n"


@pytest.mark.parametrize("name", ["tmp", "home", "app", "etc"])
def test_directories_we_make_never_follow_a_link(tmp_path: Path, name: str) -> None:
    from bareboat.errors import EngineError

    tree = kit.skeleton(tmp_path / "tree")
    outside = tmp_path / "outside"
    outside.mkdir()
    if tree.joinpath(name).exists():
        shutil.rmtree(tree / name)
    tree.joinpath(name).symlink_to("../../../../../../../../.." + str(outside))
    load = kit.workload(tree, "sh", "-c", f"echo x > /{name}/new", cwd="/app/deep")
    if name == "tmp":  # inside, the link's target lies under the link: a loop, and said so
        with pytest.raises(EngineError):
            kit.run(load)
    else:
        assert kit.run(load).outcome.code == 0
    assert not list(outside.iterdir())


def test_trees_are_never_written(tmp_path: Path) -> None:
    tree = kit.skeleton(tmp_path / "tree")
    before = sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_mode) for p in tree.rglob("*"))
    kit.run(kit.workload(tree, "sh", "-c", "echo x > /etc/passwd; rm -rf /etc; mkdir /etc; chmod 777 /; touch /bin"))
    assert sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_mode) for p in tree.rglob("*")) == before
