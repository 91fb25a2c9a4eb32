"""An API server for tests, over real HTTP: objects with versions, lists in pages, watches, patches, Status answers.

What it answers follows kubernetes.io/docs/reference/using-api/api-concepts; the official client is held against it in
tests/engine/kubernetes/test_server.py, so that it is not ours alone that understands it. Faults are put in by fail().
"""

from __future__ import annotations

import copy
import functools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests import kubernetes_exec

Document = dict[str, Any]
KINDS = {"jobs": "Job", "pods": "Pod", "services": "Service", "secrets": "Secret", "configmaps": "ConfigMap",
         "persistentvolumeclaims": "PersistentVolumeClaim", "events": "Event"}
Key = tuple[str, str, str]  # plural, namespace, name


class Answer(Exception):
    """A Status to answer with."""

    def __init__(self, status: int, reason: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}
        self.body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason,
                     "code": status}


@dataclass
class Fault:
    """What happens to the next requests that match, instead of an answer. path: a part of it."""

    method: str
    path: str
    answer: Answer | None  # None: the connection is cut
    times: int = 1
    after: bool = False  # the request is carried out before, and its answer lost


@dataclass
class State:
    """What the server knows."""

    objects: dict[Key, Document] = field(default_factory=dict)
    version: int = 100
    oldest: int = 0  # versions before it are forgotten
    happened: list[tuple[int, str, str, Document]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str] | None = None
    namespaces: set[str] = field(default_factory=lambda: {"default", "team"})
    serial: int = 0


class Server:
    """The server. changed: notified after each change; hold its lock to look at objects."""

    def __init__(self) -> None:
        self.state, self.changed = State(), threading.Condition()
        self.logs: Callable[[Document, dict[str, str]], Iterator[bytes]] = lambda pod, query: iter(())
        self.deleted: Callable[[Key, Document], bool] = lambda key, document: False  # True: it goes later
        self.executed: Callable[[Document], Callable[..., Any]] = lambda pod: subprocess.Popen
        self.protocols, self.cut = kubernetes_exec.PROTOCOLS, False  # cut: lose the connection of each exec
        handler = type("Handler", (_Handler,), {"server_of_tests": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.open = True
        self._thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.open = False
        with self.changed:
            self.changed.notify_all()
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()

    def kubeconfig(self, folder: Path, token: str = "", namespace: str = "team") -> Path:
        """A kubeconfig file for it."""
        user = {"token": token} if token else {}
        file = folder / "kubeconfig"
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url}}], "users": [{"name": "u", "user": user}]}))
        return file

    def fail(self, method: str, path: str, answer: Answer | None, times: int = 1, *, after: bool = False) -> None:
        with self.changed:
            self.state.faults.append(Fault(method, path, answer, times, after))

    def compact(self) -> None:
        """Forget every version up to now."""
        with self.changed:
            self.state.oldest = self.state.version

    def all(self, plural: str) -> list[Document]:
        with self.changed:
            return [copy.deepcopy(d) for key, d in sorted(self.state.objects.items()) if key[0] == plural]

    def names(self) -> list[str]:
        """Everything but claims and events."""
        with self.changed:
            return sorted(f"{p}/{name}" for p, _, name in self.state.objects
                          if p not in ("persistentvolumeclaims", "events"))

    # Changes; the lock is held by the caller or taken here

    def put(self, plural: str, document: Document) -> Document:
        """Create an object as the server does."""
        with self.changed:
            meta = document.setdefault("metadata", {})
            key = plural, meta.setdefault("namespace", "team"), meta["name"]
            if key in self.state.objects:
                raise Answer(409, "AlreadyExists", f'{plural} "{meta["name"]}" already exists')
            self.state.serial += 1
            stamp = time.time()
            meta |= {"uid": f"uid-{self.state.serial}", "creationTimestamp": time.strftime(
                "%Y-%m-%dT%H:%M:%S", time.gmtime(stamp)) + f".{self.state.serial:06}Z"}
            self.state.objects[key] = document
            return self._note("ADDED", plural, document)

    def touch(self, plural: str, document: Document) -> Document:
        """Note that an object was changed."""
        with self.changed:
            return self._note("MODIFIED", plural, document)

    def remove(self, plural: str, document: Document) -> None:
        """Take it away, and what it owns with it."""
        with self.changed:
            meta = document["metadata"]
            if self.state.objects.pop((plural, meta["namespace"], meta["name"]), None) is None:
                return
            self._note("DELETED", plural, document)
            for key, other in list(self.state.objects.items()):
                if any(o["uid"] == meta["uid"] for o in other["metadata"].get("ownerReferences", ())):
                    self.delete(key)

    def delete(self, key: Key) -> None:
        with self.changed:
            document = self.state.objects.get(key)
            if document is not None and not self.deleted(key, document):
                self.remove(key[0], document)

    def _note(self, kind: str, plural: str, document: Document) -> Document:
        self.state.version += 1
        document["metadata"]["resourceVersion"] = str(self.state.version)
        self.state.happened.append((self.state.version, kind, plural, copy.deepcopy(document)))
        self.changed.notify_all()
        return document


