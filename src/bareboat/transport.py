"""HTTP for everything that is fetched: proxies and CA bundle of the host, redirects that never carry
credentials on.

urllib3 with its own retries and redirects off: which failure is worth another try is the caller's to decide.
netrc is not read. Imported late: nothing here is needed where the store has everything.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from bareboat.errors import ResolveError

if TYPE_CHECKING:
    import urllib3

_BUNDLES = (  # where distributions keep it; for Pythons that were built for another place
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
REDIRECTS = (301, 302, 303, 307, 308)
LONGEST_WAIT = 60.0  # seconds; what Retry-After may ask for at most where nobody says otherwise
_REDIRECTS = 10


def retry_after(value: str, most: float = LONGEST_WAIT) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110 10.2.3), at most `most`; 0 for none."""
    if value.isascii() and value.isdigit():
        return min(float(value), most)
    if value:
        from email.utils import parsedate_to_datetime

        try:
            return min(max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0), most)
        except (TypeError, ValueError, OverflowError):
            pass
    return 0.0


def reason(error: BaseException) -> str:
    """Why a connection failed, in plain words: no object's address, no URL, which may hold a token."""
    import re

    inner: Any = getattr(error, "reason", None) or error
    while isinstance(inner, BaseException) and inner.args and isinstance(inner.args[-1], BaseException):
        inner = inner.args[-1]  # ('Connection aborted.', ConnectionResetError(…))
    text = str(getattr(inner, "strerror", None) or inner)
    if type(inner).__name__ == "BadStatusLine":
        return "what came back is not HTTP"
    text = text.rpartition(">: ")[2]
    text = re.sub(r"^\w+\(host='[^']*', port=[^)]*\): ", "", text)
    text = re.sub(r"\[(Errno -?\d+|SSL: \w+)\] | \(_ssl\.c:\d+\)", "", text)
    return text.strip() or type(inner).__name__


