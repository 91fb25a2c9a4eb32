"""Downloads against a server that misbehaves on purpose, on the loopback."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bareboat.errors import BareboatError, ResolveError
from bareboat.resolve.download import Download, Policy, Progress, fetch, reachable
from bareboat.store import Store
from bareboat.transport import Transport, _bypassed, redacted

DATA = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(DATA).hexdigest()
QUICK = Policy(tries=3, backoff=0.001, env={})


class Server:
    """Answers by a function of (handler, number of this request); keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[Any, int], None] = lambda h, n: whole(h)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                try:
                    outer.answer(self, len(outer.asked))
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def log_message(self, *_: Any) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/demo.whl"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def whole(h: Any, data: bytes = DATA, status: int = 200, **headers: str) -> None:
    h.send_response(status)
    for k, v in headers.items():
        h.send_header(k.replace("_", "-"), v)
    h.send_header("Content-Length", str(len(data)))
    h.end_headers()
    h.wfile.write(data)


def ranged(h: Any, most: int | None = None) -> None:
    """Ranges honoured; at most so many bytes a connection, then it is cut."""
    start = int(h.headers.get("Range", "bytes=0-")[6:-1])
    h.send_response(206 if start else 200)
    if start:
        h.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
    h.send_header("Content-Length", str(len(DATA) - start))
    h.end_headers()
    h.wfile.write(DATA[start : start + (most or len(DATA))])
    h.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    s = Server()
    yield s
    s.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    s = Store.open(tmp_path / "store")
    yield s
    s.close()


def item(server: Server, **fields: Any) -> Download:
    return replace(Download(server.url, SHA, len(DATA), "demo.whl"), **fields)


def refused(store: Store, download: Download, policy: Policy = QUICK) -> BareboatError:
    with pytest.raises(ResolveError) as caught:
        fetch(store, [download], policy=policy)
    assert store.blob(download.sha256) is None
    return caught.value


def leftovers(store: Store) -> list[str]:
    return sorted(p.name for p in (store.home / "tmp").iterdir())


def test_a_file_arrives_once(server: Server, store: Store) -> None:
    seen: list[Progress] = []
    arrived: list[str] = []
    for _ in range(2):
        fetch(store, [item(server)] * 2, seen.append, QUICK, lambda d: arrived.append(d.name))
    blob = store.blob(SHA)
    assert blob is not None and blob.read_bytes() == DATA
    assert len(server.asked) == 1 and not leftovers(store) and len(arrived) >= 2
    assert (seen[-1].done, seen[-1].total) == (len(DATA), len(DATA))


def test_many_in_parallel(server: Server, store: Store) -> None:
    files = {f"/{n}": bytes([n]) * 1000 for n in range(30)}
    server.answer = lambda h, n: whole(h, files[h.path])
    base = server.url.rpartition("/")[0]
    items = [Download(base + p, hashlib.sha256(d).hexdigest(), len(d), p) for p, d in files.items()]
    fetch(store, items, policy=QUICK)
    assert all(store.blob(i.sha256) for i in items)


def test_a_cut_connection_is_resumed(server: Server, store: Store) -> None:
    server.answer = lambda h, n: ranged(h, 300_000)
    fetch(store, [item(server)], policy=QUICK)
    starts = [h.get("range", "") for _, h in server.asked]
    assert len(starts) == 4 and starts[0] == "" and all(s.startswith("bytes=") for s in starts[1:])
    assert store.blob(SHA) and not leftovers(store)


def test_it_goes_on_where_an_earlier_process_stopped(server: Server, store: Store) -> None:
    server.answer = lambda h, n: ranged(h, 300_000) if n == 1 else whole(h, b"", 404)
    assert refused(store, item(server)).code == "download.gone"
    server.answer = lambda h, n: ranged(h)
    fetch(store, [item(server)], policy=QUICK)
    start = int(server.asked[-1][1]["range"][6:-1])
    assert 0 < start <= 300_000 and store.blob(SHA)


def test_a_server_without_ranges_starts_again(server: Server, store: Store) -> None:
    server.answer = lambda h, n: ranged(h, 300_000) if n == 1 else whole(h)
    fetch(store, [item(server)], policy=QUICK)
    assert store.blob(SHA)


def test_another_range_than_asked_for_is_not_used(server: Server, store: Store) -> None:
    def answer(h: Any, n: int) -> None:
        if n == 2:
            whole(h, DATA[10:], 206, Content_Range=f"bytes 10-{len(DATA) - 1}/{len(DATA)}")
        else:
            ranged(h, 300_000 if n == 1 else None)

    server.answer = answer
    fetch(store, [item(server)], policy=QUICK)
    assert store.blob(SHA)


def test_a_stale_partial_file_is_thrown_away(server: Server, store: Store) -> None:
    (store.home / "tmp" / f"partial-{SHA}").write_bytes(b"z" * 1000)
    server.answer = lambda h, n: ranged(h)
    fetch(store, [item(server)], policy=QUICK)
    assert store.blob(SHA) and not leftovers(store)


def test_a_partial_file_whose_maker_died_before_the_last_step(server: Server, store: Store) -> None:
    partial = store.home / "tmp" / f"partial-{SHA}"
    partial.write_bytes(DATA)
    partial.chmod(0o444)  # read-only already, not yet renamed: nobody but root can open it for writing
    fetch(store, [item(server)], policy=QUICK)
    assert store.blob(SHA) and not partial.exists()


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_passing_errors_are_tried_again(server: Server, store: Store, status: int) -> None:
    server.answer = lambda h, n: whole(h, b"", status, Retry_After="0") if n < 3 else whole(h)
    fetch(store, [item(server)], policy=QUICK)
    assert len(server.asked) == 3 and store.blob(SHA)


