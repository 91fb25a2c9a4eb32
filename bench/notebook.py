"""Figure: from the command to a kernel that has answered, against JupyterLab in a virtual environment of its own."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

from bench.environments import SMALL
from bench.measure import Figure, Row, Series, in_turns
from bench.place import Place

TOKEN = "0" * 64


def notebook(place: Place) -> Figure:
    """Time until 6 * 7 is computed by the project's Python through the server's own interface."""
    project = place.project(SMALL)
    environment = {**place.subject.env, "UV_CACHE_DIR": str(place.subject.cache)}
    venv = place.work / "jupyter"
    if not venv.exists():
        subprocess.run([place.subject.uv, "venv", "-q", venv], check=True, env=environment)
        subprocess.run([place.subject.uv, "pip", "install", "-q", "--compile-bytecode", "--python", venv / "bin/python",
                        "jupyterlab", "ipykernel"], check=True, env=environment)
    ours = [str(place.subject.venv / "bin/bareboat"), "notebook", "--no-browser"]
    _bareboat(ours, project, place.subject.env)
    place.subject.settled(project)
    sides = in_turns(place.rounds, lambda _: _bareboat(ours, project, place.subject.env),
                     lambda _: _plain(venv, place.work, environment))
    row = Row("from the command to a kernel's answer", "small", Series("bareboat notebook", sides[0]),
              Series("jupyter lab in a virtual environment", sides[1]), "s")
    return Figure("notebook", "Time to a usable kernel", (row,), (
        "The command is started, the server is waited for, a kernel is asked for by its REST interface and code is run "
        "through its websocket. Caches are warm and bytecode is there on both sides.",))


def _bareboat(argv: list[str], project: Path, env: dict[str, str]) -> float:
    began = time.perf_counter()
    process = subprocess.Popen(argv, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    port, token = int(url.split(":")[2].split("/")[0]), url.partition("token=")[2]
    return _timed(began, process, port, token)


def _plain(venv: Path, folder: Path, env: dict[str, str]) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    process = subprocess.Popen([venv / "bin/jupyter-lab", "--no-browser", "--allow-root", f"--port={port}",
                                "--ServerApp.answer_yes=True"], cwd=folder, env={**env, "JUPYTER_TOKEN": TOKEN},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return _timed(began, process, port, TOKEN)


def _timed(began: float, process: subprocess.Popen[str], port: int, token: str) -> float:
    try:
        answer = compute(port, token, lambda: process.poll() is not None)
        taken = time.perf_counter() - began
        if answer != "42":
            raise RuntimeError(f"the kernel answered {answer!r}")
        return taken
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def compute(port: int, token: str, gone: Callable[[], bool]) -> str:
    """What 6 * 7 is, says a kernel."""
    while True:
        try:
            kernel = json.load(_post(port, token, "/api/kernels"))["id"]
            break
        except OSError:
            if gone():
                raise RuntimeError("the server ended") from None
            time.sleep(0.02)
    wire = Websocket(port, f"/api/kernels/{kernel}/channels", token)
    content = {"code": "6 * 7", "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "bench", "username": "",
              "version": "5"}
    wire.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content,
                          "channel": "shell"}))
    while True:
        message = json.loads(wire.receive())
        if message.get("msg_type") == "execute_result":
            wire.close()
            return str(message["content"]["data"]["text/plain"])


def _post(port: int, token: str, path: str):  # type: ignore[no-untyped-def]
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", b"{}",
                                     {"Authorization": f"token {token}", "Content-Type": "application/json"})
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60)


class Websocket:
    """As much of RFC 6455 as a kernel's channel needs."""

    def __init__(self, port: int, path: str, token: str) -> None:
        self.stream = socket.create_connection(("127.0.0.1", port), 60)
        self.rest = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                            f"Authorization: token {token}\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.stream.recv(65536)
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(head.decode())

    def send(self, text: str) -> None:
        data, mask = text.encode(), os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0xFE]) + len(data).to_bytes(2, "big")
        self.stream.sendall(b"\x81" + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self) -> str:
        """The next text; pings and the like are passed over."""
        while True:
            first, size = self._read(2)
            size &= 0x7F
            if size > 125:
                size = int.from_bytes(self._read(2 if size == 126 else 8), "big")
            data = self._read(size)
            if first & 0x0F in (0, 1):
                return data.decode()

    def close(self) -> None:
        self.stream.close()

    def _read(self, count: int) -> bytes:
        while len(self.rest) < count:
            self.rest += self.stream.recv(65536)
        data, self.rest = self.rest[:count], self.rest[count:]
        return data