def selected(document: Document, query: dict[str, str]) -> bool:
    """By labelSelector and fieldSelector, of the forms that are used."""
    labels = document["metadata"].get("labels") or {}
    wanted = query.get("labelSelector", "")
    if " in (" in wanted:
        name, _, values = wanted.partition(" in (")
        if labels.get(name) not in values.rstrip(")").split(","):
            return False
    else:
        for part in filter(None, wanted.split(",")):
            name, _, value = part.partition("=")
            if labels.get(name) != value:
                return False
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        at: Any = document
        name, _, value = part.partition("=")
        for step in name.rstrip("!").split("."):
            at = (at or {}).get(step)
        if (at != value) == (not name.endswith("!")):
            return False
    return True


def merged(document: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    found = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


@functools.lru_cache(maxsize=1)
def schemas() -> Callable[..., str]:
    """kubernetes_validate.validate, which reads a megabyte of schemas for each document, unless they are kept."""
    from kubernetes_validate import utils, validate

    utils.schema_contents = functools.lru_cache(maxsize=64)(utils.schema_contents)
    return validate


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_tests: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._do()

    do_POST = do_PATCH = do_DELETE = do_GET

    def _do(self) -> None:
        at, server = urlsplit(self.path), self.server_of_tests
        query = dict(parse_qsl(at.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            with server.changed:
                server.state.asked.append((self.command, self.path))
                fault = next((f for f in server.state.faults if f.times and f.method in (self.command, "*")
                              and f.path in self.path), None)
                if fault is not None:
                    fault.times -= 1
            if fault is not None and not fault.after:
                if fault.answer is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                raise fault.answer
            self._known()
            found = self._carried_out(at.path, query, body)
            if fault is not None:
                self.close_connection = True
                self.connection.close()
                return
            if found is not None:
                self._send(200 if self.command != "POST" else 201, found)
        except Answer as answer:
            self._send(answer.status, answer.body, answer.headers)
        except (BrokenPipeError, ConnectionResetError, ValueError, OSError):
            self.close_connection = True  # who asked has gone

    def _known(self) -> None:
        tokens = self.server_of_tests.state.tokens
        if tokens is not None and self.headers.get("Authorization", "").removeprefix("Bearer ") not in tokens:
            raise Answer(401, "Unauthorized", "Unauthorized")

    def _send(self, status: int, document: Document, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)),
                            **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _carried_out(self, path: str, query: dict[str, str], body: bytes) -> Document | None:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        parts = parts[2:] if parts[:2] == ["api", "v1"] else parts[3:] if parts[:3] == ["apis", "batch", "v1"] else []
        if len(parts) < 3 or parts[0] != "namespaces" or parts[2] not in KINDS:
            raise Answer(404, "NotFound", "the server could not find the requested resource")
        namespace, plural, *more = parts[1:]
        server, state = self.server_of_tests, self.server_of_tests.state
        if not more:
            if self.command == "POST":
                return self._create(namespace, plural, json.loads(body))
            if query.get("watch"):
                self._watch(namespace, plural, query)
                return None
            return self._list(namespace, plural, query)
        key = plural, namespace, more[0]
        with server.changed:
            found = state.objects.get(key)
            if found is None:
                raise Answer(404, "NotFound", f'{plural} "{more[0]}" not found')
            if more[1:] not in (["log"], ["exec"]):
                return self._one(key, found, body)
        if more[1] == "exec":
            self._exec(found)
        else:
            self._log(found, query)
        return None

    def _one(self, key: Key, found: Document, body: bytes) -> Document:
        server = self.server_of_tests
        if self.command == "GET":
            return copy.deepcopy(found)
        if self.command == "DELETE":
            server.delete(key)
            return {"kind": "Status", "status": "Success"}
        assert self.headers["Content-Type"] == "application/merge-patch+json"
        patch = json.loads(body)
        version = (patch.get("metadata") or {}).pop("resourceVersion", None)
        if version is not None and version != found["metadata"]["resourceVersion"]:
            raise Answer(409, "Conflict", "the object has been modified; please apply your changes to the latest")
        new = merged(found, patch)
        if key[0] == "jobs":
            for name in ("completions", "completionMode", "template", "podFailurePolicy", "backoffLimitPerIndex"):
                if new["spec"].get(name) != found["spec"].get(name):
                    raise Answer(422, "Invalid", f"spec.{name}: field is immutable")
        found.clear()
        found |= new
        return copy.deepcopy(server.touch(key[0], found))

    def _create(self, namespace: str, plural: str, document: Document) -> Document:
        from kubernetes_validate import ValidationError

        if namespace not in self.server_of_tests.state.namespaces:
            raise Answer(404, "NotFound", f'namespaces "{namespace}" not found')
        if (document.get("metadata") or {}).get("namespace", namespace) != namespace:
            raise Answer(400, "BadRequest", "the namespace of the object does not match the request's")
        try:
            schemas()(document, "1.37", strict=True)
        except ValidationError as error:
            raise Answer(422, "Invalid", str(error.message)) from None
        if sum(len(str(v)) for v in (document.get("data") or {}).values()) > 1 << 20:
            raise Answer(422, "Invalid", "ConfigMap is invalid: []: Too long: must have at most 1048576 bytes")
        document["metadata"]["namespace"] = namespace
        return copy.deepcopy(self.server_of_tests.put(plural, document))

    def _list(self, namespace: str, plural: str, query: dict[str, str]) -> Document:
        server = self.server_of_tests
        with server.changed:
            after, version = "", server.state.version
            if query.get("continue"):
                version_text, _, after = query["continue"].partition("/")
                version = int(version_text)
                if version < server.state.oldest:
                    raise Answer(410, "Expired", "The provided continue parameter is too old")
            all_of_them = [d for (p, ns, name), d in sorted(server.state.objects.items())
                           if p == plural and ns == namespace and name > after and selected(d, query)]
            most = int(query.get("limit") or len(all_of_them) or 1)
            page = copy.deepcopy(all_of_them[:most])
        meta = {"resourceVersion": str(version)}
        if len(all_of_them) > most:
            meta["continue"] = f"{version}/{page[-1]['metadata']['name']}"
        return {"kind": f"{KINDS[plural]}List", "apiVersion": "batch/v1" if plural == "jobs" else "v1",
                "metadata": meta, "items": page}

    def _watch(self, namespace: str, plural: str, query: dict[str, str]) -> None:
        server, seen = self.server_of_tests, int(query.get("resourceVersion") or 0)
        end = time.monotonic() + float(query.get("timeoutSeconds") or 30)
        with server.changed:
            if seen < server.state.oldest:
                raise Answer(410, "Expired", f"too old resource version: {seen} ({server.state.version})")
        self._chunked()
        while server.open:
            with server.changed:
                if seen < server.state.oldest:
                    self._chunk(json.dumps({"type": "ERROR", "object": Answer(
                        410, "Expired", "too old resource version").body}).encode() + b"\n")
                    break
                events = [e for e in server.state.happened if e[0] > seen]
                if not events and not server.changed.wait(min(max(end - time.monotonic(), 0.0), 0.2)) and (
                        time.monotonic() >= end):
                    break
            for version, kind, of, document in events:
                seen = version
                if of == plural and document["metadata"]["namespace"] == namespace and selected(document, query):
                    self._chunk(json.dumps({"type": kind, "object": document}).encode() + b"\n")
        self._chunk(b"")

    def _log(self, pod: Document, query: dict[str, str]) -> None:
        lines = self.server_of_tests.logs(pod, query)
        first = next(lines, b"")  # raises an Answer where there is no log
        self._chunked()
        if first:
            self._chunk(first)
        for line in lines:
            self._chunk(line)
        self._chunk(b"")

    def _exec(self, pod: Document) -> None:
        if self.headers.get("Upgrade") != "websocket":
            raise Answer(400, "BadRequest", "Upgrade request required")
        start = self.server_of_tests.executed(pod)  # raises an Answer where nothing runs
        protocol, headers = kubernetes_exec.answer(self.headers, self.server_of_tests.protocols)
        if not protocol:
            raise Answer(400, "BadRequest", "no supported protocol")
        self.send_response(101)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        connection = kubernetes_exec.Socket(self.connection, self.rfile, protocol)
        kubernetes_exec.serve(connection, parse_qsl(urlsplit(self.path).query), start,
                              self.server_of_tests.cut)

    def _chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()