@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [
        (500, "download.server", 3),
        (404, "download.gone", 1),
        (410, "download.gone", 1),
        (401, "download.denied", 1),
        (403, "download.denied", 1),
        (418, "download.refused", 1),
    ],
)
def test_lasting_errors_have_a_name(server: Server, store: Store, status: int, code: str, tries: int) -> None:
    server.answer = lambda h, n: whole(h, b"no", status)
    error = refused(store, item(server))
    assert error.code == code and "demo.whl" in error.where and len(server.asked) == tries
    assert not leftovers(store)


def test_other_bytes_than_locked(server: Server, store: Store) -> None:
    other = b"y" * len(DATA)
    server.answer = lambda h, n: whole(h, other)
    error = refused(store, item(server))
    assert error.code == "download.digest" and "demo.whl" in error.where and error.hint
    assert SHA in error.what and hashlib.sha256(other).hexdigest() in error.what and not leftovers(store)


def test_more_bytes_than_locked_are_not_taken(server: Server, store: Store) -> None:
    server.answer = lambda h, n: whole(h, DATA + b"x")
    assert refused(store, item(server)).code == "download.size"

    def endless(h: Any, n: int) -> None:
        h.send_response(200)
        h.end_headers()
        h.close_connection = True
        for _ in range(40):
            h.wfile.write(DATA)

    server.answer = endless
    assert refused(store, item(server)).code == "download.size"


def test_a_server_that_always_stops_at_the_same_byte(server: Server, store: Store) -> None:
    def answer(h: Any, n: int) -> None:
        h.send_response(200)
        h.send_header("Content-Length", str(len(DATA)))
        h.end_headers()
        h.wfile.write(DATA[:1000])
        h.close_connection = True

    server.answer = answer
    error = refused(store, item(server))
    assert error.code == "download.truncated" and str(len(DATA)) in error.what


def test_nobody_there(store: Store) -> None:
    error = refused(store, Download("http://127.0.0.1:9/demo.whl", SHA, 5, "demo.whl"))
    assert error.code == "download.offline" and "demo.whl" in error.where


def test_offline_names_what_is_missing(server: Server, store: Store) -> None:
    error = refused(store, item(server), replace(QUICK, offline=True))
    assert error.code == "download.offline" and "demo.whl" in error.where and not server.asked


def test_credentials_go_to_their_own_host_only_and_are_never_shown(server: Server, store: Store) -> None:
    other = Server()
    try:
        server.answer = lambda h, n: whole(h, b"", 302, Location=other.url + "?sig=tok3n")
        secret = server.url.replace("://", "://user:s3cret@")
        other.answer = lambda h, n: whole(h, b"no", 403)
        error = refused(store, item(server, url=secret))
        assert "s3cret" not in str(error) and "tok3n" not in str(error)
        assert server.asked[0][1]["authorization"].startswith("Basic ")
        assert "authorization" not in other.asked[0][1]
        other.answer = lambda h, n: whole(h)
        fetch(store, [item(server, url=secret)], policy=QUICK)
        assert store.blob(SHA)
    finally:
        other.close()


def test_redirects_end(server: Server, store: Store) -> None:
    server.answer = lambda h, n: whole(h, b"", 302, Location="/demo.whl")
    assert refused(store, item(server)).code == "download.redirect"
    server.answer = lambda h, n: whole(h, b"", 302, Location="file:///etc/hostname")
    assert refused(store, item(server)).code == "download.redirect"


def test_local_files(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "ein wheel.whl"
    path.write_bytes(DATA)
    fetch(store, [Download(path.as_uri(), SHA, len(DATA), path.name)], policy=replace(QUICK, offline=True))
    assert store.blob(SHA)
    assert refused(store, Download(str(path), "0" * 64, len(DATA), path.name)).code == "download.digest"
    assert refused(store, Download("/no/such.whl", "1" * 64, 1, "such.whl")).code == "download.gone"


def test_the_deadline(server: Server, store: Store) -> None:
    server.answer = lambda h, n: whole(h, b"", 503, Retry_After="50")
    assert refused(store, item(server), replace(QUICK, deadline=5.0)).code == "download.deadline"


def test_a_proxy_of_the_environment_is_used(server: Server, store: Store) -> None:
    proxied = Download("http://index.example/demo.whl", SHA, len(DATA), "demo.whl")
    proxy = server.url.rpartition("/")[0].replace("://", "://me:pw@")
    fetch(store, [proxied], policy=replace(QUICK, env={"http_proxy": proxy}))
    path, headers = server.asked[0]
    assert path == "http://index.example/demo.whl" and headers["proxy-authorization"].startswith("Basic ")


def test_who_needs_no_proxy() -> None:
    assert _bypassed("a.example", 443, "b.example, .example") and _bypassed("x", None, "*")
    assert _bypassed("a.example", 80, "a.example:80") and not _bypassed("a.example", 81, "a.example:80")
    assert not _bypassed("notexample", 80, "example") and not _bypassed("a", 80, "")


def test_reachable(server: Server) -> None:
    assert reachable(server.url, {}) == ""
    assert reachable("http://127.0.0.1:9/", {}, 0.5)


def test_redacted() -> None:
    assert redacted("https://u:p@h.example:1/a?t=1#f") == "https://h.example:1/a"
    assert Transport({}) is not None
