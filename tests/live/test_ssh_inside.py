"""bareboat ssh into containers that run: files, programs and networks are theirs."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import sandbox_kit as kit
from tests.ssh_kit import until

from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.record.values import RunRecord, run_id, timestamp
from bareboat.settings import Settings
from bareboat.store import Store
from bareboat.verbs import containers, enter, launch, ssh
from bareboat.verbs.collaborators import Quiet, Work
from bareboat.verbs.containers import Container
from bareboat.workload import Mount

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not all(map(shutil.which, ("ssh", "scp", "sftp", "rsync"))) and not os.environ.get("CI"),
                       reason="needs OpenSSH's clients and rsync"),
]
PYTHON = "/usr/bin/python3"
SERVE = """
import socket
s = socket.create_server(("127.0.0.1", 4711))
print("up", flush=True)
while True:
    c, _ = s.accept()
    c.sendall(b"inside: " + c.recv(100))
    c.close()
"""


class Port:
    """A container with an entry, and the clients' way to it."""

    def __init__(self, base: Path, network: str = "host", *argv: str) -> None:
        kit.need_sandbox()
        self.store = Store.open(base / "store")
        self.work = Work(self.store, Bubblewrap(base / "store"), Settings(home=base / "store"), Quiet())
        self.results, self.home = base / "results", base / "home"
        for folder in (self.results, self.home, base / "empty"):
            folder.mkdir()
        mounts = (Mount(self.results, "/results"), Mount(self.home, "/home/user"))
        load = kit.workload(kit.skeleton(base / "tree"), *(argv or ("sleep", "1000")), mounts=mounts, cwd="/results",
                            network=network)
        record = RunRecord(run_id(os.urandom(6)), created=timestamp(time.time()), argv=load.argv, engine="bubblewrap",
                           uid=load.uid, gid=load.gid)
        self.container = Container(record.id, "tried", record.created, load.argv, engine="bubblewrap", remove=True)
        launch.launch(*launch.keep(self.container, launch.Kept(load, record), self.work), self.work)
        self.base = base
        ssh.known("tried", self.work)
        path = os.pathsep.join(p for p in sys.path if p)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(base / "empty"), "PYTHONPATH": path,
                    "BAREBOAT_HOME": str(self.store.home), "SECRET": "of the host's"}
        self.config = str(self.store.home / "ssh/config")

    def run(self, *argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([argv[0], "-F", self.config, *argv[1:]], input=stdin, capture_output=True, env=self.env,
                              timeout=60)

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([argv[0], "-F", self.config, *argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=self.env)

    def close(self) -> None:
        for seen in containers.listed(self.store):
            enter.remove(seen.container.id, self.store, force=True)
        left = f"BAREBOAT_HOME={self.store.home}\0".encode()
        until(lambda: left not in _environments())  # no gateway, and nothing that entered for one


def _environments() -> bytes:
    found = b""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words, variables = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
                found += words.replace(b"\0", b" ") + b"\0" + variables
            except OSError:
                pass
    return found


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Port]:
    found = Port(tmp_path)
    yield found
    found.close()


def test_a_command_runs_inside_with_the_container_s_environment_and_no_other(there: Port) -> None:
    done = there.run("ssh", "bareboat-tried", "cat; pwd; id -u; hostname; env; exit 3", stdin=b"given\n")
    assert (done.returncode, done.stderr) == (3, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[:4] == ["given", "/results", "1000", "bareboat"]
    names = {line.partition("=")[0] for line in lines[4:]}
    assert names <= {"PATH", "HOME", "SSH_CONNECTION", "SSH_CLIENT", "PWD", "SHLVL", "_", "OLDPWD"}


def test_signals_and_terminals_reach_the_program(there: Port) -> None:
    assert there.run("ssh", "bareboat-tried", "kill -9 $$").returncode == 137
    assert there.run("ssh", "bareboat-tried", "no-such-program").returncode == 127
    done = there.run("ssh", "-tt", "bareboat-tried", "tty; stty size; exit 7")
    assert done.returncode == 7 and done.stdout.split()[0].startswith(b"/dev/pts/") and b"24 80" in done.stdout


def test_files_mean_what_they_mean_inside(there: Port) -> None:
    """A link to /etc/hostname is the container's, and what is made belongs to the caller."""
    (there.results / "link").symlink_to("/etc/hostname")
    (there.results / "up").symlink_to("../../../../../..")
    back = there.base / "back"
    for old in ((), ("-O",)):
        for name in ("link", "up/etc/hostname"):
            done = there.run("scp", *old, f"bareboat-tried:{name}", str(back))
            assert (done.returncode, done.stderr) == (0, b"")
            assert back.read_text() == "bareboat\n"
    batch = f"put {back} /results/new\nput {back} /home/user/mine\nput {back} /tmp/inside\n-put {back} /usr/x\n"
    done = there.run("sftp", "-b", "-", "bareboat-tried", stdin=batch.encode())
    assert done.returncode == 0 and b"/usr/x" in done.stderr  # mounted read-only
    assert (there.results / "new").stat().st_uid == os.getuid()
    assert (there.home / "mine").read_text() == "bareboat\n" and not Path("/tmp/inside").exists()
    assert there.run("ssh", "bareboat-tried", "cat /tmp/inside").stdout == b"bareboat\n"


def test_rsync_and_50_mb(there: Port) -> None:
    big = there.base / "big"
    big.write_bytes(os.urandom(50_000_000))
    over = f"ssh -F {there.config}"
    done = subprocess.run(["rsync", "-a", "-e", over, str(big), "bareboat-tried:there"], env=there.env,
                          capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (there.results / "there").read_bytes() == big.read_bytes()


def test_a_program_without_a_terminal_outlives_its_connection_and_dies_with_the_container(there: Port) -> None:
    """As the servers of editors are started."""
    sleeping = f"sleep 5432.{os.getpid()}"
    command = f"(nohup {sleeping} >/dev/null 2>&1 </dev/null & echo $! >pid); echo started"
    assert there.run("ssh", "bareboat-tried", command).stdout == b"started\n"
    assert there.run("ssh", "bareboat-tried", "kill -0 $(cat pid)").returncode == 0
    enter.kill("tried", there.store)
    until(lambda: sleeping.encode() not in _environments())


def test_hanging_up_ends_what_runs_on_the_terminal_whoever_dies(there: Port) -> None:
    for number, victim in ((7651, "ssh"), (7652, "--stdio")):
        client = there.start("ssh", "-tt", "bareboat-tried", f"sleep {number}.{os.getpid()}")
        sleeping = f"sleep {number}.{os.getpid()}\0".encode()
        until(lambda sleeping=sleeping: sleeping in _words())  # type: ignore[misc]
        if victim == "ssh":
            client.kill()
        else:
            [gateway] = [int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit()
                         and _ours(e, str(there.store.home)) and b"--stdio" in _read(e / "cmdline")]
            os.kill(gateway, 9)
        client.communicate(timeout=20)
        until(lambda sleeping=sleeping: sleeping not in _words())  # type: ignore[misc]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _ours(entry: Path, home: str) -> bool:
    return f"BAREBOAT_HOME={home}\0".encode() in _read(entry / "environ")


def _words() -> bytes:
    """The command lines of programs inside, as the host sees them, each with spaces and an end."""
    found = [_read(e / "cmdline") for e in Path("/proc").iterdir() if e.name.isdigit()]
    return b"".join(b"\1" + words.rstrip(b"\0").replace(b"\0", b" ") + b"\0" for words in found
                    if words.startswith(b"sleep"))


def test_the_end_of_the_container_is_said(there: Port) -> None:
    client = there.start("ssh", "bareboat-tried", "echo up; exec sleep 1000")
    assert client.stdout is not None and client.stdout.readline() == b"up\n"
    enter.kill("tried", there.store)
    _, said = client.communicate(timeout=30)
    assert client.returncode in (137, 255)
    assert b"the container ended" in said
    done = there.run("ssh", "bareboat-tried", "true")
    assert done.returncode == 255 and b"tried" in done.stderr


def test_connections_are_made_in_the_container_s_own_network(tmp_path: Path) -> None:
    """Without the host's network: its ports are reached through the connection alone, and ours only where asked for."""
    there = Port(tmp_path, "none", PYTHON, "-c", SERVE)
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        near = free.getsockname()[1]
        free.close()
        back = f"4712:127.0.0.1:{ours.getsockname()[1]}"
        client = there.start("ssh", "-o", "ExitOnForwardFailure=yes", "-L", f"{near}:localhost:4711", "-R", back,
                             "bareboat-tried", "echo up; cat")
        try:
            assert client.stdout is not None and client.stdin is not None
            assert client.stdout.readline() == b"up\n"
            with socket.create_connection(("127.0.0.1", near), 20) as sock:
                sock.sendall(b"hello")
                assert sock.recv(100) == b"inside: hello"
            ask = f"{PYTHON} -c 'import socket; socket.create_connection((\"127.0.0.1\", 4712)).sendall(b\"back\")'"
            assert there.run("ssh", "bareboat-tried", ask).returncode == 0
            ours.settimeout(20)
            sock, _ = ours.accept()
            with sock:
                assert sock.recv(100) == b"back"
            with socket.socket() as outside:
                assert outside.connect_ex(("127.0.0.1", 4711)) != 0
            done = there.run("ssh", "-W", f"127.0.0.1:{ours.getsockname()[1]}", "bareboat-tried")
            assert done.returncode != 0  # a port of this machine's is none of the container's
        finally:
            client.stdin.close()
            client.wait(20)
            client.stdout.close()
            client.stderr.close()  # type: ignore[union-attr]
            there.close()


def test_a_port_is_for_those_who_have_a_key_and_ends_with_the_container(there: Port) -> None:
    asked = subprocess.run([sys.executable, "-m", "bareboat", "ssh", "--port", "0", "tried"], env=there.env,
                           capture_output=True, text=True, timeout=60)
    assert asked.returncode == 0, asked.stderr
    words = asked.stdout.split()
    port = int(words[words.index("-p") + 1])
    done = subprocess.run([*words[:1], "-o", "StrictHostKeyChecking=yes", *words[1:], "hostname"], env=there.env,
                          capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"bareboat\n")
    strange = there.base / "strange"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(strange)], check=True)
    words[words.index("-i") + 1] = str(strange)
    done = subprocess.run([*words, "hostname"], env=there.env, capture_output=True, timeout=60)
    assert done.returncode == 255 and b"Permission denied (publickey)" in done.stderr
    enter.kill("tried", there.store)

    def closed() -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) != 0

    until(closed)


