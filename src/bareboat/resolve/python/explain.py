"""What uv said, as an error of ours: its own explanation, readable, without secrets. Pure.

uv has no machine-readable failures. Only the error code is taken from its words; the text is passed on.
"""

from __future__ import annotations

import re

from bareboat.errors import ResolveError

_OFFLINE = ("network was disabled", "network is disabled", "Network connectivity is disabled")
_NETWORK = (
    "error sending request",
    "Failed to fetch",
    "client error (Connect)",
    "dns error",
    "Request failed after",
)
_DENIED = ("401 Unauthorized", "403 Forbidden", "lack of valid authentication credentials")
_NEEDS_BUILD = ("--no-build", "Building source distributions", "no usable wheels")
_UNREAD = (
    "Couldn't parse",
    "Failed to parse",
    "Error parsing",
    "failed to read from file",
    "Invalid requirement",
)


def needs_network(stderr: str) -> bool:
    """Whether uv failed because it was not allowed to ask the network."""
    return any(sign in stderr for sign in _OFFLINE)


def needs_build(stderr: str) -> bool:
    """Whether uv failed because some package has no wheel."""
    return any(sign in stderr for sign in _NEEDS_BUILD)


def explain(stderr: str, where: str, offline: bool) -> ResolveError:
    """The error to raise. where: the file that was resolved."""
    text = readable(stderr)
    if needs_network(stderr) and offline:
        return ResolveError(
            "python.offline",
            f"the packages cannot be resolved without the network: {text}",
            where=where,
            hint="Connect once and run `bareboat lock`, or remove what is new.",
        )
    if any(sign in text for sign in _DENIED):
        return ResolveError(
            "python.denied",
            f"an index refuses: {text}",
            where=where,
            hint="Check user and password in the index URL, or set UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD.",
        )
    missing = re.search(r"(?:Because |, |and )([A-Za-z0-9_.-]+) was not found in the package registry", text)
    if missing:
        return ResolveError(
            "python.unknown-package",
            f"no index has a package {missing[1]!r}: {text}",
            where=where,
            hint="Check the spelling, or name its index (--extra-index-url in the file, or UV_INDEX).",
        )
    if "No solution found" in text or "unsatisfiable" in text:
        return ResolveError("python.unsatisfiable", text, where=where, hint="Loosen one of the pins named above.")
    if any(sign in text for sign in _UNREAD):
        return ResolveError("python.requirements", text, where=where, hint="Correct that line.")
    if any(sign in text for sign in _NETWORK):
        return ResolveError(
            "python.network",
            text,
            where=where,
            hint="Check the network, proxy (HTTPS_PROXY) and certificates (SSL_CERT_FILE).",
        )
    return ResolveError("python.uv-failed", text or "uv failed without a word", where=where)


def readable(stderr: str) -> str:
    """uv's message without its prefixes, colours and credentials, one clause a line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", stderr)
    text = re.sub(r"(?<=://)[^/\s@'\"`]+@", "", text)
    lines = []
    for line in text.splitlines():
        line = line.rstrip()
        if line.startswith(("warning:", "hint: Packages were unavailable", "hint: Wheels are required")):
            continue
        line = re.sub(r"^(error:|\s*cause:|\s*Caused by:|\s*×|\s*╰─▶|\s*│)\s*", "", line)
        if line.strip():
            lines.append(line)
    return "\n".join(lines).replace(", we can conclude that your requirements are unsatisfiable.", ".").rstrip(".")
