"""The browser next door against a notebook: every route of the server's own table, every method, without the right.

SECURITY's row 21: with no token, a wrong one, another site's Host or Origin, a form of another site's, and websockets,
nothing is answered with 2xx or 101 that is not meant for everybody.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.notebook_kit import ASKING, OPEN, ROUTES, Place, Server, example, notebook

from bareboat.sessions.ports import free_port

pytestmark = pytest.mark.live
# What anybody may see: the form that asks for the token, the files that its page is made of, the server's version.
PUBLIC = {"/login", "/logout", "/static/x", "/static/lab/x", "/favicon.ico", "/robots.txt", "/api"}
# Its refusal has no page: upstream's own finish() fails on it, and the connection ends without an answer.
SILENT = "/lab/api/licenses/x"
# What browsers send there by themselves is only logged.
REPORT = "/api/security/csp-report"
EVIL = "Origin: http://evil.example"
Route = tuple[str, str, list[str]]


@pytest.fixture(scope="module")
def routes(notebook_place: Place) -> list[Route]:
    place = notebook_place
    notebook(place.root / "src/routes.ipynb", ASKING.format(repr(ROUTES)))
    done = place("run", "src/routes.ipynb")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("ROUTE ")]
    assert len(found) > 50
    return [(example(pattern), handler, methods) for pattern, handler, methods in found]


@pytest.fixture(scope="module")
def server(notebook_place: Place, routes: list[Route]) -> Iterator[Server]:
    place = notebook_place
    started = Server.start(place.root, place.home)
    assert started.url, started.errors.read_text()
    try:
        yield started
    finally:
        started.stop()


def allowed(routes: list[Route]) -> Iterator[tuple[str, str]]:
    """Every path and method but what is for everybody; OPTIONS says only what a browser may ask for."""
    for path, _, methods in routes:
        for method in methods:
            if path not in {*PUBLIC, SILENT} and method != "OPTIONS":
                yield path, method


@pytest.mark.parametrize("headers", [
    (), ("Authorization: token " + "0" * 64,), ("Authorization: Bearer x",), ("Cookie: username-127-0-0-1=2|1:0|x",),
    ("Sec-Fetch-Site: cross-site", EVIL)])
def test_without_the_token_nothing_is_answered(server: Server, routes: list[Route], headers: tuple[str, ...]) -> None:
    asked = [(path, method, server.ask(method, path, *headers)[0]) for path, method in allowed(routes)]
    assert [a for a in asked if 200 <= a[2] < 300] == [] and len(asked) > 70


def test_what_has_no_page_for_a_refusal_answers_nothing(server: Server) -> None:
    assert server.ask("GET", SILENT, patience=1)[0] == 0


def test_a_wrong_token_in_the_address_is_none(server: Server, routes: list[Route]) -> None:
    for token in ("", "0" * 64, server.token[:-1], server.token.upper() if server.token.islower() else "x"):
        asked = [(path, method, server.ask(method, f"{path}?token={token}")[0])
                 for path, method in allowed(routes) if method == "GET"]
        assert [a for a in asked if 200 <= a[2] < 300] == []


def test_another_host_is_refused_even_with_the_cookie(server: Server, routes: list[Route]) -> None:
    cookie = server.log_in()
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example", "[::ffff:8.8.8.8]",
                 "0.0.0.0"):
        asked = [(path, method, server.ask(method, path, cookie, host=host)[0]) for path, method in allowed(routes)
                 if path != "/api/shutdown"]
        assert [a for a in asked if 200 <= a[2] < 300] == [], host


def test_another_origin_changes_and_reads_nothing(server: Server, routes: list[Route]) -> None:
    cookie = server.log_in()
    for path, method in allowed(routes):
        for origin in (EVIL, "Origin: null", f"Origin: http://127.0.0.1:{server.port + 1}"):
            status, head = server.ask(method, path, cookie, origin)
            readable = "access-control-allow-origin" in head.lower()
            changes = 200 <= status < 300 and method not in ("GET", "HEAD") and path != REPORT
            assert not readable and not changes, (method, path, head)


def test_a_form_of_another_page_is_refused(server: Server, routes: list[Route]) -> None:
    cookie = server.log_in()
    for path, method in allowed(routes):
        if method in ("POST", "PUT", "PATCH", "DELETE") and path != REPORT:
            status, _ = server.ask(method, path, cookie, "Content-Type: text/plain", body="x=1")
            assert not 200 <= status < 300, (method, path)


def test_websockets_are_guarded_as_well(server: Server, routes: list[Route]) -> None:
    cookie, own = server.log_in(), f"Origin: http://127.0.0.1:{server.port}"
    sockets = [path for path, handler, _ in routes if "Socket" in handler or "socket" in handler]
    assert len(sockets) >= 3
    for path in sockets:
        for headers in ((own,), (own, "Authorization: token x"), (cookie, EVIL), (cookie, "Origin: null"), (EVIL,)):
            assert server.upgrade(path, *headers) != 101, (path, headers)
        assert server.upgrade(path, cookie, own, host="evil.example") != 101, path
    assert server.upgrade("/api/events/subscribe", cookie, own) == 101  # and the right one is let in


def test_cookies_are_for_this_page_alone(server: Server) -> None:
    server.log_in()
    found = [line for line in server.said.splitlines() if line.startswith("username-")]
    assert found and all("HttpOnly" in line and "samesite=strict" in line.lower() for line in found)


def test_the_checks_catch_a_server_without_guards(notebook_place: Place, routes: list[Route], tmp_path: Path) -> None:
    place, port = notebook_place, free_port()
    notebook(place.root / "src/open.ipynb", OPEN.format(port=port))
    command = [sys.executable, "-m", "bareboat", "run", "--results", str(tmp_path / "open"), "src/open.ipynb"]
    process = subprocess.Popen(command, cwd=place.root, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, env={**os.environ, "BAREBOAT_HOME": str(place.home)})
    bare = Server(process, f"http://127.0.0.1:{port}/lab?token=", tmp_path / "none")
    try:
        end = time.monotonic() + 60
        while not _answers(bare):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        without = [(path, method) for path, method in allowed(routes)
                   if path != "/api/shutdown" and 200 <= bare.ask(method, path)[0] < 300]
        assert len(without) > 10
        assert 200 <= bare.ask("GET", "/api/contents", host="evil.example")[0] < 300
        assert "access-control-allow-origin" in bare.ask("GET", "/api/contents", EVIL)[1].lower()
        assert bare.ask("POST", "/api/contents", "Content-Type: text/plain", body="{}")[0] in range(200, 300) or \
            bare.ask("POST", "/api/terminals", "Content-Type: text/plain")[0] in range(200, 300)
        assert bare.upgrade("/api/events/subscribe", EVIL) == 101
    finally:
        (tmp_path / "open/stop").touch()
        process.communicate(timeout=60)


def _answers(server: Server) -> bool:
    try:
        return server.ask("GET", "/api")[0] == 200
    except OSError:
        return False


def holding(home: Path, secret: bytes) -> list[Path]:
    """The files of a store with these bytes, but for what is named by its digest; others may be at work in it."""
    found = []
    for folder, folders, names in os.walk(home):
        folders[:] = [name for name in folders if name not in ("blobs", "trees") and not name.startswith("tree-")]
        for path in (Path(folder, name) for name in names):
            try:
                if secret in path.read_bytes():
                    found.append(path)
            except OSError:  # gone meanwhile, or a socket
                continue
    return found


def test_the_token_is_nowhere_but_in_the_url(server: Server, notebook_place: Place) -> None:
    assert len(server.token) == 64
    secret = server.token.encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                assert secret not in Path(f"/proc/{pid}/{name}").read_bytes(), (pid, name)
            except OSError:
                continue
    kept = holding(notebook_place.home, secret)
    assert {p.name for p in kept} <= {"token", "open.html"} and all(p.stat().st_mode & 0o77 == 0 for p in kept)
    assert server.token not in server.errors.read_text()


def test_it_stops_and_leaves_nothing(server: Server, notebook_place: Place) -> None:
    place, token, port = notebook_place, server.token, server.port
    assert server.stop() == 0, server.said
    assert holding(place.home, token.encode()) == []
    again = Server.start(place.root, place.home, "--port", str(port))
    try:
        assert again.url and again.token != token and again.ask("GET", "/api/status", server.cookies)[0] == 403
        assert again.ask("GET", "/api/status", f"Authorization: token {token}")[0] == 403
    finally:
        again.stop()
