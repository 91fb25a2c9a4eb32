"""The locked packages into the store, from the mirror, or from a snapshot when the mirror has dropped
them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bareboat.errors import ResolveError
from bareboat.lock import Base, Deb
from bareboat.resolve.debian.http import Offline
from bareboat.store import Store

if TYPE_CHECKING:
    from bareboat.resolve.debian.archive import Archive, Progress


ARCHIVES = ("main", "security")


@dataclass(frozen=True)
class _Trip:
    """How packages travel into the store."""

    store: Store
    show: Progress
    arrived: Callable[[str], None]
    offline: bool

    def fetch(self, debs: Sequence[Deb], bases: dict[str, str]) -> None:
        """Fetch these from the base URLs of their archives. ResolveError "download.*"."""
        from bareboat.resolve import download

        items = [
            download.Download(f"{bases[d.archive]}/{d.path}", d.sha256, d.size, f"{d.name} {d.version}") for d in debs
        ]
        download.fetch(
            self.store,
            items,
            lambda p: self.show("Debian packages", p.done, p.total),
            download.Policy(offline=self.offline),
            lambda item: self.arrived(item.sha256),
        )


def ignore(sha256: str) -> None:
    """The callback for arrivals that nobody waits for."""


def missing_debs(store: Store, base: Base) -> tuple[Deb, ...]:
    """The packages of a locked base that are not in the store."""
    return tuple(d for d in base.packages if store.blob(d.sha256) is None)


def snapshot_url(template: str, date: str) -> str:
    """A snapshot mirror's base URL at a locked date: "{date}" becomes 20260102T030405Z."""
    return template.replace("{date}", date.replace("-", "").replace(":", "")).rstrip("/")


def fetch_debs(
    store: Store,
    base: Base,
    archive: Archive,
    progress: Progress | None = None,
    arrived: Callable[[str], None] = ignore,
) -> None:
    """Bring every package of the base into the store, verified by size and sha256. Idempotent; resumes.

    arrived: called with the sha256 of each package as it is complete, from any thread; see
    builder.debs.unpacking, which unpacks the first while the last still travel.

    ResolveError "debian.superseded" when neither the mirror nor a snapshot has one any more; "download.*".
    """
    missing = missing_debs(store, base)
    if not missing:
        return
    trip = _Trip(store, progress or archive.progress, arrived, isinstance(archive.fetcher, Offline))
    first: ResolveError | None = None
    for position in range(max(len(archive.bases("main")), len(archive.bases("security")))):
        try:
            trip.fetch(missing, {which: _at(archive.bases(which), position) for which in ARCHIVES})
            return
        except ResolveError as error:
            first = first or error
            missing = missing_debs(store, base)
    assert first is not None
    gone = _gone(missing, archive)
    if not gone:
        raise first
    rest = [d for d in missing if d not in gone]
    if rest:
        trip.fetch(rest, {which: _at(archive.bases(which), 0) for which in ARCHIVES})
    if archive.settings.snapshot:
        url = snapshot_url(archive.settings.snapshot, base.date)
        trip.fetch(gone, {"main": url, "security": _security_snapshot(url)})
        return
    names = ", ".join(f"{d.name} {d.version}" for d in gone[:5]) + (", …" if len(gone) > 5 else "")
    raise ResolveError(
        "debian.superseded",
        f"the mirror has newer versions and no longer has {names}",
        where=f"{base.family}:{base.suite} of {base.date}",
        hint="run `bareboat lock --upgrade` to lock what the mirror has now, or set debian.snapshot to "
        "a snapshot archive's URL with {date} in it",
    )


def _security_snapshot(url: str) -> str:
    """Snapshot archives keep security beside the main archive, as …/archive/NAME-security/DATE."""
    head, slash, date = url.rpartition("/")
    return f"{head}-security{slash}{date}"


def _at(bases: Sequence[str], position: int) -> str:
    return bases[min(position, len(bases) - 1)] if bases else ""


def _gone(debs: Sequence[Deb], archive: Archive) -> list[Deb]:
    """Those of the missing packages that every mirror answers 404 to; a byte is asked for, not the file."""
    found = []
    for deb in debs:
        try:
            statuses = {
                archive.fetcher.get(f"{base}/{deb.path}", {"Range": "bytes=0-0"}).status
                for base in archive.bases(deb.archive)
            }
        except ResolveError:
            continue
        if statuses and statuses <= {404, 410}:
            found.append(deb)
    return found
