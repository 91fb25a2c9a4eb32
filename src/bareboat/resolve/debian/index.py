"""A package index (Packages) in a compact sorted form that answers by name without being parsed again. Pure.

Building reads each stanza once; the compact form is lines sorted by name, searched by bisection in a
memory map, so that a lock that finds it in the cache pays nothing for the tens of thousands of packages it
does not ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from bareboat.errors import ResolveError
from bareboat.image.debversion import DebVersion

FORMAT = "2"  # raised when the compact form changes
_FIELDS = (
    "Package",
    "Version",
    "Architecture",
    "Filename",
    "Size",
    "SHA256",
    "Priority",
    "Essential",
    "Multi-Arch",
    "Depends",
    "Pre-Depends",
    "Provides",
    "Conflicts",
    "Breaks",
)
_NEEDLES = tuple((f"\n{name}: ".encode(), len(name) + 3) for name in _FIELDS)
_PROVIDED = b"\x01"  # second field of a line that says: this name is provided by …


class Bytes(Protocol):
    """bytes, or a memory map of a file."""

    def find(self, sub: bytes, start: int = ..., /) -> int: ...
    def rfind(self, sub: bytes, start: int = ..., end: int = ..., /) -> int: ...
    def __getitem__(self, key: slice, /) -> bytes: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Package:
    """A binary package of the archive. archive: "main" or "security". Relations are unparsed policy text."""

    name: str
    version: str
    architecture: str
    filename: str
    size: int
    sha256: str
    priority: str = ""
    essential: bool = False
    multi_arch: str = ""
    depends: str = ""
    pre_depends: str = ""
    provides: str = ""
    conflicts: str = ""
    breaks: str = ""
    archive: str = "main"

    @cached_property
    def order(self) -> DebVersion:
        """What versions are compared by."""
        return DebVersion(self.version)


def _stanzas(packages: bytes) -> Iterator[bytes]:
    """Each paragraph with the line feed before it; one at a time, since the whole is large."""
    at, end = 0, len(packages)
    while at < end:
        stop = packages.find(b"\n\n", at)
        stop = end if stop < 0 else stop
        text = packages[at - 1 : stop] if at else b"\n" + packages[:stop]
        if text.strip():
            yield text
        at = stop + 2


def build_index(packages: bytes, where: str) -> bytes:
    """The compact form of a Packages file. ResolveError "debian.index" for a stanza that misses what we
    lock."""
    lines: list[bytes] = []
    for text in _stanzas(packages):
        values = []
        for needle, skip in _NEEDLES:
            at = text.find(needle)
            if at < 0:
                values.append(b"")
                continue
            start = at + skip
            end = text.find(b"\n", start)
            while end >= 0 and text[end + 1 : end + 2] in (b" ", b"\t"):
                end = text.find(b"\n", end + 1)
            value = text[start:] if end < 0 else text[start:end]
            values.append(value.strip() if b"\n" not in value and b"\t" not in value else b" ".join(value.split()))
        if not all(values[:6]):
            raise ResolveError(
                "debian.index",
                f"a package entry is incomplete: {values[0].decode('utf-8', 'replace')!r}",
                where=where,
            )
        lines.append(b"\t".join(values))
        if values[11]:
            for item in values[11].split(b","):
                name = item.split(b"(")[0].strip().partition(b":")[0]
                lines.append(b"\t".join((name, _PROVIDED, values[0])))
    lines = sorted(set(lines))
    return b"\n" + b"\n".join(lines) + b"\n"


class Index:
    """A compact index, searched in place."""

    def __init__(self, data: Bytes, archive: str) -> None:
        self._data, self._archive = data, archive

    def _lines(self, name: str) -> Iterator[bytes]:
        data, key = self._data, name.encode() + b"\t"
        low, high = 0, len(data) - 1  # both at a line feed
        while low < high:
            middle = data.rfind(b"\n", low, (low + high) // 2 + 1)
            start = middle + 1
            end = data.find(b"\n", start)
            if data[start:end] < key:
                low = end
            else:
                high = middle
        start = low + 1
        while start < len(data):
            end = data.find(b"\n", start)
            line = data[start:end]
            if not line.startswith(key):
                return
            yield line
            start = end + 1

    def packages(self, name: str) -> list[Package]:
        """Every version of this name that the index has."""
        found = []
        for line in self._lines(name):
            v = line.decode("utf-8", "replace").split("\t")
            if v[1] != "\x01":
                flags = (v[7] == "yes", *v[8:14])
                found.append(Package(*v[:4], int(v[4]), *v[5:7], *flags, self._archive))  # type: ignore[call-arg,arg-type]
        return found

    def providers(self, name: str) -> list[str]:
        """Names of packages that declare to provide this name."""
        return [
            line.decode("utf-8", "replace").split("\t")[2]
            for line in self._lines(name)
            if line.split(b"\t", 2)[1] == _PROVIDED
        ]

    def names(self) -> list[str]:
        """Every name, sorted: for suggestions when one is not found."""
        data = self._data[0 : len(self._data)]
        return sorted({line.split(b"\t", 1)[0].decode("utf-8", "replace") for line in data.split(b"\n") if line})


class Catalogue(Protocol):
    """What the closure asks: by name, newest first."""

    def packages(self, name: str) -> list[Package]: ...
    def providers(self, name: str) -> list[str]: ...
    def names(self) -> list[str]: ...


class Union:
    """Several indexes as one: the newest version first, whichever archive has it."""

    def __init__(self, indexes: list[Index]) -> None:
        self._indexes = indexes
        self._known: dict[str, list[Package]] = {}

    def packages(self, name: str) -> list[Package]:
        """Newest first; of equal versions the one of the first index, and each version once."""
        known = self._known.get(name)
        if known is None:
            found = [p for index in self._indexes for p in index.packages(name)]
            found.sort(key=lambda p: p.order, reverse=True)  # stable: the first index wins a tie
            known = [p for i, p in enumerate(found) if i == 0 or p.order != found[i - 1].order]
            self._known[name] = known
        return known

    def providers(self, name: str) -> list[str]:
        """Sorted, each once; a provider whose newest version no longer provides the name is for the caller
        to see."""
        return sorted({p for index in self._indexes for p in index.providers(name)})

    def names(self) -> list[str]:
        """Every name of all indexes, sorted."""
        return sorted({n for index in self._indexes for n in index.names()})
