"""What can go wrong with a download, as errors that name the file and say what to do. No URL is shown in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bareboat.errors import ResolveError

if TYPE_CHECKING:
    from bareboat.resolve.download import Download


def where_of(item: Download) -> str:
    """The file and its address, without what may be secret in it."""
    from bareboat.transport import redacted

    return f"{item.name} ({redacted(item.url)})"


def wrong_digest(item: Download, got: str) -> ResolveError:
    """The code download.digest: the bytes are not the ones that were locked."""
    return ResolveError(
        "download.digest",
        f"the file is not the one that was locked: expected sha256 {item.sha256}, got {got}",
        where=where_of(item),
        hint="if the index really changed it, look at why, then: bareboat lock --upgrade; "
        "otherwise a proxy or mirror altered it: try again",
    )


def too_long(item: Download, size: int) -> ResolveError:
    """The code download.size: there are more bytes than were locked."""
    return ResolveError(
        "download.size",
        f"the server sends {size} bytes or more, the lock says {item.size}",
        where=where_of(item),
        hint="the file at the index is another one: bareboat lock --upgrade",
    )


def refused(item: Download, status: int) -> ResolveError:
    """The error for an HTTP status that no further try will change."""
    if status in (404, 410):
        return ResolveError(
            "download.gone",
            f"the file is no longer there (HTTP status {status})",
            where=where_of(item),
            hint="lock again to get a version that exists: bareboat lock --upgrade",
        )
    if status in (401, 403, 407):
        return ResolveError(
            "download.denied",
            f"the server refuses (HTTP status {status})",
            where=where_of(item),
            hint="check user and password in the index URL, and the proxy",
        )
    return ResolveError("download.refused", f"the server answers with HTTP status {status}", where=where_of(item))


def unreachable(missing: Sequence[Download], what: str) -> ResolveError:
    """The code download.offline: what is missing, by name."""
    names = ", ".join(i.name for i in missing[:10])
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
    return ResolveError(
        "download.offline",
        what,
        where=f"missing: {names}{more}",
        hint="connect, or set HTTPS_PROXY; what the store has goes on working",
    )
