"""Repositories over HTTP with a login, served by git's own backend on this machine."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.git_kit import git, needs_git, repository

from bareboat.host import gitfetch
from bareboat.host.gitfetch import CodeError, Remote

pytestmark = needs_git
LOGIN = "Basic " + base64.b64encode(b"user:s3cret@").decode()


class Server(ThreadingHTTPServer):
    """git http-backend below / for those who log in; /away/ is another server's."""

    daemon_threads = True

    def __init__(self, root: Path, away: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.away = root, away
        self.logins: list[str] = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def stop(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.logins.append(self.headers.get("Authorization", ""))
        if path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.away}{self.path[5:]}")
            self.end_headers()
            return
        if self.headers.get("Authorization") != LOGIN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1",
               "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_USER": "user",
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
               "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "REMOTE_ADDR": "127.0.0.1",
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_NOSYSTEM": "1"}
        answer = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=False).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        self.send_response(int(dict(fields).get("Status", "200").split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, str]]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_ASKPASS", "false")
    if shutil.which("git") and not Path(git(tmp_path, "--exec-path"), "git-http-backend").exists():
        pytest.skip("git came without its backend")
    commit = repository(tmp_path / "work", {"a": "1"})
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "work"), str(tmp_path / "srv/seg.git"))
    server = Server(tmp_path / "srv")
    yield server, commit
    server.stop()


def test_a_login_reads_what_is_private(served: tuple[Server, str], tmp_path: Path) -> None:
    server, commit = served
    remote = Remote(f"http://127.0.0.1:{server.port}/seg.git", "user:s3cret%40")
    assert gitfetch.resolve(remote, "main") == commit
    gitfetch.fetch(remote, commit, tmp_path / "here")
    assert [e.path for e in gitfetch.entries(tmp_path / "here", commit, "")] == ["a"]
    assert set(server.logins) == {LOGIN}
    assert "s3cret" not in (tmp_path / "here/config").read_text()


@pytest.mark.parametrize("login", ["", "user:wr0ng"])
def test_without_one_it_is_said_and_nobody_is_asked(served: tuple[Server, str], login: str) -> None:
    server, _ = served
    with pytest.raises(CodeError) as caught:
        gitfetch.resolve(Remote(f"http://127.0.0.1:{server.port}/seg.git", login), "main")
    assert caught.value.code == "code.unreachable" and caught.value.hint
    assert "wr0ng" not in str(caught.value) + caught.value.where


def test_a_login_is_not_taken_to_another_server(served: tuple[Server, str], tmp_path: Path) -> None:
    server, _ = served
    other = Server(tmp_path / "srv", server.port)
    try:
        remote = Remote(f"http://127.0.0.1:{other.port}/away/seg.git", "user:s3cret%40")
        with pytest.raises(CodeError) as caught:
            gitfetch.resolve(remote, "main")
    finally:
        other.stop()
    assert caught.value.code == "code.unreachable" and other.logins and not server.logins
