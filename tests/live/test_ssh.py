"""OpenSSH's clients and rsync against the gateway, over local processes: what the protocol must give."""

from __future__ import annotations

import hashlib
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ssh_kit import Gate, until

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not all(map(shutil.which, ("ssh", "scp", "sftp", "rsync"))) and not os.environ.get("CI"),
                       reason="needs OpenSSH's clients and rsync"),
]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gateway on a port, for all that does not change it."""
    found = Gate(tmp_path_factory.mktemp("gate"), "port")
    yield found
    found.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Gate]:
    """One through stdio, for a test alone."""
    found = Gate(tmp_path)
    yield found
    found.close()


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def echo_server() -> tuple[socket.socket, int]:
    """A server that sends back what it gets until its end, then "!"."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            with sock:
                while data := sock.recv(65536):
                    sock.sendall(data)
                sock.sendall(b"!")

    threading.Thread(target=serve, daemon=True).start()
    return server, server.getsockname()[1]


def echoed(port: int, what: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sender = threading.Thread(target=lambda: (sock.sendall(what), sock.shutdown(socket.SHUT_WR)))
        sender.start()
        found = b""
        while data := sock.recv(65536):
            found += data
        sender.join()
    return found


def test_a_command_has_its_streams_its_exit_code_and_its_place(own: Gate) -> None:
    done = own.ssh("cat; pwd; echo wrong >&2; exit 42", stdin=b"given\n")
    assert (done.returncode, done.stdout) == (42, f"given\n{own.home}\n".encode())
    assert done.stderr == b"wrong\n"
    done = own.ssh("exec >&-; head -c 300000 /dev/zero >&2; exit 4")  # one stream ends before the other
    assert (done.returncode, len(done.stderr)) == (4, 300_000)


def test_what_is_not_there_is_127_and_a_signal_is_told(gate: Gate) -> None:
    assert gate.ssh("no-such-program-at-all").returncode == 127
    done = gate.ssh("kill -9 $$", options=("-v",))
    assert done.returncode == 255
    assert b"exit-signal" in done.stderr


def test_only_variables_of_the_list_are_taken(gate: Gate) -> None:
    sent = {"LANG": "xx_YY.UTF-8", "LC_ALL": "C.UTF-8", "LD_PRELOAD": "", "BASH_ENV": "/tmp/x", "PROMPT_COMMAND": "x"}
    send = tuple(word for name in sent for word in ("-o", f"SendEnv={name}"))
    done = gate.run(gate.client("ssh", *send, gate.host_name, "env"), **sent)
    names = {line.partition(b"=")[0].decode(): line.partition(b"=")[2] for line in done.stdout.splitlines()}
    assert (names["LANG"], names["LC_ALL"]) == (b"xx_YY.UTF-8", b"C.UTF-8")
    assert not {"LD_PRELOAD", "BASH_ENV", "PROMPT_COMMAND"} & set(names)
    assert "SSH_CONNECTION" in names


def test_a_terminal_has_its_size_and_its_changes_and_its_keys(gate: Gate) -> None:
    import fcntl
    import struct
    import termios

    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
        os.execvpe("ssh", gate.client("ssh", gate.host_name), {**gate.env, "TERM": "xterm-256color"})
    seen = b""

    def says(what: bytes) -> bool:
        nonlocal seen
        if what not in seen and select.select((master,), (), (), 0.05)[0]:
            seen += os.read(master, 65536)
        return what in seen

    def types(what: bytes) -> None:
        nonlocal seen
        seen = b""
        os.write(master, what)

    types(b"PS1='<'; stty size; echo $TERM-term; tty\n")
    until(lambda: says(b"33 101"))
    until(lambda: says(b"xterm-256color-term"))
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 99, 0, 0))
    os.kill(pid, signal.SIGWINCH)
    types(b"trap 'echo it; stty size' WINCH; while ! stty size | grep '44 99'; do sleep 0.05; done; echo do''ne\n")
    until(lambda: says(b"done"))
    sleeping = f"sleep 4567.{os.getpid()}".encode()  # nobody else's
    types(sleeping + b"\n")
    until(lambda: _runs(sleeping))
    types(b"\x03")
    until(lambda: not _runs(sleeping))
    types(b"exit 7\n")
    _, status = os.waitpid(pid, 0)
    os.close(master)
    assert os.waitstatus_to_exitcode(status) == 7


