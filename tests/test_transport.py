"""Why a connection failed, in words for people."""

from __future__ import annotations

import ssl

import pytest
import urllib3
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProtocolError, ReadTimeoutError, SSLError

from bareboat.transport import reason

CONNECTION = urllib3.connection.HTTPSConnection("nvcr.io", 443)
POOL = urllib3.HTTPConnectionPool("nvcr.io", 80)


@pytest.mark.parametrize(("error", "said"), [
    (NewConnectionError(CONNECTION, "Failed to establish a new connection: [Errno 111] Connection refused"),
     "Failed to establish a new connection: Connection refused"),
    (NameResolutionError("nvcr.io", CONNECTION, OSError(-2, "Name or service not known")),  # type: ignore[arg-type]
     "Failed to resolve 'nvcr.io' (Name or service not known)"),
    (ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer")),
     "Connection reset by peer"),
    (ReadTimeoutError(POOL, "/v2/", "Read timed out. (read timeout=1)"), "Read timed out. (read timeout=1)"),
    (SSLError(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")),
     "wrong version number"),
    (OSError(), "OSError"),
])
def test_no_object_shows(error: BaseException, said: str) -> None:
    assert reason(error) == said
