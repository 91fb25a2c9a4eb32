"""One more program in a pod that runs, over a real WebSocket to a mock API server, with a real process behind it."""

from __future__ import annotations

import json
import os
import pty
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests import kubernetes_kit as kit
from tests.kubernetes_cluster import Cluster
from tests.kubernetes_exec import PROTOCOLS
from tests.kubernetes_front import Front, certificate
from tests.kubernetes_server import Answer

from bareboat.engine.base import Streams
from bareboat.engine.kubernetes import exec as execution
from bareboat.engine.kubernetes.kubernetes import Kubernetes
from bareboat.errors import EngineError
from bareboat.training.values import Interrupt, Point, Training
from bareboat.workload import Exec

QUICK = Training(interrupt=Interrupt(grace=5.0, kill=1.0))


@dataclass
class Heard:
    """What a program wrote."""

    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)

    def streams(self, stdin: int | None = None, terminal: int | None = None) -> Streams:
        return Streams(self.out.extend, self.err.extend, stdin, terminal)


class Yard:
    """A cluster with a run on it."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster(folder)
        self.scheduler = Kubernetes(folder / "kept", {"KUBECONFIG": str(self.cluster.kubeconfig(folder))})
        self.heard = Heard()
        self.job, = self.scheduler.submit(kit.submission(
            Point("aa01", argv=("sh", "-c", "echo began; while :; do sleep 0.05; done")), training=QUICK,
            workload=kit.load(env=(("PATH", os.environ["PATH"]), ("OF_THE_RUN", "here")))))
        until(lambda: self.scheduler.poll([self.job])[self.job].state == "running")

    def exec(self, *argv: str, streams: Streams | None = None, tty: bool = False, cwd: str = "",
             env: tuple[tuple[str, str], ...] = ()) -> int:
        call = Exec(argv, env, cwd, 1000, 1000, tty)
        return self.scheduler.exec(self.job, call, streams or self.heard.streams()).code


def until(true: Callable[[], object]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def _yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    made = Yard(tmp_path_factory.mktemp("cluster"))
    yield made
    made.cluster.close()


@pytest.fixture
def yard(_yard: Yard) -> Yard:
    _yard.heard, _yard.cluster.protocols = Heard(), PROTOCOLS
    return _yard


def piped(data: bytes) -> int:
    """A descriptor to read data from, and then the end."""
    read, write = os.pipe()
    threading.Thread(target=lambda: (_all(write, data), os.close(write)), daemon=True).start()
    return read


def _all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def test_output_errors_and_the_exit_code_are_the_programs(yard: Yard) -> None:
    assert yard.exec("sh", "-c", "echo out; echo err >&2; echo $OF_THE_RUN; exit 7") == 7
    assert (bytes(yard.heard.out), bytes(yard.heard.err)) == (b"out\nhere\n", b"err\n")
    assert yard.exec("true") == 0


def test_words_variables_and_the_folder_arrive_as_they_are(yard: Yard) -> None:
    odd = "it's $(x) \"5\" \\ \n*\tü%&=+"
    assert yard.exec("sh", "-c", 'printf "%s|%s|%s|" "$1" "$A" "$PWD"', "sh", odd, env=(("A", odd),), cwd="/usr") == 0
    assert bytes(yard.heard.out).decode() == f"{odd}|{odd}|/usr|"
    assert yard.exec("true", cwd="/not/there") == 126


@pytest.mark.parametrize(("program", "code"), [("/no/such", 127), ("/etc/passwd", 126)])
def test_what_is_no_program_has_dockers_codes(yard: Yard, program: str, code: int) -> None:
    assert yard.exec(program) == code and program.encode() in yard.heard.err


def test_input_goes_there_and_its_end_too(yard: Yard) -> None:
    assert yard.exec("sort", streams=yard.heard.streams(piped(b"b\na\n"))) == 0
    assert bytes(yard.heard.out) == b"a\nb\n"


def test_input_and_output_of_megabytes_do_not_wait_for_each_other(yard: Yard) -> None:
    data = os.urandom(1 << 20) * 6
    assert yard.exec("cat", streams=yard.heard.streams(piped(data))) == 0
    assert bytes(yard.heard.out) == data


def test_a_program_that_reads_nothing_of_its_input_ends_as_it_does(yard: Yard) -> None:
    assert yard.exec("sh", "-c", "exit 3", streams=yard.heard.streams(piped(b"x" * (1 << 20)))) == 3


def test_an_older_cluster_is_spoken_to_and_says_what_it_lacks(yard: Yard) -> None:
    yard.cluster.protocols = PROTOCOLS[1:]
    assert yard.exec("head", "-n1", streams=yard.heard.streams(piped(b"one\n"))) == 0
    assert bytes(yard.heard.out) == b"one\n"
    assert yard.exec("sh", "-c", "read line; sleep 1; echo $line", streams=yard.heard.streams(piped(b"two\n"))) == 0
    assert b"input has ended" in yard.heard.err


def test_no_protocol_in_common_is_refused_with_the_reason(yard: Yard) -> None:
    yard.cluster.protocols = ("v9.channel.k8s.io",)
    with pytest.raises(EngineError) as raised:
        yard.exec("true")
    assert raised.value.code == "kubernetes.refused" and "protocol" in raised.value.what


@pytest.mark.parametrize(("number", "times", "code"), [
    (signal.SIGINT, 1, 130), (signal.SIGTERM, 1, 143), (signal.SIGINT, 2, 137)])
def test_signals_are_the_programs(yard: Yard, number: int, times: int, code: int) -> None:
    deaf = "trap '' INT; " if times > 1 else ""
    heard = Heard()
    sent = []

    def out(data: bytes) -> None:
        heard.out.extend(data)
        if len(sent) < times:
            sent.append(os.kill(os.getpid(), number))

    # each line it writes is followed by a signal, so that the second comes after the first was met
    assert yard.exec("sh", "-c", f"{deaf}while :; do echo on; sleep 0.2; done",
                     streams=Streams(out, heard.err.extend)) == code


def test_a_terminal_has_a_size_and_is_told_of_another(yard: Yard) -> None:
    import fcntl
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    heard = Heard()

    steps = [lambda: (fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0)),
                      os.kill(os.getpid(), signal.SIGWINCH)),
             lambda: os.write(leader, b"typed\n\x04")]

    def out(data: bytes) -> None:
        heard.out.extend(data)
        if steps and (b"ready", b"again")[2 - len(steps)] in heard.out:
            steps.pop(0)()

    said = ("until [ \"$(stty size)\" = '40 100' ]; do sleep 0.05; done; echo ready; "
            "until [ \"$(stty size)\" = '24 80' ]; do sleep 0.05; done; echo again; cat; exit 4")
    try:
        assert yard.exec("sh", "-c", said, streams=Streams(out, heard.err.extend, follower, follower), tty=True) == 4
    finally:
        os.close(leader)
        os.close(follower)
    assert b"typed\r\n" in heard.out and not heard.err


def test_the_rights_that_lack_are_told(yard: Yard) -> None:
    yard.cluster.fail("GET", "/exec", Answer(403, "Forbidden", 'pods "x" is forbidden: User "ann" cannot create '
                                                               'resource "pods/exec"'))
    with pytest.raises(EngineError) as raised:
        yard.exec("true")
    assert raised.value.code == "kubernetes.refused" and "pods/exec" in raised.value.what
    assert "create" in raised.value.hint and "get" in raised.value.hint


def test_a_connection_that_is_lost_is_no_exit_code(yard: Yard) -> None:
    yard.cluster.fail("GET", "/exec", None)
    with pytest.raises(EngineError) as raised:
        yard.exec("true")
    assert raised.value.code == "kubernetes.unreachable"
    with pytest.raises(EngineError) as raised:
        _lost(yard)
    assert raised.value.code == "kubernetes.unreachable" and "may go on" in raised.value.what


def _lost(yard: Yard) -> int:
    """The server goes in the middle of it."""
    yard.cluster.cut = True
    try:
        return yard.exec("sh", "-c", "echo one; sleep 600")
    finally:
        yard.cluster.cut = False


def test_a_run_that_does_not_run_says_what_it_does(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        cluster.unschedulable = "0/1 nodes are available"
        scheduler = Kubernetes(tmp_path / "kept", {"KUBECONFIG": str(cluster.kubeconfig(tmp_path))})
        job, = scheduler.submit(kit.submission())
        with pytest.raises(EngineError) as raised:
            scheduler.exec(job, Exec(("true",), (), "", 0, 0), Heard().streams())
        assert raised.value.code == "kubernetes.not-running" and "pending" in raised.value.what
    finally:
        cluster.close()


@pytest.mark.parametrize(("said", "words"), [
    (b"", "does not say"), (b"[]", "does not say"), (b'{"status": "Failure", "message": "no shell"}', "no shell"),
    (b'{"details": {"causes": [{"reason": "ExitCode", "message": "x"}]}}', "does not say"),
])
def test_an_end_that_is_no_exit_code(said: bytes, words: str) -> None:
    with pytest.raises(EngineError) as raised:
        execution.outcome(said)
    assert raised.value.code == "kubernetes.exec" and words in raised.value.what


def test_words_that_are_no_text_are_refused() -> None:
    with pytest.raises(EngineError) as raised:
        execution.argv(Exec(("\udcff",), (), "", 0, 0))
    assert raised.value.code == "kubernetes.text"


def test_the_official_client_enters_the_same_pod(yard: Yard) -> None:
    """So that the mock's WebSocket is understood by more than our own."""
    from kubernetes import client, config
    from kubernetes.stream import stream

    theirs = client.Configuration()
    config.load_kube_config(str(yard.cluster.folder / "kubeconfig"), client_configuration=theirs)
    with client.ApiClient(theirs) as connection:
        pod = next(p["metadata"]["name"] for p in yard.cluster.all("pods"))
        found = stream(client.CoreV1Api(connection).connect_get_namespaced_pod_exec, pod, "team",
                       command=["sh", "-c", "echo out; echo err >&2; exit 5"], container="program", stderr=True,
                       stdin=False, stdout=True, tty=False, _preload_content=False)
        found.run_forever(timeout=30)
        said = found.read_stdout(), found.read_stderr(), found.returncode
        found.sock.shutdown()  # close() leaves the socket to the garbage collector
        assert said == ("out\n", "err\n", 5)


def test_by_tls_and_a_proxy_it_is_the_same(yard: Yard, tmp_path: Path) -> None:
    front = Front(tmp_path, yard.cluster.http.server_port)
    try:
        config = json.loads((yard.cluster.folder / "kubeconfig").read_text())
        config["clusters"][0]["cluster"] = {"server": f"https://{Front.NAME}:6443", "certificate-authority": "ca.pem",
                                            "proxy-url": f"http://127.0.0.1:{front.port}"}
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        scheduler = Kubernetes(tmp_path / "kept", {"KUBECONFIG": str(tmp_path / "kubeconfig")})
        data = os.urandom(1 << 20)
        call = Exec(("sh", "-c", "cat; exit 6"), (), "", 1000, 1000)
        assert scheduler.exec(yard.job, call, yard.heard.streams(piped(data))).code == 6
        assert bytes(yard.heard.out) == data and set(front.asked) == {f"{Front.NAME}:6443"}
        certificate("another.example.invalid", tmp_path / "ca.pem")
        with pytest.raises(EngineError) as raised:
            scheduler.exec(yard.job, call, yard.heard.streams())
        assert raised.value.code == "kubernetes.unreachable"
    finally:
        front.close()
