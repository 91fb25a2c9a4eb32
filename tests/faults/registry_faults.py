"""Forty-six ways in which a registry, or what stands between, goes wrong. Each is put into the one request that an
operation is about ("main"), always or the first time.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

from tests.registry_kit import Registry, Reply, Request, Server, problem

CANARY = "canary-pAssw0rd-41d7a2"
DRIP = 0.05  # seconds between two bytes
BOMB = gzip.compress(bytes(40 << 20))


class Elsewhere(Server):
    """Another host: it has what the registry has, and must never see a password or token of the registry's."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        super().__init__()

    def answer(self, request: Request) -> Reply:
        if request.path == "/token":
            return Reply(200, {}, b'{"token": "stolen"}')
        with self.registry.lock:
            return self.registry.route(request)


@dataclass
class Cell:
    """One fault in one operation. main: whether a request is the one that the operation is about."""

    registry: Registry
    elsewhere: Elsewhere
    main: Callable[[Request], bool]
    fired: int = 0
    held: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """before: instead of an answer; True when it wrote one itself. after: what becomes of the answer. once: only the
    first time. recovers: whether the client must get over it, where it is met; None for either.
    """

    name: str
    after: Callable[[Cell, Request, Reply], Reply] | None = None
    before: Callable[[Cell, Any, Request], bool] | None = None
    once: bool = False
    recovers: bool | None = None
    tls: bool = False
    logged_in: bool = False  # only where the request brings a token

    def into(self, cell: Cell) -> None:
        """Put it into a registry."""

        def meets(request: Request) -> bool:
            if not cell.main(request) or (self.once and cell.fired):
                return False
            if self.logged_in and "authorization" not in request.headers:
                return False
            cell.fired += 1
            return True

        def before(handler: Any, request: Request) -> bool:
            assert self.before is not None
            return meets(request) and self.before(cell, handler, request)

        def after(request: Request, reply: Reply) -> Reply:
            assert self.after is not None
            # what is asked without a token yet is answered as ever: the fault is in the answer that counts
            if reply.status == 401 or not meets(request):
                return reply
            return self.after(cell, request, reply)

        if self.before is not None:
            cell.registry.before = before
        if self.after is not None:
            cell.registry.after = after


Before = Callable[[Cell, Any, Request], bool]


def status(number: int, **headers: str) -> Before:
    """A status instead of doing what was asked."""
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return says(lambda cell, request: problem(number, "FAULT", named))


def says(reply: Callable[[Cell, Request], Reply]) -> Before:
    def before(cell: Cell, handler: Any, request: Request) -> bool:
        request.body = cell.registry.body(handler, request)
        cell.registry.send(handler, request, reply(cell, request))
        return True

    return before


def too_many(cell: Cell, request: Request) -> Reply:
    return problem(429, "TOOMANYREQUESTS", {"Retry-After": formatdate(time.time() + 1, usegmt=True)})


def refused(cell: Cell, request: Request) -> Reply:
    return problem(401, "UNAUTHORIZED", {
        "WWW-Authenticate": f'Bearer realm="{cell.registry.url}/token",service="ours",scope="repository:lab/x:pull"'})


def closed(cell: Cell, handler: Any, request: Request) -> bool:
    handler.close_connection = True
    return True


def half_a_head(cell: Cell, request: Request, reply: Reply) -> Reply:
    return Reply(0, raw=b"HTTP/1.1 200 OK\r\nContent-Le")


def cut(cell: Cell, handler: Any, request: Request) -> bool:
    """The body ends too early: ours to the registry, or the registry's to us. Another byte each time."""
    if request.method in ("PUT", "PATCH"):
        length = int(request.headers.get("content-length") or 0)
        keep = min(length // 2, 20_011)
        while len(request.body) < keep:
            piece = handler.rfile.read1(min(4096, keep - len(request.body)))
            if not piece:
                break
            request.body += piece
        if "/uploads/" in request.path:
            with cell.registry.lock:
                cell.registry.partly(request)
    else:
        request.body = cell.registry.body(handler, request)
        with cell.registry.lock:
            reply = cell.registry.answer(request)
        head = f"HTTP/1.1 {reply.status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in {
            "Content-Length": str(len(reply.body)), **reply.headers}.items())
        keep = 70_003 if len(reply.body) > 10_000 else len(reply.body) // 2
        handler.wfile.write(head.encode() + b"\r\n" + reply.body[:keep])
    handler.close_connection = True
    return True


def length(by: int) -> Callable[[Cell, Request, Reply], Reply]:
    def changed(cell: Cell, request: Request, reply: Reply) -> Reply:
        body = reply.body if request.method != "HEAD" else b""
        size = max(len(reply.body) + by, 0)
        head = {**reply.headers, "Content-Length": str(size)}
        lines = "".join(f"{k}: {v}\r\n" for k, v in head.items())
        return Reply(0, raw=f"HTTP/1.1 {reply.status} X\r\n{lines}\r\n".encode() + body)

    return changed


def flipped(cell: Cell, request: Request, reply: Reply) -> Reply:
    return replace(reply, body=bytes([reply.body[0] ^ 1]) + reply.body[1:]) if reply.body else reply


