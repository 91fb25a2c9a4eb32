"""InRelease: its signature, and what it says (the repository format of apt). Pure but for reading key
files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bareboat.errors import ResolveError
from bareboat.image.deb import parse_fields


@dataclass(frozen=True)
class Release:
    """A verified InRelease. date, valid_until: aware datetimes; files: path under dists/SUITE → (sha256,
    size)."""

    suite: str
    codename: str
    date: datetime
    valid_until: datetime | None
    by_hash: bool
    components: tuple[str, ...]
    files: dict[str, tuple[str, int]]

    @property
    def iso_date(self) -> str:
        """The Date field as ISO 8601 UTC, to the second: "2026-01-02T03:04:05Z"."""
        return self.date.strftime("%Y-%m-%dT%H:%M:%SZ")


def keyring_files(
    family: str,
    setting: str,
    named: Iterable[str],
    share: Path = Path("/usr/share/keyrings"),
    shipped: Path | None = None,
) -> list[Path]:
    """The key files to trust: the setting alone; else those the apt sources name, the host's, and the
    shipped ones.

    ResolveError "debian.keyring" when there is none.
    """
    if setting:
        if not Path(setting).is_file():
            raise ResolveError("debian.keyring", "the keyring that is set does not exist", where=setting)
        return [Path(setting)]
    folder = shipped or Path(__file__).parents[2] / "data" / "keyrings"
    wanted = [Path(p) for p in named if Path(p).name.startswith(f"{family}-archive")]
    for stem in (share / f"{family}-archive-keyring", folder / f"{family}-archive-keyring"):
        wanted += [stem.with_suffix(suffix) for suffix in (".gpg", ".pgp")]
    found = [p for p in dict.fromkeys(wanted) if p.is_file()]
    if not found:
        raise ResolveError(
            "debian.keyring",
            f"no public keys of the {family} archive on this machine",
            where=str(share),
            hint=f"install {family}-archive-keyring, or set debian.keyring to a file",
        )
    return found


def read_keys(files: Iterable[Path]) -> list[Any]:
    """The OpenPGP certificates in these files, binary or armoured. ResolveError "debian.keyring"."""
    from pysequoia import Cert

    certs: list[Any] = []
    for path in files:
        try:
            certs += Cert.split_bytes(path.read_bytes())
        except (OSError, RuntimeError, ValueError) as error:
            raise ResolveError(
                "debian.keyring", f"the keyring cannot be read: {str(error).splitlines()[0]}", where=str(path)
            ) from error
    return certs


def verify(signed: bytes, certs: list[Any], where: str) -> bytes:
    """The text that a trusted key signed, and nothing else of the file: at least one good signature is
    needed.

    ResolveError "debian.signature": unsigned, tampered with, an unknown, expired or revoked key, a weak
    digest.
    """
    import pysequoia

    if not signed.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----"):
        raise ResolveError(
            "debian.signature",
            "the archive's index is not signed",
            where=where,
            hint="use a mirror that carries InRelease",
        )
    asked: list[str] = []

    def store(ids: list[str]) -> list[Any]:
        asked.extend(ids)
        return certs

    try:
        result = pysequoia.verify(bytes=signed, store=store)
        if result.valid_sigs:
            return bytes(result.bytes or b"")
        reason = "no valid signature"
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
    keys = f" (signed by {', '.join(i[-16:].upper() for i in asked)})" if asked else ""
    raise ResolveError(
        "debian.signature",
        f"the archive's index has no good signature by a trusted key{keys}: {reason}",
        where=where,
        hint="bring the archive keyring package and this machine's clock up to date, or "
        "set debian.keyring to the archive's public keys",
    )


def _date(text: str, where: str) -> datetime:
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        raise ResolveError("debian.index", f"the archive's index has no usable date: {text!r}", where=where) from None
    return date.replace(tzinfo=timezone.utc) if date.tzinfo is None else date.astimezone(timezone.utc)


def parse_release(text: bytes, where: str) -> Release:
    """The fields bareboat uses, from verified text. ResolveError "debian.index" when malformed."""
    fields = parse_fields(text.decode("utf-8", "replace"))
    files: dict[str, tuple[str, int]] = {}
    for line in fields.get("SHA256", "").splitlines():
        words = line.split()
        if len(words) == 3 and len(words[0]) == 64 and words[1].isdigit():
            files[words[2]] = (words[0], int(words[1]))
    if not files:
        raise ResolveError("debian.index", "the archive's index lists no files by sha256", where=where)
    until = fields.get("Valid-Until", "")
    return Release(
        fields.get("Suite", ""),
        fields.get("Codename", ""),
        _date(fields.get("Date", ""), where),
        _date(until, where) if until else None,
        fields.get("Acquire-By-Hash", "") == "yes",
        tuple(fields.get("Components", "").split()),
        files,
    )


def check_suite(release: Release, suite: str, where: str) -> None:
    """ResolveError "debian.suite" when the index is another suite's: a mirror that mixes them up, or an
    attack."""
    if suite not in (release.suite, release.codename):
        raise ResolveError(
            "debian.suite",
            f"asked for {suite!r}, the index says it is {release.codename!r} ({release.suite!r})",
            where=where,
        )


def check_fresh(release: Release, now: datetime, where: str) -> None:
    """ResolveError "debian.expired" when Valid-Until has passed."""
    if release.valid_until is not None and release.valid_until < now:
        until = release.valid_until.strftime("%Y-%m-%d %H:%M UTC")
        raise ResolveError(
            "debian.expired",
            f"the archive's index of {release.codename} was valid until {until} only",
            where=where,
            hint="the mirror is not updated any more, or this machine's clock is wrong; "
            "to use it as it is, set debian.check-valid-until = false",
        )