def test_ssh_reads_the_entry_as_it_is_meant(there: Port) -> None:
    done = there.run("ssh", "-G", "bareboat-tried")
    found = dict(line.split(" ", 1) for line in done.stdout.decode().splitlines() if " " in line)
    assert found["user"] == "user" and found["hostkeyalias"] == "bareboat-tried"
    assert found["identityfile"] == str(there.store.home / "ssh/id")
    assert found["stricthostkeychecking"] in ("true", "yes") and found["forwardagent"] == "no"


EDITOR = """
set -e
cd ~; test -x .editor/server || { tar xzf /tmp/editor.tar.gz; echo unpacked; }
if ! kill -0 $(cat .editor/pid) 2>/dev/null; then
    nohup .editor/server .editor/listen.py >.editor/log 2>&1 </dev/null & echo $! >.editor/pid
fi
while ! test -s .editor/port; do sleep 0.05; done
echo "listening on $(cat .editor/port)"
"""
LISTEN = """
import os, socket
s = socket.create_server(("127.0.0.1", 0))
home = os.path.expanduser("~/.editor/")
with open(home + "port.new", "w") as file:
    file.write("%d" % s.getsockname()[1])
os.rename(home + "port.new", home + "port")
while True:
    c, _ = s.accept()
    c.sendall(b"from " + open("/etc/hostname", "rb").read())
    c.close()
"""


