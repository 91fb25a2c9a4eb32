"""A notebook server as a user starts it, and requests that no browser would make."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

ROUTES = """
import json
from jupyterlab.labapp import LabApp
from tornado.web import RequestHandler
argv = ["--config=/opt/bareboat/lab/etc/bareboat/config.json", "--ServerApp.port=0", "--ServerApp.root_dir=/tmp"]
app = LabApp.initialize_server(argv=argv)
verbs = ("get", "head", "post", "put", "patch", "delete", "options")

def walk(router):
    for rule in router.rules:
        if hasattr(rule.target, "rules"):
            yield from walk(rule.target)
        elif hasattr(rule.matcher, "regex"):
            yield rule.matcher.regex.pattern, rule.target

for pattern, target in walk(app.web_app.default_router):
    own = [v.upper() for v in verbs if getattr(target, v, None) not in (None, getattr(RequestHandler, v))]
    print("ROUTE", json.dumps([pattern, target.__module__ + "." + target.__qualname__, own]))
"""
ASKING = "import subprocess\nprint(subprocess.run(['/opt/bareboat/lab/bin/python', '-I', '-W', 'ignore', '-c', {}], " \
         "capture_output=True, text=True, check=True).stdout)"


# A server with the guards taken down, for as long as there is no file results/stop.
OPEN = """
import pathlib, subprocess, time
server = subprocess.Popen([
    '/opt/bareboat/lab/bin/python', '-I', '-W', 'ignore', '/opt/bareboat/lab/bin/jupyter-lab',
    '--config=/opt/bareboat/lab/etc/bareboat/config.json', '--ServerApp.port={port}', '--ServerApp.root_dir=/app',
    '--ServerApp.identity_provider_class=jupyter_server.auth.PasswordIdentityProvider', '--IdentityProvider.token=',
    '--ServerApp.allow_unauthenticated_access=True', '--ServerApp.allow_remote_access=True',
    '--ServerApp.allow_origin=*', '--ServerApp.disable_check_xsrf=True'])
while not pathlib.Path('/results/stop').exists() and server.poll() is None:
    time.sleep(0.1)
server.kill()
"""


def notebook(path: Path, *cells: str, tags: tuple[str, ...] = ()) -> None:
    """A notebook with these cells of code; tags: of the first."""
    found = [{"id": f"c{n}", "cell_type": "code", "source": text, "outputs": [], "execution_count": None,
              "metadata": {"tags": list(tags) if n == 0 else []}} for n, text in enumerate(cells)]
    document = {"cells": found, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(document))


def example(pattern: str) -> str:
    """A path that a route's pattern takes."""
    path = pattern.rstrip("$")
    for group, text in ((r"(?P<path>(?:(?:/[^/]+)+|/?))", "/src/run.py"), (r"(?P<mode>lab|doc)", "lab"),
                        (r"(?P<workspace>/workspaces/[a-zA-Z0-9\-\_]+)?", ""), (r"(?P<tree>/tree/.*)?", ""),
                        (r"(?P<action>restart|interrupt)", "restart"), (r"(?P<kernel_name>[\w\.\-%]+)", "python3"),
                        (r"\w+-\w+-\w+-\w+-\w+", "0a-0b-0c-0d-0e"), (r"(robots\.txt|favicon\.ico)", "favicon.ico"),
                        (r"(robots\.txt)", "robots.txt"), (r"(favicon\.ico)", "favicon.ico"), (r"/.*/", "/x/")):
        path = path.replace(group, text)
    path = re.sub(r"\(\?P<\w+>(\w[\w-]*)\)", r"\1", path)
    path = re.sub(r"\((?:\?P<\w+>)?(?:\.\*|\.\+|\\w\+|\[[^\]]*\]\+)\)", "x", path)
    path = path.replace("/.*", "/x").replace("/?", "/").replace("\\", "")
    assert re.fullmatch(pattern, path), (pattern, path)
    return path


class Place:
    """A project with something to plot, and a store of its own."""

    def __init__(self, base: Path) -> None:
        self.root, self.home = base / "project", base / "store"
        (self.root / "src").mkdir(parents=True)
        (self.root / "src/run.py").write_text("secret = 1\n")
        (self.root / "requirements.txt").write_text("matplotlib\n")

    def __call__(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """bareboat, in the project."""
        return subprocess.run([sys.executable, "-m", "bareboat", *words], cwd=self.root, text=True, timeout=300,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              env={**os.environ, "BAREBOAT_HOME": str(self.home), **env})


@dataclass
class Server:
    """bareboat notebook in a process of its own, its URL, and everything it said."""

    process: subprocess.Popen[str]
    url: str
    errors: Path
    cookies: str = ""
    said: str = ""
    xsrf: str = field(default="", repr=False)

    @classmethod
    def start(cls, root: Path, home: Path, *words: str, **env: str) -> Server:
        """Start it and wait for its URL."""
        errors = root.parent / "notebook-errors"
        with errors.open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "bareboat", "notebook", "--no-browser", *words], cwd=root, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
                env={**os.environ, "BAREBOAT_HOME": str(home), **env})
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        return cls(process, url, errors)

    @property
    def token(self) -> str:
        return self.url.partition("token=")[2]

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def stop(self) -> int:
        """As ^C does; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:  # then its code says so
                self.process.kill()
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.said += self.process.stdout.read()
            self.process.stdout.close()
        code = self.process.wait(60)
        self.said += self.errors.read_text()
        return code

    def ask(self, method: str, path: str, *headers: str, body: str = "", host: str = "",
            patience: float = 30) -> tuple[int, str]:
        """Status and head of an answer to exactly this request; 0 where none came within so many seconds."""
        host = host or f"127.0.0.1:{self.port}"
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        with socket.create_connection(("127.0.0.1", self.port), patience) as connection:
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
            answer = b""
            try:
                while b"\r\n\r\n" not in answer and (chunk := connection.recv(65536)):
                    answer += chunk
            except TimeoutError:
                return 0, ""
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
        return int(head.split(" ")[1]), head

    def upgrade(self, path: str, *headers: str, host: str = "") -> int:
        """The status of a websocket's handshake."""
        key = base64.b64encode(os.urandom(16)).decode()
        return self.ask("GET", path, *headers, "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                        f"Sec-WebSocket-Key: {key}", "Connection: Upgrade", host=host)[0]

    def log_in(self) -> str:
        """The Cookie header that a browser has once it followed the URL."""
        status, head = self.ask("GET", f"/lab?token={self.token}")
        assert status in (200, 302), head
        found = [line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("set-cookie:")]
        self.cookies = "Cookie: " + "; ".join(line.partition(";")[0] for line in found)
        self.said += "\n".join(found)
        return self.cookies