def header(name: str, value: str) -> Callable[[Cell, Request, Reply], Reply]:
    return lambda cell, request, reply: replace(reply, headers={**reply.headers, name: value})


def other_range(cell: Cell, request: Request, reply: Reply) -> Reply:
    """Other bytes than were asked for; on an upload, more than were sent."""
    if request.method in ("PUT", "PATCH", "POST"):
        return replace(reply, headers={**reply.headers, "Range": "0-99999999"})
    return Reply(206, {**reply.headers, "Content-Range": f"bytes 3-{len(reply.body) + 2}/{len(reply.body) + 3}",
                       "Content-Length": str(len(reply.body))}, reply.body)


def unsatisfied(cell: Cell, request: Request, reply: Reply) -> Reply:
    if request.method in ("PUT", "PATCH"):
        return problem(416, "RANGE_INVALID")
    return Reply(416, {"Content-Range": "bytes */3"}) if request.headers.get("range") else reply


def drip(cell: Cell, handler: Any, request: Request) -> bool:
    """The right answer, a byte now and then; of one without a body, the head."""
    request.body = cell.registry.body(handler, request)
    with cell.registry.lock:
        reply = cell.registry.answer(request)
    body = reply.body if request.method != "HEAD" else b""
    head = {"Content-Length": str(len(reply.body)), **reply.headers}
    lines = "".join(f"{k}: {v}\r\n" for k, v in head.items())
    handler.wfile.write(f"HTTP/1.1 {reply.status} X\r\n{lines}".encode() + (b"\r\n" if body else b"X-Endless: "))
    for n in range(1 << 30):
        if cell.registry.stop.wait(DRIP):
            break
        handler.wfile.write(body[n:n + 1] if body else b"x")
    return True


def drip_head(cell: Cell, handler: Any, request: Request) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    while not cell.registry.stop.wait(DRIP):
        handler.wfile.write(b"x")
    return True


def silence(cell: Cell, handler: Any, request: Request) -> bool:
    cell.registry.stop.wait(60)
    handler.close_connection = True
    return True


def redirect(url: Callable[[Cell, Request], str], number: int = 307) -> Before:
    return says(lambda cell, request: Reply(number, {"Location": url(cell, request)}))


def expired(cell: Cell, handler: Any, request: Request) -> bool:
    """Every token that was given is worth nothing from now on."""
    cell.registry.tokens.clear()
    return False


def thief(cell: Cell, handler: Any, request: Request) -> bool:
    port = cell.elsewhere.http.server_port
    cell.registry.body(handler, request)
    cell.registry.send(handler, request, problem(401, "UNAUTHORIZED", {
        "WWW-Authenticate": f'Bearer realm="http://localhost:{port}/token",service="ours"'}))
    return True


def thief_in_the_address(cell: Cell, handler: Any, request: Request) -> bool:
    host = cell.registry.host
    cell.registry.body(handler, request)
    cell.registry.send(handler, request, problem(401, "UNAUTHORIZED", {
        "WWW-Authenticate": f'Bearer realm="http://{host}@localhost:{cell.elsewhere.http.server_port}/token"'}))
    return True


def quoting(cell: Cell, request: Request) -> Reply:
    said = request.headers.get("authorization", "")
    body = json.dumps({"errors": [{"code": "DENIED", "message": f"{said} is {CANARY} \x1b[31m"}]}).encode()
    return Reply(400, {"Content-Type": "application/json"}, body)


def document(data: Callable[[Cell], bytes]) -> Callable[[Cell, Request, Reply], Reply]:
    """Another document, with the right digest of its own beside it."""

    def changed(cell: Cell, request: Request, reply: Reply) -> Reply:
        if reply.status >= 300 or request.method not in ("GET", "HEAD"):
            return reply
        body = data(cell)
        return Reply(reply.status, {**reply.headers, "Content-Length": str(len(body)),
                                    "Docker-Content-Digest": "sha256:" + hashlib.sha256(body).hexdigest()}, body)

    return changed


def confused(cell: Cell) -> bytes:
    row = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "1" * 64, "size": 3}
    return json.dumps({"schemaVersion": 2, "config": row, "layers": [row], "manifests": [row], "tags": 3}).encode()


def traversing(cell: Cell) -> bytes:
    row = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:../../../../etc/passwd",
           "size": 3}
    return json.dumps({"schemaVersion": 2, "config": row, "layers": [row], "tags": ["../../etc/passwd"]}).encode()


