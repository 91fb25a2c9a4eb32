"""Files into the store by digest: parallel, resumed, verified; each failure names the file and what to do."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import ArchiveError, ResolveError
from bareboat.resolve.download_errors import (
    refused,
    too_long,
    unreachable,
    where_of,
    wrong_digest,
)
from bareboat.resolve.partial import Partial

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.transport import Transport

_CHUNK = 1 << 19
_PROGRESS_STEP = 1 << 20


@dataclass(frozen=True)
class Download:
    """A file that is known by digest. url: http, https, file, or an absolute path; size in bytes, 0 if
    unknown. source: who gives its bytes from an offset on instead of the URL, which then only says where; cut short it
    raises ResolveError "registry.cut", and is asked again.
    """

    url: str
    sha256: str
    size: int
    name: str
    source: Callable[[int], Iterator[bytes]] | None = None


@dataclass(frozen=True)
class Progress:
    """How far all of it is, in bytes; name: the file that moved last."""

    done: int
    total: int
    name: str


@dataclass(frozen=True)
class Policy:
    """How to fetch. tries: failures in a row without a new byte; deadline: seconds for all files together."""

    threads: int = 8
    tries: int = 5
    backoff: float = 0.5
    deadline: float = 6 * 3600.0
    offline: bool = False
    env: Mapping[str, str] | None = None  # proxies and CA bundle; None: the process's own


DEFAULT = Policy()


def fetch(
    store: Store,
    items: Sequence[Download],
    progress: Callable[[Progress], None] = lambda _: None,
    policy: Policy = DEFAULT,
    arrived: Callable[[Download], None] = lambda _: None,
) -> None:
    """Bring every item into the store, several at a time; those already there cost a look.

    arrived is called once for each digest when its blob is complete, from any thread; progress under a lock.
    Idempotent; an interrupted download is taken up again where it stopped. Raises ResolveError "download.*";
    what had arrived by then stays.
    """
    missing: dict[str, Download] = {}
    for item in items:
        if item.sha256 in missing:
            continue
        if store.blob(item.sha256) is None:
            missing[item.sha256] = item
        else:
            arrived(item)
    if not missing:
        return
    remote = [i for i in missing.values() if i.source is None and _local(i.url) is None]
    if policy.offline and remote:
        raise unreachable(remote, "these files are not in the store and bareboat is offline")
    from bareboat.transport import Transport

    queue = sorted(missing.values(), key=lambda i: -i.size)
    work = _Work(store, policy, Transport(policy.env, size=policy.threads), queue, progress, arrived)
    try:
        work.run()
    finally:
        work.transport.close()


def reachable(url: str, env: Mapping[str, str] | None = None, timeout: float = 5.0) -> str:
    """ "" when a server answers at the URL in any way, else why not, in a few words. For doctor."""
    import urllib3

    from bareboat.transport import Timeouts, Transport, reason

    transport = Transport(env, Timeouts(timeout, timeout))
    try:
        transport.get(url).close()
    except urllib3.exceptions.HTTPError as error:
        return reason(error)
    except ResolveError as error:
        return error.what
    finally:
        transport.close()
    return ""


class _Work:
    """One call of fetch: the queue, who failed, and how much there is."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        transport: Transport,
        queue: list[Download],
        progress: Callable[[Progress], None],
        arrived: Callable[[Download], None],
    ) -> None:
        self.store, self.policy, self.transport = store, policy, transport
        self.queue, self.progress, self.arrived = queue, progress, arrived
        self.items = tuple(queue)
        self.total = sum(i.size for i in queue)
        self.done = {i.sha256: 0 for i in queue}
        self.shown = 0
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self.end = time.monotonic() + policy.deadline

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._thread, name=f"download-{n}", daemon=True)
            for n in range(min(self.policy.threads, len(self.queue)))
        ]
        self.queue.reverse()
        for t in threads:
            t.start()
        try:
            for t in threads:
                t.join()
        except BaseException:
            self.stop.set()
            for t in threads:
                t.join(0.5)  # daemons: a socket that hangs must not hold up Ctrl-C
            raise
        if self.error is not None:
            raise self.error

    def _thread(self) -> None:
        while not self.stop.is_set():
            with self.lock:
                if not self.queue:
                    return
                item = self.queue.pop()
            try:
                _one(self, item)
                self.moved(item, item.size, final=True)
                self.arrived(item)
            except BaseException as error:
                with self.lock:
                    if self.error is None:
                        self.error = error
                self.stop.set()
                return

    def moved(self, item: Download, have: int, *, final: bool = False) -> None:
        with self.lock:
            self.done[item.sha256] = have
            done = sum(self.done.values()) if final or have % _PROGRESS_STEP < _CHUNK else -1
            if done >= 0:
                self.progress(Progress(done, self.total, item.name))

    def pause(self, seconds: float) -> None:
        """Wait, unless another download failed or the deadline is before the end of the wait."""
        if time.monotonic() + seconds > self.end:
            raise ResolveError(
                "download.deadline",
                "the time for downloads is over",
                hint="try again: what has arrived is kept, and the rest goes on where it stopped",
            )
        self.stop.wait(seconds)

    def wait(self) -> None:
        """Between two looks at what another process is at."""
        self.pause(0.1)
        if self.stop.is_set():
            raise _Stopped

    def missing(self) -> list[Download]:
        return [i for i in self.items if self.store.blob(i.sha256) is None]


class _Stopped(Exception):
    """Another download failed; this one ends quietly."""


