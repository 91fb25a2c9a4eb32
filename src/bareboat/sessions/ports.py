"""A free port of the loopback."""

from __future__ import annotations

import socket

from bareboat.errors import UsageError

FIRST, TRIED = 8888, 50


def free_port(wanted: int | None = None) -> int:
    """The port that is wanted, else the first free one from 8888 on, else any. Somebody may take it before it is used:
    who uses it must fail then. Raises UsageError "usage.port-taken".
    """
    if wanted is not None:
        if not 0 < wanted < 65536:
            raise UsageError("usage.port", f"{wanted} is no port", where="--port", hint="a number from 1 to 65535")
        if not _is_free(wanted):
            raise UsageError("usage.port-taken", f"port {wanted} of 127.0.0.1 is in use", where="--port",
                             hint="leave out --port, and a free one is chosen")
        return wanted
    return next((port for port in range(FIRST, FIRST + TRIED) if _is_free(port)), 0) or _any()


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: past TIME_WAIT
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _any() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])