def _runs(what: bytes) -> bool:
    return any(line.startswith(what) for line in _processes().splitlines())


def _processes() -> bytes:
    """Every command line of this machine, one a line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" "))
            except OSError:
                pass  # it is gone
    return b"\n".join(found)


def test_hanging_up_ends_what_runs_on_the_terminal(gate: Gate) -> None:
    sleeping = f"sleep 7654.{os.getpid()}"
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe("ssh", gate.client("ssh", "-t", gate.host_name, sleeping), gate.env)
    until(lambda: _runs(sleeping.encode()))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(master)
    until(lambda: not _runs(sleeping.encode()))


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 MB that do not compress."""
    file = tmp_path_factory.mktemp("big") / "50 MB"
    file.write_bytes(os.urandom(50_000_000))
    return file


@pytest.mark.parametrize("way", ["ssh", "scp", "scp -O", "sftp", "rsync"])
def test_50_mb_arrive_intact_both_ways(gate: Gate, big: Path, tmp_path: Path, way: str) -> None:
    there, back = gate.home / f"there {way}", tmp_path / "back"
    far = f"{gate.host_name}:{there}"
    match way.split():
        case ["ssh"]:
            gate.ssh(f"cat > '{there}'", stdin=big.read_bytes())
            back.write_bytes(gate.ssh(f"cat '{there}'").stdout)
        case ["scp", *old]:
            quoted = far if not old else far.replace(" ", "\\ ")
            for words in ((str(big), quoted), (quoted, str(back))):
                done = gate.run(gate.client("scp", *old, "-p", *words))
                assert (done.returncode, done.stderr) == (0, b"")
            assert int(there.stat().st_mtime) == int(big.stat().st_mtime)
        case ["sftp"]:
            batch = f'put "{big}" "{there}"\nget "{there}" "{back}"\n'.encode()
            assert gate.run(gate.client("sftp", "-b", "-", gate.host_name), batch).returncode == 0
        case _:
            over = f"ssh -F {gate.config}"
            for source, target in ((str(big), far), (far, str(back))):
                done = gate.run(["rsync", "-a", "-e", over, source, target])
                assert (done.returncode, done.stderr) == (0, b"")
    assert digest(there) == digest(back) == digest(big)
    there.unlink()


def test_sftp_does_what_it_is_asked_for(gate: Gate, tmp_path: Path) -> None:
    near = tmp_path / "near"
    near.write_text("one\n")
    odd = "caf\u00e9 \u2603"
    batch = f"""mkdir box
put "{near}" "box/{odd}"
rename "box/{odd}" box/b
chmod 640 box/b
symlink b box/link
ln box/b box/hard
ls -la box
get box/link "{tmp_path}/back"
mkdir box/deep
cd box
pwd
df -h
-rename -l b hard
rm hard
rm link
rm b
rmdir deep
cd ..
rmdir box
"""
    done = gate.run(gate.client("sftp", "-b", "-", gate.host_name), batch.encode())
    assert done.returncode == 0, done.stderr
    assert b"remote rename" in done.stderr  # an existing file is not replaced
    assert b"-rw-r-----" in done.stdout
    assert f"Remote working directory: {gate.home}/box".encode() in done.stdout
    assert (tmp_path / "back").read_text() == "one\n"
    assert not (gate.home / "box").exists()


def test_a_directory_of_many_names_is_listed_whole(gate: Gate) -> None:
    many = gate.home / "many"
    many.mkdir()
    names = {f"n{number:04}" for number in range(1500)}
    for name in names:
        (many / name).touch()
    done = gate.run(gate.client("sftp", "-b", "-", gate.host_name), b"ls -1 many\n")
    assert {line.rpartition("/")[2] for line in done.stdout.decode().splitlines()[1:]} == names


