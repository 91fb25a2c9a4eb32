"""Requests to one server of a registry: authorization, redirects, tries, and errors that say what happened.

No header of ours but Accept and Range crosses to another scheme, host or port; nothing is followed from TLS to plain
HTTP. An error never shows a query, a header or a body as it came.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from bareboat.registry.ask import ERROR_MOST, Answer, Ask
from bareboat.registry.auth import TOKEN_MOST, Authenticator, Credential, Exchange
from bareboat.registry.base import RegistryError
from bareboat.registry.guard import Guard, Watched
from bareboat.registry.hosts import Endpoint, RegistrySettings, is_loopback
from bareboat.registry.policy import Policy, Tries, may_repeat, passes
from bareboat.transport import REDIRECTS, Timeouts, Transport, origin, reason, redacted, retry_after

REDIRECTS_MOST = 5
_SEND = 1 << 16  # bytes given to a socket at once: each such piece may take as long as its timeout
_DAY = 86400.0
INTERRUPTED = ("registry.unreachable", "registry.cut")  # errors that come of the connection alone
_T = TypeVar("_T")


class Wire:
    """One server, with one repository's rights there. Safe to use from several threads."""

    def __init__(self, endpoint: Endpoint, settings: RegistrySettings, find: Callable[[], Credential | None],
                 where: str) -> None:
        self.endpoint, self.where = endpoint, where
        self._settings, self._find, self._policy = settings, find, settings.policy
        self._watched = Watched()
        self._own = self._transport(endpoint)
        self._others: list[Transport] = []
        self._auth: Authenticator | None = None
        self._base = endpoint.bases[0] if len(endpoint.bases) == 1 else ""
        self._lock = threading.Lock()

    @property
    def base(self) -> str:
        """The URL of the server, with the scheme that it speaks."""
        with self._lock:
            if not self._base:
                self._base = self._speaking()
            return self._base

    @property
    def policy(self) -> Policy:
        """The bounds of its requests."""
        return self._policy

    @property
    def auth(self) -> Authenticator:
        """Its logins."""
        base = self.base
        with self._lock:
            if self._auth is None:
                self._auth = Authenticator(base, self._find, self._exchange, self.where)
            return self._auth

    def open(self, ask: Ask, tries: Tries | None = None) -> Answer:
        """The response with its body still to be read; tried again as the policy says."""
        return self._again(ask, tries, lambda answer, tries: answer)

    def fetch(self, ask: Ask, most: int, tries: Tries | None = None) -> tuple[Answer, bytes]:
        """The response with its whole body, at most so many bytes; a cut body is asked for again."""
        return self._again(ask, tries, lambda answer, tries: (answer, answer.all(most, tries)))

    def once(self, ask: Ask) -> Answer:
        """The response to one try, whatever its status, with authorization and redirects.

        Raises RegistryError "registry.unreachable" (nothing came back), "registry.redirect", "registry.tls" and what
        logging in raises.
        """
        url = ask.url if "://" in ask.url else f"{self.base}/v2/{ask.url}"
        home, start = origin(self.base), url
        if origin(url)[0] == "http" and home[0] == "https":
            raise self._redirect(start, "from TLS to plain HTTP")
        for _ in range(REDIRECTS_MOST + 1):
            answer = self._authorized(ask, url) if origin(url) == home else self._send(ask, url, "")
            location = answer.header("Location")
            if answer.status not in REDIRECTS or not location:
                return answer
            answer.drain()
            url = self.follow(answer, location)
            if ask.method not in ("GET", "HEAD") and (answer.status not in (307, 308) or origin(url) != home):
                raise self._redirect(start, "what is written")
        raise self._redirect(start, f"more than {REDIRECTS_MOST} times")

    def follow(self, answer: Answer, location: str) -> str:
        """Where a Location leads, relative or not. Raises RegistryError "registry.redirect"."""
        try:
            url = urljoin(answer.url, location)
            parts = urlsplit(url)
            bad = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
        except ValueError:
            bad = True
        if bad or "@" in parts.netloc or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
            raise self._redirect(answer.url, "to what is no address of a server")
        if parts.scheme == "http" and urlsplit(answer.url).scheme == "https":
            raise self._redirect(answer.url, "from TLS to plain HTTP")
        return url

    def failure(self, answer: Answer, ask: Ask) -> RegistryError:
        """The error for a status that was not expected; what the registry says of it is added, without secrets."""
        said = self._said(answer)
        where, status = ask.where or self.where, answer.status
        host = urlsplit(self.base).netloc
        if status == 404:
            return RegistryError("registry.not-found", f"the registry does not have it{said}", where=where,
                                 hint="check the name; a private repository may need: bareboat login")
        if status in (401, 403):
            hint = "the login may not do this: ask its owner" if self.auth.known else f"log in: bareboat login {host}"
            return RegistryError("registry.denied", f"the registry refuses (HTTP status {status}){said}", where=where,
                                 hint=hint)
        if status == 429:
            wait = retry_after(answer.header("Retry-After"), _DAY)
            when = f"in {wait:.0f} s" if wait else "later"
            return RegistryError("registry.limited", f"too many requests for the registry{said}", where=where,
                                 hint=f"try again {when}; many registries allow more to who is logged in")
        if passes(status) or status >= 500:
            return RegistryError("registry.server", f"the registry answers with HTTP status {status}{said}",
                                 where=where, hint="try again later")
        return RegistryError("registry.refused", f"the registry answers with HTTP status {status}{said}", where=where,
                             hint="the registry may not be able to do this; see what it says")

    def cut(self, error: Exception | None, guard: Guard) -> RegistryError:
        """The connection ended in the middle."""
        why = "too slow" if guard.fired else reason(error) if error is not None else "the time is up"
        return RegistryError("registry.cut", f"the connection ended early: {self.clean(why)}", where=self.where,
                             hint="try again: it goes on where it stopped")

    def too_large(self, most: int) -> RegistryError:
        """More bytes than such an answer may have."""
        return RegistryError("registry.too-large", f"the answer is larger than {most:,} bytes", where=self.where,
                             hint="the registry is at fault; nothing was kept")

    def wrong(self, what: str, where: str = "") -> RegistryError:
        """The registry answered what the specification does not allow."""
        return RegistryError("registry.answer", self.clean(what), where=where or self.where,
                             hint="the registry, or something between, is at fault; nothing was kept")

    def clean(self, text: str) -> str:
        """A text of others, short, in one line and without what is secret."""
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return self.auth.masked(text)[:300]

    def count(self, sent: int, received: int) -> None:
        """Tell who wants to know."""
        if self._settings.observe is not None and (sent or received):
            self._settings.observe(sent, received)

    def wait(self, answer: Answer) -> float:
        """Seconds that the server asks for before another try."""
        return retry_after(answer.header("Retry-After"), _DAY)

    def close(self) -> None:
        """Close the connections that are not in use."""
        for transport in (self._own, *self._others):
            transport.close()

    def _again(self, ask: Ask, tries: Tries | None, take: Callable[[Answer, Tries], _T]) -> _T:
        tries = tries or Tries(self._policy)
        while True:
            wait = 0.0
            try:
                answer = self.once(ask)
                if answer.status in ask.expect:
                    return take(answer, tries)
                wait = self.wait(answer)
                error, again = self.failure(answer, ask), may_repeat(ask.method, answer.status)
            except RegistryError as caught:
                error, again = caught, caught.code in INTERRUPTED and may_repeat(ask.method, 0)
            if not again:
                raise error
            tries.again(error, wait)

    def _authorized(self, ask: Ask, url: str) -> Answer:
        auth = self.auth
        used = auth.header(ask.scopes)
        answer = self._send(ask, url, used)
        for _ in range(2):  # a token may have run out, and the new one may be of another kind
            if answer.status != 401:
                break
            headers = answer.all_of("WWW-Authenticate")
            if not headers:
                break
            try:
                more = auth.challenged(headers, ask.scopes, used)
            except RegistryError:
                answer.close()
                raise
            if not more:
                break
            answer.drain()
            used = auth.header(ask.scopes)
            answer = self._send(ask, url, used)
        return answer

    def _send(self, ask: Ask, url: str, authorization: str) -> Answer:
        headers = dict(ask.headers)
        if authorization:
            headers["Authorization"] = authorization
        body = None
        if ask.body is not None:
            headers["Content-Length"] = str(ask.length)
            body = self._pieces(ask.body())
        elif ask.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = "0"
        return self._raw(ask.method, url, headers, body)

    def _raw(self, method: str, url: str, headers: Mapping[str, str], body: Iterator[bytes] | None) -> Answer:
        import urllib3

        if self._settings.offline and not is_loopback(urlsplit(url).netloc):
            raise RegistryError("registry.offline", "bareboat is told not to use the network", where=redacted(url),
                                hint="unset BAREBOAT_OFFLINE, or the setting offline")
        own = self._base and origin(url) == origin(self._base)
        transport = self._own if own else self._other()
        guard = Guard(self._policy.floor, self._policy.window)
        self._watched.use(guard)
        try:
            response = transport.request(method, url, headers, body)
        except urllib3.exceptions.SSLError as error:
            guard.done()
            raise RegistryError("registry.tls", f"the server's certificate is not trusted: {reason(error)}",
                                where=redacted(url), hint="set registry.ca for this host in bareboat's settings, or "
                                "SSL_CERT_FILE to the CA bundle of your network") from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            guard.done()
            why = "it is too slow" if guard.fired else reason(error)
            raise RegistryError("registry.unreachable", f"no answer: {self.clean(why)}", where=redacted(url),
                                hint="check the name and the network; HTTPS_PROXY is honoured") from None
        except BaseException:
            guard.done()
            raise
        finally:
            self._watched.use(None)
        return Answer(response, url, guard, self)

    def _pieces(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                piece, view = bytes(view[:_SEND]), view[_SEND:]
                yield piece
                self.count(len(piece), 0)

    def _exchange(self, request: Exchange) -> tuple[int, bytes]:
        """A request to the token server; its redirects are not followed, since it carries a password."""
        tries = Tries(self._policy)
        method = "GET" if request.body is None else "POST"
        while True:
            headers = dict(request.headers)
            body = None
            if request.body is not None:
                headers["Content-Length"] = str(len(request.body))
                body = iter((request.body,))
            try:
                answer = self._raw(method, request.url, headers, body)
                if not passes(answer.status):
                    return answer.status, answer.all(TOKEN_MOST, tries)
                answer.close()
                wait = self.wait(answer)
                error = RegistryError("registry.token", f"the token server {redacted(request.url)} answers with HTTP "
                                      f"status {answer.status}", where=self.where, hint="try again later")
            except RegistryError as caught:
                if caught.code not in INTERRUPTED:
                    raise
                error, wait = caught, 0.0
            tries.again(error, wait)

    def _said(self, answer: Answer) -> str:
        """What the registry says in an error (distribution-spec, "Error Codes"), in parentheses; "" for nothing."""
        try:
            doc: Any = json.loads(answer.all(ERROR_MOST))
            first = doc["errors"][0]
            text = ", ".join(str(first[k]) for k in ("code", "message") if isinstance(first.get(k), str) and first[k])
        except (RegistryError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return ""
        finally:
            answer.close()
        return f" ({self.clean(text)})" if text else ""

    def _redirect(self, url: str, what: str) -> RegistryError:
        return RegistryError("registry.redirect", f"the registry redirects {what}, which is not followed",
                             where=redacted(url), hint="nothing was sent there; ask whoever runs the registry")

    def _transport(self, endpoint: Endpoint | None) -> Transport:
        timeouts = Timeouts(self._policy.connect, self._policy.read)
        return Transport(self._settings.env, timeouts, tls=endpoint.tls if endpoint else None,
                         pools=self._watched.pools())

    def _other(self) -> Transport:
        """For object stores and token servers: nothing that is said of this registry's TLS holds there."""
        with self._lock:
            if not self._others:
                self._others.append(self._transport(None))
            return self._others[0]

    def _speaking(self) -> str:
        """The first base that answers in its own scheme: TLS is tried without sending anything."""
        parts = urlsplit(self.endpoint.bases[0])
        if speaks_tls(parts.hostname or "", parts.port or 443, self._policy.connect):
            return self.endpoint.bases[0]
        return self.endpoint.bases[-1]


def speaks_tls(host: str, port: int, timeout: float) -> bool:
    """Whether TLS is spoken at this port. Nobody's certificate is looked at and nothing is sent: only a question."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout) as sock, \
                context.wrap_socket(sock, server_hostname=host or None):
            return True
    except ssl.SSLError as error:
        # a server that wants a certificate of ours, or that we share no version with, does speak TLS
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False
