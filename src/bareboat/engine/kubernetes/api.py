"""Requests to an API server: logins that are renewed, Retry-After that is kept, pages, watches; JSON in and out.

Follows kubernetes.io/docs/reference/using-api/api-concepts. Why not by the official client: decision 0181.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

from bareboat.engine.kubernetes.kubeconfig import Access, Login, login
from bareboat.errors import BareboatError, EngineError
from bareboat.transport import Timeouts, Tls, Transport, reason, redacted, retry_after
from bareboat.values import Any, cast, dataclass

PATIENCE = 60.0  # seconds that a busy or absent server is waited for in all
PAGE = 500
RESTARTS = 3  # of a list whose pages went stale while it was read
_BUSY = (429, 500, 502, 503, 504)

Document = dict[str, Any]


class Refused(EngineError):
    """The server answered, and the answer is no. status: of HTTP; kind: the Status object's reason, "AlreadyExists".
    """

    def __init__(self, status: int, kind: str, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__("kubernetes.refused", what, where=where, hint=hint)
        self.status, self.kind = status, kind


class Gone(Exception):
    """A resourceVersion that the server no longer knows (410): list again."""


@dataclass(frozen=True)
class Clock:
    """Time, as it is waited for."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Call:
    """A request. path: below the server, from "/api"; query; body: a document; stream: the answer is not JSON."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Document | None = None
    kind: str = "application/json"


class Api:
    """The API of one cluster, as one user. Raises Refused; EngineError "kubernetes.unreachable" where no answer came in
    time, "kubernetes.login" where the login is not taken.
    """

    def __init__(self, of: Access, env: Mapping[str, str], clock: Clock | None = None) -> None:
        self.access, self._clock, self._env = of, clock or Clock(), dict(env)
        self._login: Login | None = None
        self._transport: Transport | None = None
        if of.proxy:
            self._env = {**self._env, "https_proxy": of.proxy, "http_proxy": of.proxy, "no_proxy": "", "NO_PROXY": ""}

    def close(self) -> None:
        """Close its connections."""
        if self._transport is not None:
            self._transport.close()

    def ask(self, call: Call) -> Document:
        """The document that is answered. What is safe to repeat is repeated: whatever is created has a name of its own.
        """
        response = self._answer(call)
        try:
            found = json.loads(response.read())
        except Exception as error:
            raise self.unreachable(f"its answer broke off: {reason(error)}") from None
        finally:
            response.release_conn()
        if not isinstance(found, dict):
            raise self.unreachable("what it answers is no document")
        return found

    def items(self, path: str, *query: tuple[str, str]) -> tuple[list[Document], str]:
        """Everything of a list, and its resourceVersion. A list that went stale between two pages is begun anew."""
        for _ in range(RESTARTS):
            found: list[Document] = []
            more = ""
            try:
                while True:
                    page = (("limit", str(PAGE)), *((("continue", more),) if more else ()))
                    document = self.ask(Call("GET", path, (*query, *page)))
                    found += [item for item in document.get("items") or () if isinstance(item, dict)]
                    meta = document.get("metadata") or {}
                    more = str(meta.get("continue") or "")
                    if not more:
                        return found, str(meta.get("resourceVersion") or "")
            except Refused as error:
                if error.status != 410:
                    raise
        raise self.unreachable("its lists change faster than they can be read")

    def watch(self, path: str, version: str, seconds: int, *query: tuple[str, str]) -> Iterator[tuple[str, Document]]:
        """What happens to the objects of a list from a version on, for so long: (ADDED, MODIFIED or DELETED, object).
        Raises Gone.
        """
        words = (*query, ("watch", "1"), ("resourceVersion", version), ("timeoutSeconds", str(seconds)))
        try:
            with self.stream(Call("GET", path, words)) as chunks:
                for line in _lines(chunks):
                    event = json.loads(line)
                    kind, found = str(event.get("type")), event.get("object") or {}
                    if kind == "ERROR":
                        if found.get("code") == 410:
                            raise Gone
                        raise self.unreachable(str(found.get("message") or "a watch ended"))
                    if kind != "BOOKMARK":
                        yield kind, found
        except Refused as error:
            if error.status == 410:
                raise Gone from None
            raise
        except ValueError:
            raise self.unreachable("a watch is not what it should be") from None

    @contextmanager
    def stream(self, call: Call) -> Iterator[Iterator[bytes]]:
        """The chunks of an answer as they come; they end where the connection does, for whatever reason."""
        import urllib3

        response = self._answer(call)

        def chunks() -> Iterator[bytes]:
            try:
                while chunk := response.read1(65536):
                    yield chunk
            except (urllib3.exceptions.HTTPError, OSError):
                return  # who needs to know whether that was all asks again

        try:
            yield chunks()
        finally:
            response.close()
            response.release_conn()

    def connect(self) -> tuple[socket.socket, str, dict[str, str]]:
        """A connection of its own to the server, for what is no request of HTTP: the socket, which host is meant, and
        the headers that say who asks. Raises EngineError "kubernetes.unreachable".
        """
        import urllib3

        headers = {"User-Agent": "bareboat", **self._authorization()}
        assert self._transport is not None
        try:
            return self._transport.socket(self.access.server), urlsplit(self.access.server).netloc, headers
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self.unreachable(reason(error)) from None

    def _answer(self, call: Call) -> Any:
        """A response of success. Waits and repeats while the server is busy or away, within its patience."""
        import urllib3

        end, pause, renewed = self._clock.now() + PATIENCE, 0.5, False
        while True:
            why, wait = "", 0.0
            try:
                response = self._send(call)
            except urllib3.exceptions.HTTPError as error:
                why = reason(error)
                if _hopeless(error):
                    raise self.unreachable(why) from None
            else:
                if response.status < 300:
                    return response
                refused = _refused(response, call)
                if refused.status == 401 and not renewed and self._renewable:
                    renewed, self._login = True, None
                    continue
                if refused.status == 401:
                    raise EngineError("kubernetes.login", "the cluster does not take the login, or takes it no more",
                                      where=redacted(self.access.server), hint="log in anew with the cluster's tool, "
                                      "and see with: kubectl auth whoami")
                if refused.status not in _BUSY:
                    raise refused
                why, wait = refused.what, retry_after(response.headers.get("Retry-After", ""))
            wait = max(wait, pause)
            if self._clock.now() + wait > end:
                raise self.unreachable(why)
            self._clock.sleep(wait)
            pause = min(pause * 2, 8.0)

    @property
    def _renewable(self) -> bool:
        return self.access.plugin is not None or bool(self.access.token_file)

    def _send(self, call: Call) -> Any:
        body = None if call.body is None else json.dumps(call.body).encode()
        headers = {"Accept": "application/json, */*", **self._authorization()}
        if body is not None:
            headers |= {"Content-Type": call.kind, "Content-Length": str(len(body))}
        query = f"?{urlencode(call.query)}" if call.query else ""
        assert self._transport is not None
        return self._transport.request(call.method, f"{self.access.server}{call.path}{query}", headers,
                                       None if body is None else iter((body,)))

    def _authorization(self) -> dict[str, str]:
        if self._login is None or _over(self._login.until) or self.access.token_file:
            found = login(self.access)
            if self._login is None or (found.certificate, found.key) != (self._login.certificate, self._login.key):
                self.close()
                self._transport = self._connected(found)
            self._login = found
        headers = {"Impersonate-User": self.access.impersonate} if self.access.impersonate else {}
        if self._login.token:
            return {**headers, "Authorization": f"Bearer {self._login.token}"}
        user, password = self.access.basic
        if user:
            import base64

            return {**headers, "Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
        return headers

    def _connected(self, found: Login) -> Transport:
        """A transport that trusts the cluster's CA alone. Keys are on disk while they are read, and in no name."""
        try:
            with tempfile.TemporaryDirectory(prefix="bareboat-") as folder:
                files = {"ca": self.access.ca, "certificate": found.certificate, "key": found.key}
                for name, content in files.items():
                    descriptor = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                    with open(descriptor, "wb") as file:
                        file.write(content)
                of = self.access
                tls = Tls(ca=(f"{folder}/ca",) if of.ca else (), verify=of.verify, only=bool(of.ca),
                          name=of.server_name,
                          certificate=f"{folder}/certificate" if found.certificate else "",
                          key=f"{folder}/key" if found.key else "")
                transport = Transport(self._env, Timeouts(10.0, 45.0), tls=tls)
                transport.prepare(self.access.server)
                return transport
        except (BareboatError, ssl.SSLError) as error:
            raise EngineError("kubernetes.config", f"the connection cannot be made: {getattr(error, 'what', error)}",
                              where=redacted(self.access.server)) from None

    def unreachable(self, why: str) -> EngineError:
        """That no answer came, or none that is one."""
        return EngineError("kubernetes.unreachable", f"the cluster does not answer: {why}",
                           where=redacted(self.access.server), hint="see with: kubectl get --raw /readyz")