def test_scp_takes_trees(gate: Gate, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep/er").mkdir(parents=True)
    (tree / "deep/er/x").write_text("x")
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    for number, old in enumerate(((), ("-O",))):
        target = gate.home / f"tree{number}"
        assert gate.run(gate.client("scp", *old, "-rp", str(tree), f"{gate.host_name}:{target}")).returncode == 0
        assert (target / "deep/er/x").read_text() == "x"
        assert os.access(target / "run", os.X_OK)
        back = tmp_path / f"back{number}"
        assert gate.run(gate.client("scp", *old, "-r", f"{gate.host_name}:{target}", str(back))).returncode == 0
        assert (back / "deep/er/x").read_text() == "x"


def test_what_is_no_file_is_refused_by_sftp_and_holds_nothing_up(gate: Gate, tmp_path: Path) -> None:
    os.mkfifo(gate.home / "pipe")
    batch = f'-get pipe "{tmp_path}/x"\n-get missing "{tmp_path}/x"\nput "{__file__}" ok\n'
    done = gate.run(gate.client("sftp", "-b", "-", gate.host_name), batch.encode())
    assert done.returncode == 0
    assert digest(gate.home / "ok") == digest(Path(__file__))
    done = gate.ssh("true", options=("-s",))  # a subsystem that there is not
    assert done.returncode != 0


def test_connections_are_forwarded_both_ways(gate: Gate) -> None:
    server, port = echo_server()
    what = os.urandom(3_000_000)
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        near, far = free.getsockname()[1], other.getsockname()[1]
    client = subprocess.Popen(
        gate.client("ssh", "-o", "ExitOnForwardFailure=yes", "-L", f"{near}:localhost:{port}", "-R",
                    f"{far}:127.0.0.1:{port}", gate.host_name, "echo up; cat"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=gate.env)
    assert client.stdin is not None and client.stdout is not None
    try:
        assert client.stdout.readline() == b"up\n"
        for way in (near, far):
            assert echoed(way, what) == what + b"!"
        with socket.socket() as outside:  # only on loopback, whatever is asked for
            assert outside.connect_ex(("127.0.0.2", far)) != 0
    finally:
        client.stdin.close()
        client.wait(20)
        client.stdout.close()
        server.close()
    with socket.socket() as gone:
        until(lambda: gone.connect_ex(("127.0.0.1", far)) != 0)


def test_a_port_that_nobody_has_is_a_refused_connection(gate: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = gate.ssh(options=("-W", f"127.0.0.1:{port}"))
    assert done.returncode != 0
    assert b"onnect" in done.stderr


def test_a_strange_key_a_password_and_another_name_are_refused(gate: Gate) -> None:
    strange = gate.base / "strange"
    if not strange.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(strange)], check=True)
    text = gate.config.read_text()
    other = gate.base / "other"
    other.write_text(text.replace(str(gate.own.private), str(strange)))
    for options in (("-F", str(other)), ("-F", str(gate.config), "-l", "root"),
                    ("-F", str(gate.config), "-o", "PreferredAuthentications=none,password,keyboard-interactive",
                     "-o", "BatchMode=yes")):
        done = gate.run(["ssh", *options, gate.host_name, "echo in"])
        assert (done.returncode, done.stdout) == (255, b"")
        assert b"Permission denied (publickey)" in done.stderr


def test_keys_are_not_tried_for_ever(gate: Gate, tmp_path: Path) -> None:
    lines = []
    for number in range(7):
        file = tmp_path / f"k{number}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
        lines += ["-o", f"IdentityFile={file}"]
    config = tmp_path / "config"
    config.write_text("".join(line for line in gate.config.read_text().splitlines(True) if "IdentityFile" not in line))
    done = gate.run(["ssh", "-F", str(config), *lines, gate.host_name, "true"])
    assert done.returncode == 255
    assert b"oo many" in done.stderr


def test_those_who_show_no_key_cannot_take_every_place(tmp_path: Path) -> None:
    gate = Gate(tmp_path, "port")
    waiting = [socket.create_connection(("127.0.0.1", gate.port), 20) for _ in range(10)]
    try:
        assert all(sock.recv(100).startswith(b"SSH-2.0-") for sock in waiting)
        with socket.create_connection(("127.0.0.1", gate.port), 20) as late:
            while late.recv(1000):
                pass  # it is closed at once
    finally:
        for sock in waiting:
            sock.close()
    until(lambda: gate.ssh("echo in").stdout == b"in\n")
    gate.close()


def test_another_host_key_is_noticed_by_the_client(gate: Gate) -> None:
    other = gate.base / "lying"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(gate.base / "lie")], check=True)
    other.write_text("bareboat-tried " + (gate.base / "lie.pub").read_text())
    done = gate.ssh("echo in", options=("-o", f"UserKnownHostsFile={other}"))
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr


