"""The archive as this machine reaches it: apt's sources, keyrings, clock and network put together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from bareboat.errors import ResolveError
from bareboat.resolve.debian.archive import Archive, Progress, silent
from bareboat.resolve.debian.http import Fetcher, Http, Offline
from bareboat.resolve.debian.release import keyring_files, read_keys
from bareboat.resolve.debian.sources import FAMILIES, ArchiveSettings, find_mirrors, read_host_sources
from bareboat.store import Store


def _clock() -> datetime:
    return datetime.now(timezone.utc)


def open_archive(
    store: Store,
    settings: ArchiveSettings | None = None,
    *,
    family: str = "",
    env: Mapping[str, str] | None = None,
    offline: bool = False,
    progress: Progress = silent,
    etc: Path = Path("/etc/apt"),
) -> Archive:
    """The archive of a family ("debian", "ubuntu"; "": the one this machine's apt has, Debian's first).

    Asks nobody yet. ResolveError "debian.no-mirror", "debian.keyring", "debian.family".
    """
    if family and family not in FAMILIES:
        raise ResolveError(
            "debian.family",
            f"unknown family of archives {family!r}",
            hint=f"one of {', '.join(FAMILIES)}, as in debian:SUITE",
        )
    settings = settings or ArchiveSettings()
    sources = [] if settings.mirror else read_host_sources(etc)
    candidates = (family,) if family else FAMILIES if not settings.mirror else FAMILIES[:1]
    first: ResolveError | None = None
    for name in candidates:
        try:
            mirrors = find_mirrors(name, settings, sources)
        except ResolveError as error:
            first = first or error
            continue
        certs = read_keys(keyring_files(name, settings.keyring, mirrors.keyrings))
        fetcher: Fetcher = Offline() if offline else Http(env)
        return Archive(name, mirrors, settings, store, fetcher, certs, _clock, progress)
    assert first is not None
    raise first