def through_socks(proxy: int, port: int) -> bytes:
    """What a port says, reached by a SOCKS 5 proxy (RFC 1928)."""
    with socket.create_connection(("127.0.0.1", proxy), 20) as sock:
        sock.sendall(b"\5\1\0")
        assert sock.recv(2) == b"\5\0"
        sock.sendall(b"\5\1\0\3\x09localhost" + port.to_bytes(2, "big"))
        assert sock.recv(10)[1] == 0
        found = b""
        while data := sock.recv(100):
            found += data
        return found


def test_an_editor_brings_its_server_and_finds_it_again(tmp_path: Path) -> None:
    """As VS Code and JetBrains do: copy an archive, run a script given to a shell, start what was in it from the home,
    talk to its port; the next connection finds it there.
    """
    there = Port(tmp_path, "none")
    try:
        (tmp_path / ".editor").mkdir()
        shutil.copy(os.path.realpath(PYTHON), tmp_path / ".editor/server")  # a binary of ours, run from the home
        (tmp_path / ".editor/listen.py").write_text(LISTEN)
        subprocess.run(["tar", "czf", "editor.tar.gz", ".editor"], cwd=tmp_path, check=True)
        assert there.run("scp", str(tmp_path / "editor.tar.gz"), "bareboat-tried:/tmp/editor.tar.gz").returncode == 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            proxy = free.getsockname()[1]
        ports = []
        for time_ in range(2):
            client = there.start("ssh", "-T", "-D", str(proxy), "bareboat-tried", "bash")
            assert client.stdin is not None and client.stdout is not None and client.stderr is not None
            try:
                client.stdin.write(EDITOR.encode())
                client.stdin.flush()
                lines = [client.stdout.readline() for _ in range(2 - time_)]
                assert (b"unpacked\n" in lines) == (time_ == 0)
                ports.append(int(lines[-1].removeprefix(b"listening on ")))
                assert through_socks(proxy, ports[-1]) == b"from bareboat\n"
            finally:
                client.stdin.close()
                client.wait(20)
                client.stdout.close()
                client.stderr.close()
        assert ports[0] == ports[1]  # the same server
        assert (there.home / ".editor/pid").exists()  # in the home that is kept
    finally:
        there.close()


