"""Which packages must be taken as wheels, and which must be built from source: --only-binary, --no-binary. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bareboat.resolve.python.requirements import normalize

ALL = ":all:"
_FLAGS = ("--no-binary", "--only-binary")


@dataclass(frozen=True)
class Formats:
    """pip's format control: normalised names or ":all:"; a name beats ":all:"."""

    no_binary: frozenset[str] = frozenset()
    only_binary: frozenset[str] = frozenset()

    def built(self, name: str) -> bool:
        """Whether wheels of this package must not be taken."""
        return name in self.no_binary or (name not in self.only_binary and ALL in self.no_binary)

    def never_built(self, name: str) -> bool:
        """Whether sources of this package must not be built."""
        return name in self.only_binary or (name not in self.no_binary and ALL in self.only_binary)


ANY = Formats()


def is_format(text: str) -> bool:
    """Whether a line of a requirements file is one of these options."""
    return text.startswith(_FLAGS) and text.replace("=", " ").split()[:1] in ([_FLAGS[0]], [_FLAGS[1]])


def formats_of(texts: Iterable[str]) -> Formats:
    """What these lines say together, later ones over earlier ones (pip's format control)."""
    wheels_refused: set[str] = set()
    sources_refused: set[str] = set()
    for text in texts:
        if not is_format(text):
            continue
        flag, *values = text.replace("=", " ", 1).split()
        here, other = wheels_refused, sources_refused
        if flag == _FLAGS[1]:
            here, other = other, here
        for value in ",".join(values).split(","):
            if value == ALL:
                other.clear()
                here.clear()
                here.add(ALL)
            elif value == ":none:":
                here.clear()
            elif value:
                other.discard(normalize(value))
                here.add(normalize(value))
    return Formats(frozenset(wheels_refused), frozenset(sources_refused))
