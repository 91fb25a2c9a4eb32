"""A registry of ours on the loopback (distribution-spec 1.1), for tests: strict in what it takes, with switches for
what registries do differently, and a seam where faults are put in. Everything it was asked is kept.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
_ROUTE = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.*)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass
class Request:
    """What was asked. body: what of it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    target: str = ""
    allowed: set[str] = field(default_factory=set)


@dataclass
class Reply:
    """What is answered. raw: written as it is instead, and the connection closed."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None


@dataclass
class Switches:
    """What registries do differently. auth: "", "basic" or "bearer"; life: of a token, in seconds."""

    referrers: bool = True
    filters: bool = True
    mounts: bool = True
    ranges: bool = True
    digest_header: bool = True
    head: bool = True
    relative: bool = True
    chunk_status: int = 202
    chunk_least: int = 0
    put_most: int = 0  # a PUT with a larger body is 413
    page: int = 0
    auth: str = ""
    user: str = "user"
    password: str = "password"
    anonymous: bool = False
    identity: str = ""
    life: int = 300
    realm: str = ""


@dataclass
class Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class Server:
    """An HTTP server that gives every request to answer(); close() at the end."""

    def __init__(self, certificate: str = "") -> None:
        self.log: list[Request] = []
        self.stop = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (OSError, ValueError):
                    self.close_connection = True

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.work
                raise AttributeError(name)

            def work(self) -> None:
                parts = urlsplit(self.path)
                query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
                request = Request(self.command, unquote(parts.path), query,
                                  {k.lower(): v for k, v in self.headers.items()}, target=self.path)
                outer.log.append(request)
                outer.serve(self, request)

            def log_message(self, *_: Any) -> None:
                pass

        class Http(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: Any) -> None:
                pass

        self.http = Http(("127.0.0.1", 0), Handler)
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.host = f"127.0.0.1:{self.http.server_port}"
        self.url = f"{self.scheme}://{self.host}"

    def serve(self, handler: Any, request: Request) -> None:
        request.body = self.body(handler, request)
        self.send(handler, request, self.answer(request))

    def body(self, handler: Any, request: Request) -> bytes:
        length = int(request.headers.get("content-length") or 0)
        data = bytearray()
        while len(data) < length:
            piece = handler.rfile.read1(min(65536, length - len(data)))
            if not piece:
                handler.close_connection = True
                break
            data += piece
        return bytes(data)

    def send(self, handler: Any, request: Request, reply: Reply) -> None:
        if reply.raw is not None:
            handler.wfile.write(reply.raw)
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        headers = dict(reply.headers)
        headers.setdefault("Content-Length", str(len(reply.body)))
        for name, value in headers.items():
            if value != "":
                handler.send_header(name, value)
        handler.end_headers()
        if request.method != "HEAD" and reply.status not in (204, 304):
            handler.wfile.write(reply.body)

    def answer(self, request: Request) -> Reply:
        return Reply(404)

    def close(self) -> None:
        self.stop.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class Registry(Server):
    """A registry. before(handler, request) → True when it answered itself; after(request, reply) → what is sent."""

    def __init__(self, switches: Switches | None = None, certificate: str = "") -> None:
        self.switches = switches or Switches()
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, tuple[str, bytearray]] = {}
        self.tokens: dict[str, tuple[float, set[str]]] = {}
        self.before: Callable[[Any, Request], bool] = lambda handler, request: False
        self.after: Callable[[Request, Reply], Reply] = lambda request, reply: reply
        self.count = 0
        self.lock = threading.RLock()
        super().__init__(certificate)

    def repository(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository())

    def serve(self, handler: Any, request: Request) -> None:
        if self.before(handler, request):
            return
        request.body = self.body(handler, request)
        with self.lock:
            if len(request.body) < int(request.headers.get("content-length") or 0):
                self.partly(request)
                return
            reply = self.answer(request)
        self.send(handler, request, self.after(request, reply))

    def partly(self, request: Request) -> None:
        """Keep what arrived of a body that was cut, as registries do."""
        found = self.uploads.get(request.path.rpartition("/")[2])
        if found is not None and request.method in ("PUT", "PATCH"):
            found[1].extend(request.body)

    def answer(self, request: Request) -> Reply:
        if request.path == "/token":
            return self.token(request)
        return self.refused(request) or self.route(request)

    def route(self, request: Request) -> Reply:
        """The answer to who may ask."""
        if request.path == "/v2/":
            return Reply(200, {"Docker-Distribution-Api-Version": "registry/2.0"}, b"{}")
        route = _ROUTE.fullmatch(request.path)
        if not route:
            return problem(404, "NAME_INVALID")
        name, rest = route["name"], route["rest"]
        if route["kind"] == "manifests":
            return self.manifests(request, name, rest)
        if route["kind"] == "tags":
            return self.tags(request, name)
        if route["kind"] == "referrers":
            return self.referrers(request, name, rest)
        if rest.startswith("uploads/"):
            return self.upload(request, name, rest.removeprefix("uploads/"))
        return self.blob(request, name, rest)

    def scopes(self, request: Request) -> set[str]:
        route = _ROUTE.fullmatch(request.path)
        if not route:
            return set()
        wanted = {f"repository:{route['name']}:pull"}
        if request.method not in ("GET", "HEAD") or "/uploads/" in request.path:
            wanted.add(f"repository:{route['name']}:push")
        if "from" in request.query and self.switches.mounts:
            wanted.add(f"repository:{request.query['from']}:pull")
        return wanted

    def refused(self, request: Request) -> Reply | None:
        said = request.headers.get("authorization", "")
        s = self.switches
        if s.auth == "basic":
            good = "Basic " + base64.b64encode(f"{s.user}:{s.password}".encode()).decode()
            return None if said == good else problem(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="ours"'})
        if s.auth == "bearer":
            until, request.allowed = self.tokens.get(said.removeprefix("Bearer "), (0.0, set()))
            wanted = self.scopes(request)
            needed = wanted - {f"repository:{request.query.get('from', '')}:pull"}
            if time.monotonic() < until and needed <= request.allowed:
                return None
            scope = " ".join(sorted(_joined(wanted)))
            realm = s.realm or f"{self.url}/token"
            header = f'Bearer realm="{realm}",service="ours"' + (f',scope="{scope}"' if scope else "")
            return problem(401, "UNAUTHORIZED", {"WWW-Authenticate": header})
        return None

    def token(self, request: Request) -> Reply:
        s = self.switches
        said = request.headers.get("authorization", "")
        good = "Basic " + base64.b64encode(f"{s.user}:{s.password}".encode()).decode()
        if request.method == "POST":
            form = {k: v[-1] for k, v in parse_qs(request.body.decode()).items()}
            if form.get("grant_type") != "refresh_token" or not s.identity or form.get("refresh_token") != s.identity:
                return problem(401, "UNAUTHORIZED")
            asked = form.get("scope", "").split()
        elif said == good or (not said and s.anonymous):
            asked = parse_qs(urlsplit(request.target).query).get("scope", [])
        else:
            return problem(401, "UNAUTHORIZED")
        allowed = set()
        for scope in asked:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed |= {f"{kind}:{name}:{action}" for action in actions.split(",")
                        if said or request.method == "POST" or action == "pull"}
        self.count += 1
        token = f"token-{self.count}-{hashlib.sha256(str(self.count).encode()).hexdigest()[:20]}"
        self.tokens[token] = time.monotonic() + s.life, allowed
        return Reply(200, {"Content-Type": "application/json"},
                     json.dumps({"token": token, "expires_in": s.life}).encode())

    def manifests(self, request: Request, name: str, reference: str) -> Reply:
        there = self.repository(name)
        if request.method in ("GET", "HEAD"):
            digest = there.tags.get(reference, reference)
            if digest not in there.manifests:
                return problem(404, "MANIFEST_UNKNOWN")
            if request.method == "HEAD" and not self.switches.head:
                return Reply(405)
            media_type, data = there.manifests[digest]
            headers = {"Content-Type": media_type}
            if self.switches.digest_header:
                headers["Docker-Content-Digest"] = digest
            return Reply(200, {**headers, "Content-Length": str(len(data))}, data)
        if request.method != "PUT":
            return Reply(405)
        digest = "sha256:" + hashlib.sha256(request.body).hexdigest()
        if _DIGEST.fullmatch(reference):
            algorithm, _, hexed = reference.partition(":")
            if hashlib.new(algorithm, request.body).hexdigest() != hexed:
                return problem(400, "DIGEST_INVALID")
            digest = reference
        doc = json.loads(request.body)
        if doc.get("mediaType") not in (None, request.headers.get("content-type")):
            return problem(400, "MANIFEST_INVALID")
        for row in [doc.get("config"), *(doc.get("layers") or [])]:
            if row and row["digest"] not in there.blobs:
                return problem(404, "MANIFEST_BLOB_UNKNOWN")
        there.manifests[digest] = request.headers["content-type"], request.body
        if not _DIGEST.fullmatch(reference):
            there.tags[reference] = digest
        headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest}
        if doc.get("subject") and self.switches.referrers:
            headers["OCI-Subject"] = doc["subject"]["digest"]
        return Reply(201, headers)

    def tags(self, request: Request, name: str) -> Reply:
        if name not in self.repositories:
            return problem(404, "NAME_UNKNOWN")
        tags = sorted(t for t in self.repository(name).tags if t > request.query.get("last", ""))
        page = min(int(request.query.get("n") or 10**9), self.switches.page or 10**9)
        headers = {"Content-Type": "application/json"}
        if len(tags) > page:
            headers["Link"] = f'</v2/{name}/tags/list?n={page}&last={quote(tags[page - 1])}>; rel="next"'
        return Reply(200, headers, json.dumps({"name": name, "tags": tags[:page]}).encode())

    def referrers(self, request: Request, name: str, digest: str) -> Reply:
        if not self.switches.referrers:
            return Reply(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
        rows = []
        for found, (media_type, data) in self.repository(name).manifests.items():
            doc = json.loads(data)
            if (doc.get("subject") or {}).get("digest") != digest:
                continue
            kind = doc.get("artifactType") or (doc.get("config") or {}).get("mediaType", "")
            rows.append({"mediaType": media_type, "digest": found, "size": len(data), "artifactType": kind,
                         "annotations": doc.get("annotations") or {}})
        headers = {"Content-Type": INDEX}
        wanted = request.query.get("artifactType")
        if wanted and self.switches.filters:
            rows = [row for row in rows if row["artifactType"] == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        start, page = int(request.query.get("at") or 0), self.switches.page or 10**9
        if len(rows) > start + page:
            headers["Link"] = f'</v2/{name}/referrers/{digest}?at={start + page}>; rel="next"'
        return Reply(200, headers, json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                                               "manifests": rows[start:start + page]}).encode())

    def blob(self, request: Request, name: str, digest: str) -> Reply:
        data = self.repository(name).blobs.get(digest)
        if data is None:
            return problem(404, "BLOB_UNKNOWN")
        headers = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        said = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if said and self.switches.ranges and request.method == "GET":
            start, end = int(said[1]), int(said[2] or len(data) - 1)
            if start >= len(data):
                return Reply(416, {"Content-Range": f"bytes */{len(data)}"})
            return Reply(206, {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"}, data[start:end + 1])
        return Reply(200, {**headers, "Content-Length": str(len(data))}, data)

    def upload(self, request: Request, name: str, session: str) -> Reply:
        there, s = self.repository(name), self.switches
        if request.method == "POST" and not session:
            digest = request.query.get("mount", "")
            source = self.repositories.get(request.query.get("from", ""))
            if s.auth == "bearer" and f"repository:{request.query.get('from', '')}:pull" not in request.allowed:
                source = None
            if s.mounts and source and digest in source.blobs:
                there.blobs[digest] = source.blobs[digest]
                return Reply(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})
            self.count += 1
            session = f"upload-{self.count}"
            self.uploads[session] = name, bytearray()
            return self.status(202, name, session)
        if session not in self.uploads or self.uploads[session][0] != name or request.query.get("state") != "s=1&x":
            return problem(404, "BLOB_UPLOAD_UNKNOWN")
        held = self.uploads[session][1]
        if request.method == "GET":
            return self.status(204, name, session)
        said = re.fullmatch(r"(\d+)-(\d+)", request.headers.get("content-range", ""))
        if request.method in ("PATCH", "PUT") and said and (
                int(said[1]) != len(held) or int(said[2]) - int(said[1]) + 1 != len(request.body)):
            return self.status(416, name, session)
        if s.put_most and len(request.body) > s.put_most:
            return Reply(413)
        if request.method == "PATCH":
            held += request.body
            return self.status(s.chunk_status, name, session)
        if request.method == "PUT":
            held += request.body
            digest = request.query.get("digest", "")
            algorithm, _, hexed = digest.partition(":")
            del self.uploads[session]
            if not _DIGEST.fullmatch(digest) or hashlib.new(algorithm, held).hexdigest() != hexed:
                return problem(400, "DIGEST_INVALID")
            there.blobs[digest] = bytes(held)
            return Reply(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})
        return Reply(405)

    def status(self, status: int, name: str, session: str) -> Reply:
        held = self.uploads[session][1]
        place = f"/v2/{name}/blobs/uploads/{session}?state=s%3D1%26x"
        headers = {"Location": place if self.switches.relative else self.url + place,
                   "Range": f"0-{max(len(held) - 1, 0)}", "Docker-Upload-UUID": session}
        if self.switches.chunk_least:
            headers["OCI-Chunk-Min-Length"] = str(self.switches.chunk_least)
        return Reply(status, headers)


def _joined(scopes: set[str]) -> set[str]:
    by_name: dict[str, list[str]] = {}
    for scope in sorted(scopes):
        name, _, action = scope.rpartition(":")
        by_name.setdefault(name, []).append(action)
    return {f"{name}:{','.join(actions)}" for name, actions in by_name.items()}


def problem(status: int, code: str, headers: dict[str, str] | None = None) -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, body)
