"""A package archive with its cache: InRelease → signature → Packages by hash → compact index.

What was once verified is kept in the store, so a lock offline uses it; an InRelease older than one seen
before is not used. Nothing that is fetched is read before its signature or digest has been checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bareboat.errors import ResolveError
from bareboat.resolve.debian.http import UNREACHABLE, Fetcher
from bareboat.resolve.debian.index import FORMAT, Index, build_index
from bareboat.resolve.debian.release import Release, check_fresh, check_suite, parse_release, verify
from bareboat.resolve.debian.sources import ArchiveSettings, Mirrors, redacted
from bareboat.store import Store

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """The progress callback that shows nothing."""


@dataclass(frozen=True)
class Archive:
    """One family's archive as this machine reaches it. certs: the trusted keys; now: the clock, aware UTC."""

    family: str
    mirrors: Mirrors
    settings: ArchiveSettings
    store: Store
    fetcher: Fetcher
    certs: list[Any]
    now: Callable[[], datetime]
    progress: Progress = silent

    def bases(self, archive: str) -> tuple[str, ...]:
        """The base URLs to try for "main" or "security". Debian's mirrors have security beside them,
        Ubuntu's inside."""
        if archive == "main":
            return self.mirrors.main
        if self.mirrors.security:
            return self.mirrors.security
        return self.mirrors.main if self.family == "ubuntu" else tuple(f"{u}-security" for u in self.mirrors.main)

    def release(self, archive: str, suite: str, *, optional: bool = False, fresh: bool = True) -> Release | None:
        """A suite's verified InRelease; None when it is optional and was never there.

        fresh: refuse one past its Valid-Until. ResolveError "debian.no-suite", "debian.signature",
        "debian.suite",
        "debian.expired", "debian.unreachable".
        """
        errors: list[ResolveError] = []
        for base in self.bases(archive):
            try:
                return self._release_at(base, suite, fresh and self.settings.check_valid_until)
            except ResolveError as error:
                if error.code not in ("debian.no-suite", UNREACHABLE):
                    raise
                errors.append(error)
        if optional and all(e.code == "debian.no-suite" for e in errors):
            return None
        if optional and archive == "security" and not self.mirrors.security:
            return None  # beside the main mirror was a guess
        raise errors[0]

    def _release_at(self, base: str, suite: str, fresh: bool) -> Release:
        url = f"{base}/dists/{suite}/InRelease"
        where = redacted(url)
        key = "debian-release-" + hashlib.sha256(url.encode()).hexdigest()[:40]
        cached = self.store.get_json("cache", key)
        known = cached if isinstance(cached, dict) else {}
        path = self.store.blob(str(known.get("blob", "")) or "0" * 64)
        headers = {
            name: str(known[field_])
            for name, field_ in (("If-None-Match", "etag"), ("If-Modified-Since", "modified"))
            if path and known.get(field_)
        }
        offline = False
        try:
            answer = self.fetcher.get(url, headers)
        except ResolveError:
            if path is None:
                if known.get("absent"):
                    raise ResolveError("debian.no-suite", f"the mirror had no suite {suite!r}", where=where) from None
                raise
            offline = True
        if path is not None and (offline or answer.status == 304):
            release = self._read(path.read_bytes(), suite, where)
            if fresh and not offline:  # offline nobody can say better: what was seen last counts
                check_fresh(release, self.now(), where)
            return release
        if answer.status in (404, 403, 410):
            if path is not None:
                raise ResolveError(
                    "debian.suite",
                    f"the mirror had {suite} before and says now that it has not",
                    where=where,
                    hint="try again later, or set another mirror",
                )
            if not known.get("absent"):
                self.store.put_json("cache", key, {"absent": True})
            raise ResolveError(
                "debian.no-suite",
                f"the mirror has no suite {suite!r}",
                where=where,
                hint="suites go by their codename, as in debian:bookworm or ubuntu:noble",
            )
        if answer.status != 200:
            raise ResolveError(UNREACHABLE, f"the mirror answers with status {answer.status}", where=where)
        release = self._read(answer.body, suite, where)
        if path is not None and release.iso_date < str(known.get("date", "")):
            release = self._read(path.read_bytes(), suite, where)  # a mirror that lags behind, or a rollback
            if fresh:
                check_fresh(release, self.now(), where)
            return release
        if release.iso_date < str(known.get("date", "")):
            raise ResolveError(
                "debian.rollback",
                f"the mirror's index of {release.iso_date} is older than the one of {known['date']} seen before",
                where=where,
                hint="try again later",
            )
        if fresh:
            check_fresh(release, self.now(), where)
        blob = self.store.put_blob([answer.body], where=where)
        self.store.put_json(
            "cache",
            key,
            {
                "blob": blob,
                "date": release.iso_date,
                "etag": answer.headers.get("etag", ""),
                "modified": answer.headers.get("last-modified", ""),
            },
        )
        return release

    def _read(self, signed: bytes, suite: str, where: str) -> Release:
        release = parse_release(verify(signed, self.certs, where), where)
        check_suite(release, suite, where)
        return release

    def index(self, archive: str, suite: str, release: Release, component: str, architecture: str) -> Index | None:
        """A component's compact index; None when the suite has no such component.

        ResolveError "debian.digest", "debian.unreachable", "debian.no-architecture".
        """
        stem = f"{component}/binary-{architecture}/Packages"
        listed = [stem + s for s in (".gz", ".xz", "") if stem + s in release.files]
        if not listed:  # bullseye-security and older name components "updates/main" but list them as "main"
            if any(name.startswith(f"{component}/binary-") for name in release.files):
                raise ResolveError(
                    "debian.no-architecture",
                    f"{suite} has no packages for {architecture}",
                    where=redacted(self.bases(archive)[0]),
                )
            return None
        name = listed[0]
        digest, _ = release.files[name]
        key = f"debian-index-{FORMAT}-{digest}"
        cached = self.store.get_json("cache", key)
        path = self.store.blob(str(cached)) if isinstance(cached, str) else None
        if path is None:
            raw = self._verified(archive, suite, release, name)
            data = build_index(_unpack(raw, name), name)
            blob = self.store.put_blob([_squeezed(data)], where=name)
            self.store.put_json("cache", key, blob)
            return Index(data, archive)
        return Index(_spread(path.read_bytes()), archive)

    def _verified(self, archive: str, suite: str, release: Release, name: str) -> bytes:
        digest, size = release.files[name]
        folder, _, _ = name.rpartition("/")
        paths = ([f"{folder}/by-hash/SHA256/{digest}"] if release.by_hash else []) + [name]
        wrong: ResolveError | None = None
        unreachable: ResolveError | None = None
        for base in self.bases(archive):
            for path in paths:
                url = f"{base}/dists/{suite}/{path}"
                self.progress(f"package index of {suite}", 0, size)
                try:
                    answer = self.fetcher.get(url, {})
                except ResolveError as error:
                    unreachable = error
                    break
                if answer.status != 200:
                    continue
                if len(answer.body) == size and hashlib.sha256(answer.body).hexdigest() == digest:
                    self.progress(f"package index of {suite}", size, size)
                    return answer.body
                wrong = ResolveError(
                    "debian.digest",
                    "the package index is not what InRelease says it is",
                    where=redacted(url),
                    hint="the mirror may be in the middle of an update: try again in a few minutes",
                )
        raise (
            wrong
            or unreachable
            or ResolveError(
                "debian.digest",
                "the mirror does not have the package index that its InRelease names",
                where=redacted(f"{self.bases(archive)[0]}/dists/{suite}/{name}"),
                hint="the mirror may be in the middle of an update: try again in a few minutes",
            )
        )


def _unpack(raw: bytes, name: str) -> bytes:
    """A verified index, inflated: its digest was signed, so its size is the archive's own doing."""
    if name.endswith(".gz"):
        from isal import igzip

        return bytes(igzip.decompress(raw))  # type: ignore[no-untyped-call]
    if name.endswith(".xz"):
        import lzma

        return lzma.decompress(raw)
    return raw


def _squeezed(data: bytes) -> bytes:
    """An index for the store: a quarter of its size; it is read only when a base is locked, 40 ms then."""
    import zstandard

    return zstandard.ZstdCompressor(level=3).compress(data)


def _spread(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompress(data)
