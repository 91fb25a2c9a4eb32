"""A blob into a registry: is it there, can it be mounted, else one PUT, and chunks that go on where a PUT was cut
(distribution-spec 1.1, "Pushing Blobs").

The registry names the place of an upload anew with every answer; it is used as it stands, the digest appended.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, urlencode

from bareboat.registry import answers
from bareboat.registry.ask import Answer, Ask
from bareboat.registry.base import Blob, RegistryError, Sent
from bareboat.registry.policy import MIB, Tries, passes
from bareboat.registry.wire import INTERRUPTED, Wire

_LEAST = MIB  # bytes of a chunk, unless the registry wants more


def upload(wire: Wire, scopes: tuple[str, ...], blob: Blob, mount: str = "") -> Sent:
    """Bring a blob there. mount: a repository of the same registry that has it. Raises RegistryError."""
    work = _Upload(wire, scopes, blob)
    if work.is_there():
        return Sent("there")
    if mount and mount != wire.endpoint.repository and work.mounted(mount):
        return Sent("mounted")
    work.send()
    return Sent("sent", work.bytes)


class _Upload:
    """One blob on its way. at: bytes that the registry has; place: the URL of the upload, "" for none yet."""

    def __init__(self, wire: Wire, scopes: tuple[str, ...], blob: Blob) -> None:
        self._wire, self._scopes, self._blob = wire, scopes, blob
        self._digest, self._size = blob.descriptor.digest, blob.descriptor.size
        self._policy = wire.policy
        self._chunk = self._policy.chunk
        self._least = min(_LEAST, self._chunk)
        self._place = ""
        self._at = 0
        self.bytes = 0

    def is_there(self, tries: Tries | None = None) -> bool:
        """By HEAD. A registry that does not answer it gets the blob again."""
        answer = self._wire.open(self._ask("HEAD", self._path(), expect=(200, 404, 400, 405, 501)), tries)
        answer.close()
        return answer.status == 200 and answer.length in (None, self._size)

    def mounted(self, source: str) -> bool:
        """By a mount from another repository; where the registry starts an upload instead, that one is used."""
        query = urlencode({"mount": self._digest, "from": source}, safe=":/")
        scopes = (*self._scopes, f"repository:{source}:pull")
        try:
            answer = self._wire.open(self._ask("POST", f"{self._uploads()}?{query}", expect=(201, 202), scopes=scopes))
        except RegistryError as error:
            if error.code in ("registry.denied", "registry.refused", "registry.not-found"):
                return False  # no right on the source, or no mounts here
            raise
        answer.drain()
        if answer.status == 201:
            return True
        self._begun(answer)
        return False

    def send(self) -> None:
        """All of it, through as many tries as the policy gives to each step forward."""
        tries = Tries(self._policy)
        whole = True
        while True:
            before, wait = self._at, 0.0
            try:
                if not self._place:
                    self._begin(tries)
                error, wait = self._finish(self._at) if whole else self._piece()
            except RegistryError as caught:
                if caught.code not in INTERRUPTED:
                    raise
                error = caught
            tries.rest()
            if error is None:
                if not self._place:
                    return
                tries.progress(self._at - before)
                continue
            whole = False
            if self._resume(tries):
                return
            tries.progress(self._at - before)
            tries.again(error, wait)

    def _begin(self, tries: Tries) -> None:
        answer = self._wire.open(self._ask("POST", self._uploads(), expect=(202,)), tries)
        answer.drain()
        self._begun(answer)

    def _begun(self, answer: Answer) -> None:
        self._at = 0
        self._go_on(answer)
        if not self._place:
            raise self._wire.wrong("the registry starts an upload without saying where")
        least = answer.header("OCI-Chunk-Min-Length")
        if least.isascii() and least.isdigit() and len(least) < 12:
            self._least = max(self._least, int(least))
            self._chunk = max(self._chunk, self._least)

    def _go_on(self, answer: Answer) -> None:
        location = answer.header("Location")
        if location:
            self._place = self._wire.follow(answer, location)

    def _piece(self) -> tuple[RegistryError | None, float]:
        """One chunk, or the end."""
        if self._at >= self._size:
            return self._finish(self._size)
        end = min(self._at + self._chunk, self._size)
        headers = {"Content-Range": f"{self._at}-{end - 1}", "Content-Type": "application/octet-stream"}
        ask = self._ask("PATCH", self._place, expect=(201, 202, 204), headers=headers, start=self._at, end=end)
        answer = self._wire.once(ask)
        if answer.status in ask.expect:  # 201 is what ECR says
            answer.drain()
            self._go_on(answer)
            there = answers.upload_offset(answer.header("Range"))
            self.bytes += end - self._at
            if there is not None and not self._at < there <= end:
                there = None
            self._at = end if there is None else there
            return None, 0.0
        wait, error = self._wire.wait(answer), self._wire.failure(answer, ask)
        if answer.status == 413 and self._chunk > self._least:
            self._chunk = max(self._chunk // 2, self._least)
            return error, wait
        if answer.status not in (404, 416) and not _unclear(answer.status):
            raise error
        return error, wait

    def _finish(self, start: int) -> tuple[RegistryError | None, float]:
        sign = "&" if "?" in self._place else "?"
        place = f"{self._place}{sign}digest={quote(self._digest, safe=':')}"
        headers = {"Content-Type": "application/octet-stream"}
        if start and start < self._size:
            headers["Content-Range"] = f"{start}-{self._size - 1}"
        ask = self._ask("PUT", place, expect=(201, 204), headers=headers, start=start, end=self._size)
        answer = self._wire.once(ask)
        if answer.status in ask.expect:
            answer.drain()
            said = answer.header("Docker-Content-Digest")
            if said and said != self._digest and said.partition(":")[0] == self._digest.partition(":")[0]:
                raise RegistryError("registry.digest", "the registry took the blob for another one",
                                    where=self._where, hint="tell whoever runs the registry")
            self.bytes += self._size - start
            self._at, self._place = self._size, ""
            return None, 0.0
        wait, error = self._wire.wait(answer), self._wire.failure(answer, ask)
        if answer.status not in (404, 413, 416) and not _unclear(answer.status):
            raise error
        if answer.status == 413 and start >= self._size:
            raise error
        return error, wait

    def _resume(self, tries: Tries) -> bool:
        """Whether the blob is there after all; else at is where the registry is in this upload, or it begins anew."""
        if self.is_there(tries):
            return True
        if not self._place:
            return False
        place, self._place = self._place, ""
        try:
            answer = self._wire.open(self._ask("GET", place, expect=(204, 202, 200)), tries)
        except RegistryError as error:
            if error.code == "registry.denied":
                raise
            self._at = 0  # gone, or a registry that does not say: a new upload
            return False
        answer.drain()
        there = answers.upload_offset(answer.header("Range"))
        if there is None or there > self._size:
            self._at = 0
            return False
        self._at, self._place = there, place
        self._go_on(answer)
        return False

    def _ask(self, method: str, url: str, *, expect: tuple[int, ...], headers: dict[str, str] | None = None,
             scopes: tuple[str, ...] = (), start: int = 0, end: int = 0) -> Ask:
        body = (lambda: self._bytes(start, end)) if method in ("PUT", "PATCH") else None
        return Ask(method, url, scopes or self._scopes, headers or {}, body, end - start, expect, self._where)

    def _bytes(self, start: int, end: int) -> Iterator[bytes]:
        left = end - start
        if not left:
            return
        for chunk in self._blob.open(start):
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    def _path(self) -> str:
        return f"{self._wire.endpoint.repository}/blobs/{quote(self._digest, safe=':')}"

    def _uploads(self) -> str:
        return f"{self._wire.endpoint.repository}/blobs/uploads/"

    @property
    def _where(self) -> str:
        return f"{self._wire.where}@{self._digest}"


def _unclear(status: int) -> bool:
    """Whether the upload itself must be looked at: it passes, or it is some success or other."""
    return passes(status) or 200 <= status < 300