def redacted(url: str) -> str:
    """The URL without user, password, query and fragment: what may be printed and logged."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def ca_bundle(env: Mapping[str, str]) -> str | None:
    """The CA bundle to trust: named by the environment, else the system's where Python would not find it
    itself.
    """
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if env.get(name):
            return env[name]
    import ssl

    paths = ssl.get_default_verify_paths()
    if paths.cafile or env.get("SSL_CERT_DIR"):
        return None
    return next((b for b in _BUNDLES if os.access(b, os.R_OK)), None)


@dataclass(frozen=True)
class Timeouts:
    """Seconds to connect, and without a byte while reading."""

    connect: float = 10.0
    read: float = 30.0


@dataclass(frozen=True)
class Tls:
    """What one server is trusted by, beside the system's CAs, and what we show it. verify: False for anybody; only: by
    these CAs and no others; name: the name that its certificate must have, "" for its host's.
    """

    ca: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    verify: bool = True
    only: bool = False
    name: str = ""


class Transport:
    """Connections to many hosts, kept open between requests; safe to use from several threads.

    tls: for all of them. pools: urllib3's pool classes by scheme, for who watches the connections.
    """

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        size: int = 16,
        tls: Tls | None = None,
        pools: Mapping[str, Any] | None = None,
    ) -> None:
        self._env = dict(os.environ) if env is None else dict(env)
        self._timeouts = timeouts or Timeouts()
        self._size = size
        self._tls = tls or Tls()
        self._classes = dict(pools or {})
        self._pools: dict[tuple[str, bool], Any] = {}  # by proxy, and whether TLS is spoken
        self._lock = threading.Lock()  # the first requests come all at once

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        """The response to a GET with its body still to be read, redirects followed.

        User and password in the URL become an Authorization header, which goes to that scheme, host and port
        only. Raises urllib3.exceptions.HTTPError when there is no response, ResolveError "download.redirect".
        """
        import urllib3

        timeout = urllib3.Timeout(connect=self._timeouts.connect, read=self._timeouts.read)
        sent = {"Accept-Encoding": "identity", "User-Agent": "bareboat", **(headers or {})}
        start = url
        url, authorization = split_credentials(url)
        home = origin(url)
        for _ in range(_REDIRECTS + 1):
            extra = {"Authorization": authorization} if authorization and origin(url) == home else {}
            if origin(url) != home:
                extra_free = {k: v for k, v in sent.items() if k.lower() not in ("authorization", "cookie")}
            else:
                extra_free = sent
            response = self._pool(url).request(
                "GET",
                url,
                headers={**extra_free, **extra},
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or not location:
                found: urllib3.BaseHTTPResponse = response
                return found
            response.drain_conn()
            response.release_conn()
            url, _ = split_credentials(urljoin(url, location))
            if urlsplit(url).scheme not in ("http", "https"):
                raise ResolveError(
                    "download.redirect",
                    "the server redirects to something that is not HTTP",
                    where=redacted(start),
                )
        raise ResolveError("download.redirect", f"more than {_REDIRECTS} redirects", where=redacted(start))

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterable[bytes] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """One request and its response, whatever that is, with its body still to be read. Nothing is followed.

        A body needs a Content-Length among the headers. Raises urllib3.exceptions.HTTPError when there is no response.
        """
        import urllib3

        found: urllib3.BaseHTTPResponse = self._pool(url).request(
            method,
            url,
            body=body,
            headers={"Accept-Encoding": "identity", "User-Agent": "bareboat", **headers},
            timeout=urllib3.Timeout(connect=self._timeouts.connect, read=self._timeouts.read),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        return found

    def socket(self, url: str) -> Any:
        """A socket that is connected as a request to this URL would be: by the proxy, TLS made and checked. For what
        goes on as something else than HTTP; the caller's to close. Raises urllib3.exceptions.HTTPError, OSError.
        """
        import urllib3

        pool = self._pool(url).connection_from_url(url)
        made = pool._new_conn()  # as urllib3 does for a request; no public call ends before one is sent
        made.timeout = urllib3.Timeout(connect=self._timeouts.connect).connect_timeout
        try:
            if pool.proxy is not None and urlsplit(url).scheme == "https":
                pool._prepare_proxy(made)
            else:
                made.connect()
            sock, made.sock = made.sock, None
            sock.settimeout(self._timeouts.read)
            return sock
        finally:
            made.close()

    def prepare(self, url: str) -> None:
        """Read what connections to this URL need, certificates and keys, now: their files may go afterwards."""
        self._pool(url)

    def close(self) -> None:
        """Close all connections that are not in use."""
        with self._lock:
            managers = list(self._pools.values())
        for manager in managers:
            for key in list(manager.pools.keys()):  # clear() leaves the closing to the garbage collector
                if (pool := manager.pools.get(key)) is not None:
                    pool.close()
            manager.clear()

    def _pool(self, url: str) -> Any:
        proxy, secure = self._proxy(url), urlsplit(url).scheme == "https"
        with self._lock:
            pool = self._pools.get((proxy, secure))
            if pool is None:
                pool = self._pools[proxy, secure] = self._new_pool(proxy, secure)
            return pool

    def _new_pool(self, proxy: str, secure: bool) -> Any:
        import urllib3

        options: dict[str, Any] = {"num_pools": 8, "maxsize": self._size, "block": False}
        if secure:  # reading the CAs takes 30 ms and more
            options["ssl_context"] = _context(ca_bundle(self._env), self._tls)
        if not self._tls.verify:
            options |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # whoever asked for it knows
        if self._tls.name:
            options |= {"server_hostname": self._tls.name, "assert_hostname": self._tls.name}
        if not proxy:
            return self._watched(urllib3.PoolManager(**options))
        clean, authorization = split_credentials(proxy if "://" in proxy else f"http://{proxy}")
        if urlsplit(clean).scheme not in ("http", "https"):
            raise ResolveError(
                "download.proxy",
                f"the proxy {redacted(clean)} is not an HTTP proxy",
                hint="set HTTPS_PROXY to http://HOST:PORT",
            )
        headers = {"Proxy-Authorization": authorization} if authorization else None
        # what is said of one server does not hold for the proxy
        to_proxy = _context(ca_bundle(self._env)) if urlsplit(clean).scheme == "https" else None
        return self._watched(
            urllib3.ProxyManager(clean, proxy_headers=headers, proxy_ssl_context=to_proxy, **options)
        )

    def _watched(self, manager: Any) -> Any:
        if self._classes:
            manager.pool_classes_by_scheme = self._classes
        return manager

    def _proxy(self, url: str) -> str:
        parts = urlsplit(url)
        env = self._env
        proxy = env.get(f"{parts.scheme}_proxy") or env.get("all_proxy") or env.get("ALL_PROXY") or ""
        # HTTP_PROXY in capitals is what a CGI client could set by a header; only HTTPS_PROXY is safe as such.
        if parts.scheme == "https":
            proxy = env.get("https_proxy") or env.get("HTTPS_PROXY") or proxy
        elif "REQUEST_METHOD" not in env:
            proxy = env.get("http_proxy") or env.get("HTTP_PROXY") or proxy
        if proxy and _bypassed(
            parts.hostname or "", parts.port, env.get("no_proxy") or env.get("NO_PROXY") or ""
        ):
            return ""
        return proxy


def _context(bundle: str | None, tls: Tls | None = None) -> Any:
    """One for all connections: each of its own would read the whole bundle again, 30 ms of CPU a connection."""
    import ssl

    from urllib3.util.ssl_ import create_urllib3_context

    tls = tls or Tls()
    context = create_urllib3_context()  # certificates and host names are checked
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.only:
        bundle = None
    elif not bundle:
        context.load_default_certs()
    for path in (bundle, *tls.ca) if bundle and tls.verify else tls.ca if tls.verify else ():
        try:
            context.load_verify_locations(path)
        except OSError as error:  # ssl.SSLError is one
            raise ResolveError(
                "download.tls",
                f"the CA bundle cannot be read: {error.strerror or error}",
                where=path,
                hint="set SSL_CERT_FILE to the CA bundle of your network" if path == bundle else "",
            ) from None
    if tls.certificate:
        try:
            context.load_cert_chain(tls.certificate, tls.key or None, password=lambda: "")
        except OSError as error:
            raise ResolveError("download.tls", f"the client certificate cannot be used: {error.strerror or error}",
                               where=tls.certificate) from None
    return context


def _bypassed(host: str, port: int | None, rules: str) -> bool:
    host = host.lower()
    for rule in rules.lower().replace(",", " ").split():
        name, colon, rule_port = rule.rpartition(":")
        if colon and rule_port.isdigit() and "]" not in rule_port:
            if str(port) != rule_port:
                continue
            rule = name
        rule = rule.lstrip(".").removeprefix("*.")
        if rule == "*" or host == rule or host.endswith("." + rule):
            return True
    return False


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: how far credentials go."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or (443 if parts.scheme == "https" else 80),
    )


def split_credentials(url: str) -> tuple[str, str]:
    """The URL without user and password, and the Authorization header they make ("" for none)."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    clean = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
    if not at:
        return clean, ""
    name, _, password = user.partition(":")
    coded = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return clean, f"Basic {coded}"