def _over(until: str) -> bool:
    if not until:
        return False
    from datetime import datetime, timezone

    try:
        at = datetime.fromisoformat(until.replace("Z", "+00:00"))
    except ValueError:
        return False
    at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return (at - datetime.now(timezone.utc)).total_seconds() < 10


def _hopeless(error: BaseException) -> bool:
    """A failure that waiting does not cure: a certificate that is not trusted."""
    import urllib3

    return isinstance(error, urllib3.exceptions.SSLError) or isinstance(
        getattr(error, "reason", None), urllib3.exceptions.SSLError)


def _refused(response: Any, call: Call) -> Refused:
    try:
        data = response.read(1 << 20)
    except Exception:
        data = b""
    finally:
        response.release_conn()
    return refused(response.status, data, call.path)


def refused(status: int, data: bytes, path: str) -> Refused:
    """The Status object of an answer that is no success."""
    try:
        found = json.loads(data)
        message, kind = str(found.get("message") or ""), str(found.get("reason") or "")
    except (ValueError, AttributeError):
        message, kind = "", ""
    return Refused(status, kind, message[:1000] or f"the answer is {status}", where=path)


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def named(*parts: str) -> str:
    """Parts of a path, each escaped."""
    from urllib.parse import quote

    return "/".join(quote(part, safe="") for part in parts)


def jobs_path(namespace: str, *name: str) -> str:
    """Of Jobs, or of one."""
    return "/apis/batch/v1/namespaces/" + named(namespace, "jobs", *name)


def core_path(namespace: str, kind: str, *name: str) -> str:
    """Of pods, services, secrets, configmaps, events or claims, or of one and its parts."""
    return "/api/v1/namespaces/" + named(namespace, kind, *name)


def of_kind(namespace: str, document: Mapping[str, object]) -> str:
    """Where objects of a document's kind are created."""
    kind = str(document["kind"])
    if kind == "Job":
        return jobs_path(namespace)
    return core_path(namespace, {"ConfigMap": "configmaps", "Secret": "secrets", "Service": "services"}[kind])


def metadata(document: Document) -> Document:
    """Of an object."""
    return cast(Document, document.get("metadata") or {})
