"""registries.conf, version 2 (containers-registries.conf(5)): prefix, location, mirrors, insecure, blocked.

unqualified-search-registries and short-name aliases are not used: a name without a host is Docker Hub's. A file of
version 1 says nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bareboat import toml
from bareboat.registry.base import RegistryError

if TYPE_CHECKING:
    from bareboat.registry.hosts import RegistrySettings

_PULLS = {"all": "all", "digest-only": "digest", "tag-only": "tag"}


@dataclass(frozen=True)
class Mirror:
    """Where instead. prefix → location; pulls: as Endpoint's."""

    prefix: str
    location: str
    insecure: bool = False
    pulls: str = "all"

    def place(self, name: str) -> str:
        """The name of a repository there."""
        if not self.location:
            return name
        if self.prefix.startswith("*."):
            return self.location + name[len(name.partition("/")[0]):]
        return self.location + name[len(self.prefix):]


@dataclass(frozen=True)
class Rule:
    """A [[registry]] table. file: where it stands."""

    prefix: str
    location: str
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()
    file: str = ""

    def place(self, name: str) -> str:
        """The name of a repository at the registry itself."""
        return Mirror(self.prefix, self.location).place(name)

    def matches(self, name: str) -> bool:
        """Whether it speaks of this repository, "host/path"."""
        if self.prefix.startswith("*."):
            return name.partition("/")[0].endswith(self.prefix[1:])
        return name == self.prefix or name.startswith(self.prefix + "/")


def rule_for(name: str, settings: RegistrySettings) -> Rule | None:
    """The rule with the longest prefix of a repository; None where the host says nothing. Raises RegistryError
    "registry.config" for a file that cannot be understood.
    """
    rules: dict[str, Rule] = {}
    for file in _files(settings):
        for rule in _read(file):
            rules[rule.prefix] = rule  # what is read later replaces
    found = [rule for rule in rules.values() if rule.matches(name)]
    return max(found, key=lambda rule: len(rule.prefix), default=None)


def _files(settings: RegistrySettings) -> Iterator[Path]:
    home = settings.env.get("HOME", "")
    said = settings.env.get("CONTAINERS_REGISTRIES_CONF", "")
    user = Path(home) / ".config/containers" if home.startswith("/") else None
    system = settings.etc / "containers"
    if said:
        yield Path(said)
        return
    if user and (user / "registries.conf").exists():
        yield user / "registries.conf"
    else:
        yield system / "registries.conf"
    for folder in (system, user):
        if folder is None:
            continue
        try:
            yield from sorted((folder / "registries.conf.d").glob("*.conf"))
        except OSError:
            continue


def _read(file: Path) -> Iterator[Rule]:
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    except OSError as error:
        raise RegistryError("registry.config", f"cannot be read: {error.strerror}", where=str(file)) from None
    document = toml.parse(content, str(file), "registry", RegistryError)
    tables = document.get("registry", [])
    if not isinstance(tables, list):
        raise _wrong(file, "registry is no list of tables")
    for table in tables:
        if not isinstance(table, dict):
            raise _wrong(file, "registry is no list of tables")
        yield _rule(table, file)


def _rule(table: dict[str, Any], file: Path) -> Rule:
    location = _text(table, "location", file)
    prefix = _text(table, "prefix", file) or location
    if not prefix:
        raise _wrong(file, "a registry has neither prefix nor location")
    by_digest = _flag(table, "mirror-by-digest-only", file)
    rows = table.get("mirror", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _wrong(file, "mirror is no list of tables")
    mirrors = []
    for row in rows:
        pulls = _text(row, "pull-from-mirror", file) or "all"
        if pulls not in _PULLS:
            raise _wrong(file, f"pull-from-mirror is {pulls!r}")
        place = _text(row, "location", file)
        if not place:
            raise _wrong(file, "a mirror has no location")
        mirror = Mirror(prefix, place, _flag(row, "insecure", file), _PULLS[pulls])
        mirrors.append(replace(mirror, pulls="digest") if by_digest else mirror)
    return Rule(prefix, location, _flag(table, "insecure", file), _flag(table, "blocked", file), tuple(mirrors),
                str(file))


def _text(table: dict[str, Any], key: str, file: Path) -> str:
    found = table.get(key, "")
    if not isinstance(found, str) or "://" in found or any(c.isspace() for c in found):
        raise _wrong(file, f"{key} is no host and path")
    return found.rstrip("/")


def _flag(table: dict[str, Any], key: str, file: Path) -> bool:
    found = table.get(key, False)
    if not isinstance(found, bool):
        raise _wrong(file, f"{key} is neither true nor false")
    return found


def _wrong(file: Path, what: str) -> RegistryError:
    return RegistryError("registry.config", what, where=str(file),
                         hint="see containers-registries.conf(5), or set CONTAINERS_REGISTRIES_CONF to another file")
