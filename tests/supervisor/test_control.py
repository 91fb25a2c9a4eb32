"""The control socket: what is asked, what is answered, and what strangers send."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import EngineError
from bareboat.host.loop import Loop
from bareboat.supervisor import wire
from bareboat.supervisor.client import Line, ask
from bareboat.supervisor.control import BEHIND, Control, Peer
from bareboat.values import Any


class Served:
    """A control that is served by a thread."""

    def __init__(self, folder: Path, asked: Callable[[Peer, dict[str, Any]], None]) -> None:
        self.folder, self.control, self.loop = folder, Control(str(folder), asked), Loop()
        self.control.serve(self.loop)
        self._over = False
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def _turn(self) -> None:
        while not self._over:
            self.loop.turn(5)

    def close(self) -> None:
        self._over = True
        self._thread.join()
        self.control.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def start(asked: Callable[[Peer, dict[str, Any]], None], folder: Path = tmp_path) -> Served:
        made.append(Served(folder, asked))
        return made[-1]

    yield start
    for served in made:
        served.close()


def echo(peer: Peer, request: dict[str, Any]) -> None:
    peer.answer({"heard": request})


def test_a_question_and_its_answer_wherever_the_folder_is(serve: Callable[..., Served], tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(6):
        deep = deep / ("a long name of a folder " * 4)
    deep.mkdir(parents=True)  # longer than an address of a socket may be
    serve(echo, deep)
    assert ask(deep, do="x", text="ü\n").value == {"heard": {"do": "x", "text": "ü\n"}}


def test_a_descriptor_comes_along(serve: Callable[..., Served], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("inside")
    serve(lambda peer, _: peer.answer({}, os.open(tmp_path / "file", os.O_RDONLY)))
    answer = ask(tmp_path, do="enter")
    assert os.read(answer.descriptor, 10) == b"inside"
    os.close(answer.descriptor)


def test_nobody_answers_where_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as error:
        ask(tmp_path, do="x")
    assert error.value.code == "container.gone"


def test_who_does_not_answer_is_not_waited_for(serve: Callable[..., Served], tmp_path: Path) -> None:
    serve(lambda peer, request: None)
    with pytest.raises(EngineError) as error:
        ask(tmp_path, 0.05, do="x")
    assert error.value.code == "container.silent"


def test_a_socket_that_a_dead_owner_left_is_replaced(serve: Callable[..., Served], tmp_path: Path) -> None:
    old = socket.socket(socket.AF_UNIX)
    old.bind(f"/proc/self/fd/{os.open(tmp_path, os.O_PATH)}/control")
    old.close()
    serve(echo)
    assert ask(tmp_path, do="x").value


@pytest.mark.parametrize("sent", [b"\0" * 40, b"GET / HTTP/1.1\r\n\r\n", wire.HEAD.pack(b"j", 1 << 30),
                                  wire.frame(b"j", b"["),
                                  wire.frame(b"j", b"[1]"), wire.frame(b"?", b"x"), wire.frame(b"j", b"\xff")])
def test_what_is_no_request_ends_that_line_and_no_other(
        serve: Callable[..., Served], tmp_path: Path, sent: bytes) -> None:
    serve(echo)
    line = Line(tmp_path)
    line.sock.sendall(sent)
    assert line.sock.recv(1) == b""
    line.close()
    assert ask(tmp_path, do="x").value


def test_one_who_does_not_read_is_let_go(serve: Callable[..., Served], tmp_path: Path) -> None:
    gone = threading.Event()

    def flood(peer: Peer, _request: dict[str, Any]) -> None:
        peer.closed = gone.set
        peer.answer({}, last=False)
        for _ in range(BEHIND // 100_000 + 40):
            peer.send(wire.frame(wire.OUT, b"x" * 100_000))

    serve(flood)
    line = Line(tmp_path)
    line.ask(do="attach")
    assert gone.wait(10)
    line.close()


@given(st.binary(max_size=200), st.integers(1, 50))
def test_frames_do_not_depend_on_how_they_arrive(data: bytes, step: int) -> None:
    whole = wire.frame(wire.OUT, data) + wire.document({"a": 1}) + wire.frame(wire.EOF, b"")
    buffer, found = bytearray(), []
    for at in range(0, len(whole), step):
        buffer += whole[at:at + step]
        found += list(wire.parse(buffer))
    assert found == [(wire.OUT, data), (wire.JSON, b'{"a": 1}'), (wire.EOF, b"")] and not buffer


@given(st.binary(max_size=64))
def test_any_bytes_are_frames_or_broken(data: bytes) -> None:
    try:
        assert all(len(content) <= wire.MOST for _, content in wire.parse(bytearray(data)))
    except wire.Broken:
        pass