def _one(work: _Work, item: Download) -> None:
    path = None if item.source else _local(item.url)
    if path is not None:
        _copy(work.store, item, path)
        return
    if work.stop.is_set():
        raise _Stopped
    with Partial(work.store, item.sha256, item.size, work.wait) as partial:
        if partial.fd < 0:
            return  # another process brought it
        resumed = partial.size() > 0
        _receive(work, item, partial)
        if not partial.publish():
            if not resumed:
                raise wrong_digest(item, partial.sha256())
            partial.empty()  # bytes of an earlier attempt may have been another file's: once more, from 0
            _receive(work, item, partial)
            if not partial.publish():
                raise wrong_digest(item, partial.sha256())


def _receive(work: _Work, item: Download, partial: Partial) -> None:
    """Append to the partial file until it is complete, through as many connections as that takes."""
    import random

    import urllib3

    from bareboat.transport import reason, redacted

    failures, before, last = 0, partial.size(), ""
    while True:
        if work.stop.is_set():
            raise _Stopped
        wait = 0.0
        try:
            wait, last = _attempt(work, item, partial)
            if not last:
                return
        except urllib3.exceptions.SSLError as error:
            raise ResolveError(
                "download.tls",
                f"the server's certificate is not trusted: {reason(error)}",
                where=redacted(item.url),
                hint="set SSL_CERT_FILE to the CA bundle of your network",
            ) from None
        except urllib3.exceptions.HTTPError as error:
            last = reason(error)
        have = partial.size()
        failures = 1 if have > before else failures + 1
        before = have
        if failures >= work.policy.tries:
            raise given_up(work, item, have, last)
        work.pause(max(wait, work.policy.backoff * 2 ** (failures - 1) * random.uniform(0.5, 1.5)))


def _attempt(work: _Work, item: Download, partial: Partial) -> tuple[float, str]:
    """One connection. (0, "") when the file is complete, else seconds to wait at least and what happened."""
    from bareboat.transport import retry_after

    have = partial.size()
    if item.size and have >= item.size:
        if have == item.size:
            return 0.0, ""
        partial.empty()
        have = 0
    if item.source is not None:
        return _given(work, item, partial, have)
    response = work.transport.get(item.url, {"Range": f"bytes={have}-"} if have else {})
    try:
        status = response.status
        if status == 206:
            start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
            if start != str(have):
                partial.empty()  # another range than was asked for: nothing of it can be used
                return 0.0, "the server sent another part of the file"
        elif status == 200:
            partial.empty()  # all of it again: the server knows no ranges
            have = 0
        elif status == 416:
            partial.empty()
            return 0.0, "the server has no more bytes"
        elif status in (408, 425, 429) or status >= 500:
            return retry_after(response.headers.get("Retry-After", "")), f"HTTP status {status}"
        else:
            raise refused(item, status)
        length = response.headers.get("Content-Length", "")
        whole = have + int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
        if item.size and whole > item.size:
            raise too_long(item, whole)
        chunks = iter(lambda: response.read(_CHUNK, decode_content=False), b"")
        return _take(work, item, partial, chunks, whole)
    finally:
        response.close()


def _given(work: _Work, item: Download, partial: Partial, have: int) -> tuple[float, str]:
    """As _attempt, from the item's own source."""
    assert item.source is not None
    try:
        return _take(work, item, partial, item.source(have), item.size)
    except ResolveError as error:
        if error.code != "registry.cut":
            raise
        return 0.0, error.what


def _take(work: _Work, item: Download, partial: Partial, chunks: Iterator[bytes], whole: int) -> tuple[float, str]:
    """Append what comes; as _attempt. whole: bytes in all, 0 where nobody said."""
    have = partial.size()
    for data in chunks:
        if work.stop.is_set():
            raise _Stopped
        if time.monotonic() > work.end:
            work.pause(0.0)
        have += len(data)
        if item.size and have > item.size:
            raise too_long(item, have)
        partial.append(data)
        work.moved(item, have)
    expected = item.size or whole
    if expected and have < expected:
        return 0.0, f"the connection ended after {have} of {expected} bytes"
    return 0.0, ""


def _copy(store: Store, item: Download, path: Path) -> None:
    try:
        store.put_file(path, sha256=item.sha256, size=item.size or None, where=item.name)
    except FileNotFoundError:
        raise ResolveError(
            "download.gone",
            "the file does not exist",
            where=str(path),
            hint="put it back, or lock again: bareboat lock",
        ) from None
    except ArchiveError as error:
        if not error.code.startswith("blob."):
            raise
        with path.open("rb") as file:
            state = hashlib.sha256()
            while data := file.read(1 << 20):
                state.update(data)
        raise wrong_digest(item, state.hexdigest()) from None


def _local(url: str) -> Path | None:
    """The path of a file URL or an absolute path; None for what is fetched."""
    if url.startswith("/"):
        return Path(url)
    if url.startswith("file:"):
        from urllib.parse import unquote, urlsplit

        return Path(unquote(urlsplit(url).path))
    return None


def given_up(work: _Work, item: Download, have: int, last: str) -> ResolveError:
    if have:
        return ResolveError(
            "download.truncated",
            f"the download stops at {have} of {item.size or 'unknown'} bytes: {last}",
            where=where_of(item),
            hint="try again: it goes on where it stopped",
        )
    if last.startswith(("HTTP status", "the ")):
        return ResolveError(
            "download.server",
            f"gave up after {work.policy.tries} tries: {last}",
            where=where_of(item),
            hint="try again later",
        )
    return unreachable(work.missing(), f"the server cannot be reached: {last}")
