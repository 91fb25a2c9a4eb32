"""A request to a registry as a value, and the response to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bareboat.registry.base import RegistryError
from bareboat.registry.guard import Guard
from bareboat.registry.policy import Tries

if TYPE_CHECKING:
    import urllib3

    from bareboat.registry.wire import Wire

CHUNK = 1 << 18  # bytes of a body at once
ERROR_MOST = 1 << 14  # bytes of a body that only says what is wrong


@dataclass(frozen=True)
class Ask:
    """A request. url: whole, or a path below the server's /v2/; body: opened anew for every try; expect: the statuses
    that answer it, any other is an error; scopes: what a token must allow.
    """

    method: str
    url: str
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] | None = None
    length: int = 0
    expect: tuple[int, ...] = (200,)
    where: str = ""


class Answer:
    """A response whose body is read at most once. close() when it is not."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, guard: Guard, wire: Wire) -> None:
        self.status, self.url = response.status, url
        self._response, self._guard, self._wire = response, guard, wire

    def header(self, name: str) -> str:
        """A header's value, "" where there is none."""
        found: str = self._response.headers.get(name, "")
        return found.strip()

    def all_of(self, name: str) -> list[str]:
        """Every header of this name."""
        return list(self._response.headers.getlist(name))

    @property
    def length(self) -> int | None:
        """What Content-Length says."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. Raises RegistryError "registry.cut" where it ends early."""
        import urllib3

        try:
            while True:
                self._guard.wait()
                try:
                    data = self._response.read1(CHUNK, decode_content=False)
                except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                    raise self._wire.cut(error, self._guard) from None
                if not data:
                    if self._guard.fired:  # a body without a length ends where the connection does
                        raise self._wire.cut(None, self._guard)
                    return
                self._guard.moved(len(data))
                self._wire.count(0, len(data))
                yield data
        finally:
            self.close()

    def all(self, most: int, tries: Tries | None = None) -> bytes:
        """The whole body. Raises RegistryError "registry.too-large" beyond `most` bytes, "registry.cut"."""
        if (self.length or 0) > most:
            self.close()
            raise self._wire.too_large(most)
        found = bytearray()
        for data in self.chunks():
            found += data
            if len(found) > most:
                self.close()
                raise self._wire.too_large(most)
            if tries is not None and tries.left < 0:
                self.close()
                raise self._wire.cut(None, self._guard)
        return bytes(found)

    def close(self) -> None:
        """No more of it is wanted. Idempotent."""
        self._guard.done()
        self._response.close()
        self._response.release_conn()

    def __del__(self) -> None:
        self._guard.done()  # opened and never read: its thread goes too

    def drain(self) -> None:
        """Read the little that is left, so that the connection serves the next request."""
        try:
            self.all(ERROR_MOST)
        except RegistryError:
            pass
