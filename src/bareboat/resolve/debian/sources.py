"""Where the archive is: the host's apt sources (deb822 and one-line, sources.list(5)) or a setting.
Parsing is pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from bareboat.errors import ResolveError

FAMILIES = ("debian", "ubuntu")
COMPONENTS = {"debian": ("main",), "ubuntu": ("main", "universe")}


@dataclass(frozen=True)
class ArchiveSettings:
    """What the settings say about Debian archives; empty means: from this host's apt.

    mirror, security_mirror: base URLs (above dists/ and pool/). keyring: a file of public keys instead of
    the host's. check_valid_until: refuse an InRelease past its Valid-Until when locking. snapshot: base
    URL with "{date}" in it (as 20260101T000000Z), asked for packages that the mirror no longer has.
    components: as in apt; empty for the family's free ones (Ubuntu keeps most in universe).
    """

    mirror: str = ""
    security_mirror: str = ""
    keyring: str = ""
    check_valid_until: bool = True
    snapshot: str = ""
    components: tuple[str, ...] = ()


@dataclass(frozen=True)
class AptSource:
    """One binary entry of the host's apt. uris as written; signed_by: paths only (embedded keys are left
    out)."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: tuple[str, ...] = ()
    file: str = ""


@dataclass(frozen=True)
class Mirrors:
    """Candidate base URLs in the order to be tried, and the keyrings that the entries name."""

    main: tuple[str, ...] = ()
    security: tuple[str, ...] = ()
    keyrings: tuple[str, ...] = field(default=())


def redacted(url: str) -> str:
    """A URL as it may be shown: without user and password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def parse_one_line(text: str, file: str = "") -> list[AptSource]:
    """Entries of a *.list file: `deb [option=value …] uri suite component…`, # starts a comment."""
    found = []
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        kind, _, rest = line.replace("\t", " ").partition(" ")
        if kind != "deb":
            continue
        rest = rest.strip()
        options: dict[str, str] = {}
        if rest.startswith("["):
            inner, closed, rest = rest[1:].partition("]")
            if not closed:
                continue
            options = {k.lower(): v for k, _, v in (o.partition("=") for o in inner.split())}
        if rest.startswith("cdrom:"):
            continue
        words = rest.split()
        if len(words) < 2:
            continue
        signed = tuple(p for p in options.get("signed-by", "").split(",") if p.startswith("/"))
        found.append(AptSource((words[0],), (words[1],), tuple(words[2:]), signed, file))
    return found


def parse_deb822(text: str, file: str = "") -> list[AptSource]:
    """Entries of a *.sources file: paragraphs of Types, URIs, Suites, Components, Signed-By, Enabled."""
    found = []
    for fields in _paragraphs(text):
        enabled = fields.get("enabled", "yes").strip().lower() not in ("no", "false", "0", "off")
        uris = tuple(u for u in fields.get("uris", "").split() if not u.startswith("cdrom:"))
        suites = tuple(fields.get("suites", "").split())
        if not enabled or "deb" not in fields.get("types", "").split() or not uris or not suites:
            continue
        signed = tuple(p for p in fields.get("signed-by", "").split() if p.startswith("/"))
        found.append(AptSource(uris, suites, tuple(fields.get("components", "").split()), signed, file))
    return found


def _paragraphs(text: str) -> Iterable[dict[str, str]]:
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line.startswith("#"):
            continue
        elif line[0] in " \t":
            if name:
                fields[name] += "\n" + line.strip()
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()


def read_host_sources(etc: Path = Path("/etc/apt")) -> list[AptSource]:
    """All enabled binary entries of the host, in apt's order. Unreadable files are passed over, as they
    may hold credentials and be root's alone."""
    found: list[AptSource] = []
    parts = etc / "sources.list.d"
    try:
        names = sorted(p.name for p in parts.iterdir())
    except OSError:
        names = []
    for path in [etc / "sources.list", *(parts / n for n in names)]:
        if path.suffix not in (".list", ".sources"):
            continue
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:
            continue
        parse = parse_deb822 if path.suffix == ".sources" else parse_one_line
        found += parse(text, str(path))
    return found


def _is_security(suite: str) -> bool:
    return suite.endswith(("-security", "/updates"))


def _score(source: AptSource, family: str, base_suites: set[str]) -> int:
    """How surely an entry is the distribution's own: a foreign key or component rules it out; 0 means no."""
    if source.components and "main" not in source.components:
        return 0
    if source.signed_by and not any(Path(p).name.startswith(f"{family}-archive") for p in source.signed_by):
        return 0
    score = 0
    if source.signed_by:
        score += 4
    if any(urlsplit(u).path.rstrip("/").rpartition("/")[2].startswith(family) for u in source.uris):
        score += 2
    if any(f"{s}-updates" in base_suites or _is_security(s) for s in source.suites):
        score += 1
    return score


def _expand(uris: Iterable[str]) -> Iterable[str]:
    """Plain base URLs: mirror+file: lists are read; other methods that are not http, https or file are
    left out."""
    for uri in uris:
        if uri.startswith("mirror+file:"):
            try:
                lines = Path("/" + uri[len("mirror+file:") :].lstrip("/")).read_text("utf-8", "replace").splitlines()
            except OSError:
                continue
            yield from _expand(w[0] for w in (line.partition("#")[0].split() for line in lines) if w)
        elif uri.startswith(("http://", "https://", "file:/", "copy:/")):
            yield uri.replace("copy:", "file:", 1).rstrip("/") if uri.startswith("copy:") else uri.rstrip("/")


def find_mirrors(family: str, settings: ArchiveSettings, sources: Iterable[AptSource]) -> Mirrors:
    """The family's mirrors by setting, else from apt's entries, best first. ResolveError
    "debian.no-mirror"."""
    if settings.mirror:
        main = (settings.mirror.rstrip("/"),)
        security = (settings.security_mirror.rstrip("/"),) if settings.security_mirror else ()
        return Mirrors(main, security)
    listed = list(sources)
    suites = {s for source in listed for s in source.suites}
    ranked = sorted(
        ((_score(s, family, suites), -i, s) for i, s in enumerate(listed)),
        reverse=True,
        key=lambda item: item[:2],
    )
    good = [source for score, _, source in ranked if score > 0]
    main_uris = [u for s in good if not all(map(_is_security, s.suites)) for u in _expand(s.uris)]
    security_uris = [u for s in good if any(map(_is_security, s.suites)) for u in _expand(s.uris)]
    if settings.security_mirror:
        security_uris = [settings.security_mirror.rstrip("/")]
    if not main_uris:
        raise ResolveError(
            "debian.no-mirror",
            f"no mirror of the {family} archive is known on this machine",
            where="/etc/apt/sources.list.d",
            hint=f"set one: {family}.mirror in settings.toml or BAREBOAT_{family.upper()}_MIRROR, the URL "
            "above dists/ and pool/",
        )
    keyrings = tuple(dict.fromkeys(p for s in good for p in s.signed_by))
    return Mirrors(tuple(dict.fromkeys(main_uris)), tuple(dict.fromkeys(security_uris)), keyrings)
