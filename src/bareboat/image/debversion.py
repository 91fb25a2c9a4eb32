"""Debian version order (Debian Policy 5.6.12), without dpkg. Pure."""

from __future__ import annotations

from functools import total_ordering

_DIGITS = "0123456789"


def _weight(char: str) -> int:
    """Order of one character of a non-digit run: ~ before the end of the part, letters before all else."""
    if char == "~":
        return -1
    return ord(char) if char.isalpha() else ord(char) + 256


def part_key(part: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """A sort key for an upstream version or a revision: alternating non-digit runs and numbers.

    Each non-digit run ends in a 0, so that a run that stops sorts after "~" and before any other character.
    """
    key: list[tuple[tuple[int, ...], int]] = []
    at, end = 0, len(part)
    while at < end:
        start = at
        while at < end and part[at] not in _DIGITS:
            at += 1
        word = (*map(_weight, part[start:at]), 0)
        start = at
        while at < end and part[at] in _DIGITS:
            at += 1
        key.append((word, int(part[start:at] or "0")))
    key.append(((0,), 0))
    return tuple(key)


def split(version: str) -> tuple[int, str, str]:
    """Epoch, upstream version, revision ("0" when there is none, which is what its absence equals)."""
    head, colon, rest = version.partition(":")
    epoch = int(head) if colon and head.isascii() and head.isdigit() else 0
    rest = rest if colon else version
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


@total_ordering
class DebVersion:
    """A version that compares as `dpkg --compare-versions` does. Hashable; equal by order, not by
    spelling."""

    __slots__ = ("key", "text")

    def __init__(self, text: str) -> None:
        epoch, upstream, revision = split(text)
        self.text = text
        self.key = (epoch, part_key(upstream), part_key(revision))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DebVersion) and self.key == other.key

    def __lt__(self, other: DebVersion) -> bool:
        return self.key < other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"DebVersion({self.text!r})"


def satisfies(version: str, relation: str, wanted: str) -> bool:
    """Whether version stands in relation ("<<" "<=" "=" ">=" ">>", also the old "<" and ">") to wanted.

    An empty relation is always satisfied (Debian Policy 7.1).
    """
    if not relation:
        return True
    left, right = DebVersion(version), DebVersion(wanted)
    if relation == "=":
        return left == right
    if relation in (">=", ">"):
        return left >= right
    if relation in ("<=", "<"):
        return left <= right
    return left > right if relation == ">>" else left < right


def upstream(version: str) -> str:
    """The upstream part: "3.13.5" of "3.13.5-2+deb13u1"."""
    return split(version)[1]