@pytest.mark.parametrize("network", ["host", "none"])
def test_an_ordinary_user_enters_by_exec_and_by_ssh(network: str) -> None:
    """Not root, who may join namespaces that nobody else may; by a bareboat that was installed."""
    from tests.builder.layer_factory import E, d, tar
    from tests.live.layout_kit import write_layout
    from tests.live.test_archive import remove

    python = os.environ.get("BAREBOAT_TEST_PYTHON", sys.executable)
    user = pwd.getpwnam("nobody").pw_uid  # ssh wants somebody who has a name
    busybox = shutil.which("busybox")
    if os.getuid() != 0 or busybox is None:
        pytest.skip("only root can become other users, and busybox is needed")
    try:
        able = not subprocess.run([python, "-c", "import bareboat"], user=user, group=user, extra_groups=[], cwd="/",
                                  capture_output=True).returncode
    except PermissionError:
        able = False
    if not able:
        pytest.skip("this Python cannot be started by other users: set BAREBOAT_TEST_PYTHON to one that can")
    base = Path("/var/tmp") / f"bareboat-ssh-{os.getpid()}-{network}"
    base.mkdir(mode=0o755)
    try:
        (base / "u").mkdir()
        os.chown(base / "u", user, user)
        layer = tar([d("etc"), d("tmp", mode=0o1777), d("bin"),
                     E("bin/busybox", Path(busybox).read_bytes(), mode=0o755),
                     *(E(f"bin/{tool}", kind=b"2", link="busybox") for tool in ("sh", "id", "sleep", "cat"))])
        write_layout(base / "layout", [layer], lambda data: data)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(base / "u"), "BAREBOAT_HOME": str(base / "u/store"),
               "PYTHONDONTWRITEBYTECODE": "1"}

        def bareboat(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([python, "-m", "bareboat", "-q", *words], capture_output=True, text=True, cwd="/",
                                  env=env, stdin=subprocess.DEVNULL, user=user, group=user, extra_groups=[], timeout=60)

        for words in (("pull", f"oci:{base}/layout:1", "-t", "tried:1"),
                      ("run", "-d", "--rm", "--name", "tried", "--network", network, "tried:1", "sleep", "1000")):
            done = bareboat(*words)
            assert done.returncode == 0, done.stderr
        try:
            for words in (("exec", "tried", "id", "-u"), ("ssh", "tried", "id -u")):
                done = bareboat(*words)
                assert (done.returncode, done.stdout) == (0, f"{user}\n"), done.stderr
            lines = bareboat("exec", "tried", "cat", "/proc/net/dev").stdout.splitlines()
            host = Path("/proc/net/dev").read_text().splitlines()
            assert len(lines) == (len(host) if network == "host" else 3)
        finally:
            bareboat("rm", "-f", "tried")
    finally:
        remove(base)
