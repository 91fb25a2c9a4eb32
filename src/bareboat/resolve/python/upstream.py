"""The indexes behind our own one: how its pages are fetched, and what uv needs to talk to ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bareboat.errors import ResolveError
from bareboat.resolve.python import index


def fetcher(env: Mapping[str, str]) -> Callable[[str], tuple[int, str, bytes]]:
    """A function that fetches a page: status, content type, body. It raises ResolveError "python.network"."""
    from bareboat.transport import Transport, redacted

    transport = Transport(env)

    def fetch(url: str) -> tuple[int, str, bytes]:
        from urllib3.exceptions import HTTPError

        try:
            response = transport.get(url, {"Accept": index.ACCEPT})
            return response.status, response.headers.get("Content-Type", ""), response.read()
        except HTTPError as e:
            raise ResolveError(
                "python.network", f"the index does not answer: {type(e).__name__}", where=redacted(url)
            ) from None

    return fetch


def with_loopback(caller: Mapping[str, str]) -> dict[str, str]:
    """The environment for talking to our own index: never by a proxy, and with time for builds."""
    env = dict(caller)
    past = ",".join(v for v in (env.get("NO_PROXY") or env.get("no_proxy"), "127.0.0.1") if v)
    return {**env, "NO_PROXY": past, "no_proxy": past, "UV_HTTP_TIMEOUT": "3600", "UV_HTTP_RETRIES": "0"}
