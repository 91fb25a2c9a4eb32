"""WWW-Authenticate, read strictly (RFC 9110 11.6.1): several challenges in a header, several headers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_MOST = 8192  # characters of all headers together
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|$|(?=[ \t]*,))")
_PARAMETER = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*(?:({_TOKEN})|\"((?:[^\"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~])*)\")")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_COMMA = re.compile(r"[ \t]*,[ \t,]*")


@dataclass(frozen=True)
class Challenge:
    """scheme: lower case; parameters: names lower case, none twice."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """A parameter's value, "" where it is not said."""
        return dict(self.parameters).get(name, "")


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Every challenge of these headers in order. Raises ValueError for what is no challenge or could be read twice."""
    found: list[Challenge] = []
    for text in headers:
        if len(text) > _MOST:
            raise ValueError("WWW-Authenticate is too long")
        found += _challenges(text.strip(" \t"))
    return tuple(found)


def _challenges(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    lead = re.match(r"[ \t,]*", text)
    at = lead.end() if lead else 0
    while at < len(text):
        scheme = _SCHEME.match(text, at)
        if not scheme:
            raise ValueError("WWW-Authenticate names no scheme")
        at = scheme.end()
        parameters: dict[str, str] = {}
        if not _PARAMETER.match(text, at) and (whole := _TOKEN68.match(text, at)):
            at = whole.end()
        while parameter := _PARAMETER.match(text, at):
            name = parameter[1].lower()
            if name in parameters:
                raise ValueError("WWW-Authenticate says a parameter twice")
            quoted = parameter[3]
            parameters[name] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter[2]
            at = parameter.end()
            comma = _COMMA.match(text, at)
            if not comma:
                break
            if not _PARAMETER.match(text, comma.end()):
                break
            at = comma.end()
        found.append(Challenge(scheme[1].lower(), tuple(parameters.items())))
        comma = _COMMA.match(text, at)
        if comma:
            at = comma.end()
        elif at < len(text):
            raise ValueError("WWW-Authenticate goes on after a challenge")
    return found