@pytest.mark.parametrize("way", ["stdio", "port"])
def test_the_end_of_the_container_ends_the_connection_and_the_gateway(tmp_path: Path, way: str) -> None:
    gate = Gate(tmp_path, way)
    client = subprocess.Popen(gate.client("ssh", gate.host_name, "echo up; exec cat"), env=gate.env,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert client.stdout is not None
    assert client.stdout.readline() == b"up\n"
    gate.end()
    assert client.wait(20) == 255
    _, said = client.communicate()
    assert b"the container ended" in said
    gate.close()
    until(lambda: f"{gate.base} stdio".encode() not in _processes())


def test_a_port_is_given_up_when_nobody_comes(tmp_path: Path) -> None:
    gate = Gate(tmp_path, "port", idle=0.3)
    assert gate.ssh("echo in").stdout == b"in\n"
    assert gate.process is not None
    assert gate.process.wait(20) == 0
    gate.close()


def test_the_client_s_agent_is_there_only_where_both_sides_asked_for_it(tmp_path: Path) -> None:
    for folder in ("with", "without"):
        (tmp_path / folder).mkdir()
    allowed, plain = Gate(tmp_path / "with", agent=True), Gate(tmp_path / "without")
    socket_, key = tmp_path / "agent", tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of the agent", "-f", str(key)], check=True)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket_)], stdout=subprocess.DEVNULL)
    try:
        until(socket_.exists)
        env = {"SSH_AUTH_SOCK": str(socket_)}
        subprocess.run(["ssh-add", "-q", str(key)], env={**os.environ, **env}, check=True, stderr=subprocess.DEVNULL)
        command = 'ssh-add -l; echo "$SSH_AUTH_SOCK"; ssh-add -l | wc -l'
        done = allowed.run(allowed.client("ssh", allowed.host_name, command), **env)
        assert b"of the agent" in done.stdout
        path = Path(done.stdout.splitlines()[1].decode())
        assert "bareboat-agent-" in str(path)
        until(lambda: not path.parent.exists())
        for gate, option in ((allowed, "-a"), (plain, "-A")):
            done = gate.run(gate.client("ssh", option, gate.host_name, 'echo "[$SSH_AUTH_SOCK]"'), **env)
            assert done.stdout == b"[]\n"
    finally:
        agent.terminate()
        agent.wait()
        allowed.close()
        plain.close()


def test_an_image_without_rsync_is_lent_this_machine_s(own: Gate, tmp_path: Path) -> None:
    (own.home / "bin").mkdir()
    for name, program in (("sh", "/bin/sh"), ("bash", "/bin/bash"), ("python3", os.path.realpath(sys.executable))):
        (own.home / "bin" / name).symlink_to(program)
    (own.base / "path").write_text(str(own.home / "bin"))
    assert own.ssh("command -v rsync").returncode == 1
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "x").write_bytes(os.urandom(100_000))
    done = own.run(["rsync", "-a", "-e", f"ssh -F {own.config}", f"{tree}/", f"{own.host_name}:there/"])
    assert (done.returncode, done.stderr) == (0, b"")
    assert digest(own.home / "there/x") == digest(tree / "x")