def endless(cell: Cell, handler: Any, request: Request) -> bool:
    """No length, and no end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n"
                        b"Connection: close\r\n\r\n")
    for _ in range(400):
        if cell.registry.stop.is_set():
            break
        handler.wfile.write(b" " * 65536)
    handler.close_connection = True
    return True


def bomb(cell: Cell, request: Request, reply: Reply) -> Reply:
    """40 MiB of zeros, if anybody unpacks what nobody asked to be packed."""
    if request.method in ("PUT", "PATCH", "POST", "HEAD"):
        return reply
    return Reply(200, {**reply.headers, "Content-Encoding": "gzip", "Content-Length": str(len(BOMB))}, BOMB)


def foreign(cell: Cell) -> bytes:
    row = {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": "sha256:" + "2" * 64,
           "size": 3, "urls": [f"{cell.elsewhere.url}/layer", f"http://user:{CANARY}@localhost/layer"]}
    return json.dumps({"schemaVersion": 2, "config": row, "layers": [row]}).encode()


def accepted(cell: Cell, request: Request, reply: Reply) -> Reply:
    """202, and an upload that goes on at a place without scheme and host."""
    if request.method != "POST":
        return replace(reply, headers={**reply.headers, "Location": reply.headers.get("Location", "x").replace(
            cell.registry.url, "")})
    name = request.path.removeprefix("/v2/").partition("/blobs/")[0]
    with cell.registry.lock:
        cell.registry.uploads["mine"] = name, bytearray()
        return cell.registry.status(202, name, "mine")


def upload_elsewhere(cell: Cell, request: Request, reply: Reply) -> Reply:
    place = reply.headers.get("Location", "")
    if "/uploads/" not in place:
        return reply
    return replace(reply, headers={**reply.headers, "Location": cell.elsewhere.url + place})


def circle(cell: Cell, request: Request, reply: Reply) -> Reply:
    return replace(reply, headers={**reply.headers, "Link": f'<{request.target}>; rel="next"'})


def next_elsewhere(cell: Cell, request: Request, reply: Reply) -> Reply:
    return replace(reply, headers={**reply.headers, "Link": f'<{cell.elsewhere.url}{request.target}>; rel="next"'})


def long_header(cell: Cell, request: Request, reply: Reply) -> Reply:
    return Reply(0, raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n")


FAULTS = (
    Fault("400", before=status(400), logged_in=True),
    Fault("401 for good", before=says(refused)),
    Fault("403", before=status(403), logged_in=True),
    Fault("404", before=status(404), logged_in=True),
    Fault("429 with seconds, once", before=status(429, Retry_After="1"), once=True, recovers=True),
    Fault("429 with a date, once", before=says(too_many), once=True, recovers=True),
    Fault("429 without, once", before=status(429), once=True, recovers=True),
    Fault("429 for an hour", before=status(429, Retry_After="3600"), recovers=False),
    Fault("500 for good", before=status(500), recovers=False),
    Fault("502, once", before=status(502), once=True, recovers=True),
    Fault("503 with seconds, once", before=status(503, Retry_After="1"), once=True, recovers=True),
    Fault("closed without an answer, once", before=closed, once=True, recovers=True),
    Fault("half a head, once", half_a_head, once=True, recovers=True),
    Fault("body cut, once", before=cut, once=True, recovers=True),
    Fault("body cut, every time", before=cut),
    Fault("length too long", length(100)),
    Fault("length too short", length(-100)),
    Fault("another byte in the body", flipped),
    Fault("another digest in the header", header("Docker-Content-Digest", "sha256:" + "0" * 64)),
    Fault("a path for a digest", header("Docker-Content-Digest", "sha256:../../../etc/passwd")),
    Fault("another range", other_range),
    Fault("416", unsatisfied),
    Fault("slow drip, once", before=drip, once=True, recovers=True),
    Fault("slow drip of a head, for ever", before=drip_head, recovers=False),
    Fault("silence, once", before=silence, once=True, recovers=True),
    Fault("redirect to another host", logged_in=True, before=redirect(lambda cell, r: cell.elsewhere.url + r.target)),
    Fault("redirect in a circle", logged_in=True, recovers=False,
          before=redirect(lambda cell, r: cell.registry.url + r.target)),
    Fault("redirect with a login in it", logged_in=True, before=redirect(
        lambda cell, r: cell.elsewhere.url.replace("://", "://user:pw@") + r.target), recovers=False),
    Fault("redirect to a file", logged_in=True, before=redirect(lambda cell, r: "file:///etc/passwd"), recovers=False),
    Fault("tokens run out in the middle", before=expired, once=True, recovers=True),
    Fault("a token server elsewhere", before=thief, recovers=False),
    Fault("a token server that only looks like ours", before=thief_in_the_address, recovers=False),
    Fault("an error that quotes what we sent", before=says(quoting), logged_in=True),
    Fault("half a JSON document", document(lambda cell: b'{"schemaVersion": 2, "tags": [')),
    Fault("a key twice", document(lambda cell: b'{"schemaVersion": 2, "tags": ["1"], "tags": ["2"], "layers": []}')),
    Fault("manifest and index at once", document(confused)),
    Fault("digests and tags that are paths", document(traversing)),
    Fault("an answer without end", before=endless),
    Fault("a bomb as Content-Encoding", bomb),
    Fault("foreign layers with urls", document(foreign)),
    Fault("202 on a mount, a relative Location", accepted),
    Fault("an upload that goes on elsewhere", upload_elsewhere),
    Fault("pages in a circle", circle),
    Fault("the next page elsewhere", next_elsewhere),
    Fault("a header of 300 kB", long_header),
    Fault("a certificate nobody signed", tls=True, recovers=False),
)  # fmt: skip
