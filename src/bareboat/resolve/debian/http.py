"""Small files over HTTP, with the host's proxies and CA bundle, or from file: URLs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from bareboat.errors import ResolveError
from bareboat.resolve.debian.sources import redacted

MAX_BODY = 256 << 20
UNREACHABLE = "debian.unreachable"
TRIES = 3


@dataclass(frozen=True)
class Response:
    """What a server said. headers: lower-case names. status 304 and 404 are answers, not errors."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Fetcher(Protocol):
    """Gets a URL. ResolveError "debian.unreachable" when no answer comes."""

    def get(self, url: str, headers: Mapping[str, str]) -> Response: ...


class Offline:
    """The Fetcher that never asks anyone."""

    def get(self, url: str, headers: Mapping[str, str]) -> Response:
        """file: URLs as always; all else is unreachable."""
        if url.startswith("file:"):
            return _local(url)
        raise ResolveError(UNREACHABLE, "not asked, as bareboat is told to stay offline", where=redacted(url),
                           hint="connect once and run `bareboat lock`, or take a lock that is up to date")


def _local(url: str) -> Response:
    try:
        return Response(200, Path(unquote(urlsplit(url).path)).read_bytes())
    except FileNotFoundError:
        return Response(404)
    except OSError as error:
        raise ResolveError(UNREACHABLE, f"cannot read the mirror: {error.strerror}", where=url) from error


class Http:
    """The Fetcher over bareboat's own transport: the host's proxies and CA bundle; three tries.
    Thread-safe."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        from bareboat.transport import Timeouts, Transport

        self._transport = Transport(env, Timeouts(connect=10, read=60), size=8)

    def get(self, url: str, headers: Mapping[str, str]) -> Response:
        """One GET, redirects followed. ResolveError "debian.unreachable"."""
        if url.startswith("file:"):
            return _local(url)
        import time

        import urllib3

        for attempt in range(TRIES):
            try:
                answer = self._transport.get(url, headers)
                body = answer.read(MAX_BODY + 1)
                answer.release_conn()
                if (answer.status < 500 and answer.status != 429) or attempt == TRIES - 1:
                    break
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if attempt == TRIES - 1:
                    raise ResolveError(
                        UNREACHABLE,
                        f"the mirror does not answer: {_reason(error)}",
                        where=redacted(url),
                        hint="check the network and the proxy variables; "
                        "what is in the store can be used with --locked",
                    ) from error
            time.sleep(0.4 * 2**attempt)
        if len(body) > MAX_BODY:
            raise ResolveError("debian.index", "the mirror's answer is absurdly large", where=redacted(url))
        return Response(answer.status, body, {k.lower(): v for k, v in answer.headers.items()})


def _reason(error: BaseException) -> str:
    """The innermost cause in a few words, without the URL."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return f"{type(error).__name__}: {error}" if isinstance(error, OSError) else type(error).__name__
