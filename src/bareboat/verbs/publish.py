"""-p: which ports of this machine lead to which inside. Docker's grammar, TCP only."""

from __future__ import annotations

import re

from bareboat.errors import UsageError
from bareboat.workload import Port

LOOPBACK = "127.0.0.1"
_WORD = re.compile(r"(?:(?P<address>\[[0-9A-Fa-f:]+\]|\d+\.\d+\.\d+\.\d+):)?"
                   r"(?:(?P<host>\d*(?:-\d+)?):)?(?P<inside>\d+(?:-\d+)?)(?:/(?P<protocol>\w+))?")


def parse_publish(text: str) -> tuple[Port, ...]:
    """[ADDRESS:][HOST:]INSIDE[/tcp], with ranges A-B. Without HOST a free port is chosen; without ADDRESS it is
    127.0.0.1, which nobody reaches from another machine. Raises UsageError "usage.port".
    """
    match = _WORD.fullmatch(text)
    if match is None:
        raise _wrong(text, "is no port to publish")
    if match["protocol"] not in (None, "tcp"):
        raise _wrong(text, f"asks for {match['protocol'][:20]}, and only TCP is forwarded")
    inside = _range(text, match["inside"])
    host = _range(text, match["host"]) if match["host"] else [0] * len(inside)
    if len(host) != len(inside):
        raise _wrong(text, "has ranges of different lengths")
    address = (match["address"] or LOOPBACK).strip("[]")
    _check_address(text, address)
    return tuple(Port(outer, inner, address) for outer, inner in zip(host, inside, strict=True))


def _range(text: str, word: str) -> list[int]:
    first, _, last = word.partition("-")
    if not first:
        raise _wrong(text, "is no port to publish")
    numbers = list(range(int(first), int(last or first) + 1)) if len(word) < 12 else []
    if not numbers or not 0 < numbers[0] <= numbers[-1] < 65536 or len(numbers) > 1000:
        raise _wrong(text, "has a port that is none, or too many")
    return numbers


def _check_address(text: str, address: str) -> None:
    import ipaddress

    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise _wrong(text, "has an address that is none") from None


def _wrong(text: str, why: str) -> UsageError:
    return UsageError("usage.port", f"{text[:80]!r} {why}", where="-p",
                      hint="as 8000, 8080:8000, 0.0.0.0:8080:8000 or 8000-8003:8000-8003")
