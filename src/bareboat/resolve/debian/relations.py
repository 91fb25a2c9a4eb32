"""Relations between packages (Debian Policy 7.1): text to values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bareboat.image.debversion import satisfies

RELATIONS = ("<<", "<=", "=", ">=", ">>", "<", ">")


@dataclass(frozen=True)
class Relation:
    """One name with an optional version bound; qualifier: what stands after the colon ("any", "native", an
    arch)."""

    name: str
    relation: str = ""
    version: str = ""
    qualifier: str = ""

    def matches(self, version: str) -> bool:
        """Whether a package of this name in that version is meant."""
        return satisfies(version, self.relation, self.version)

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.relation} {self.version})" if self.relation else name


def parse_relation(text: str) -> Relation | None:
    """One alternative; None when there is no name in it. Architecture and profile lists of source packages
    are cut."""
    text = text.partition("[")[0].partition("<!")[0].strip()
    head, bracket, bound = text.partition("(")
    name, _, qualifier = head.strip().partition(":")
    if not name:
        return None
    if not bracket:
        return Relation(name, qualifier=qualifier)
    bound = bound.partition(")")[0].strip()
    relation = next((r for r in RELATIONS if bound.startswith(r)), "")
    return Relation(name, relation, bound[len(relation) :].strip() if relation else "", qualifier)


def parse_relations(text: str) -> list[tuple[Relation, ...]]:
    """A Depends-like field: groups that must all hold, each a tuple of alternatives in order of
    preference."""
    groups = []
    for group in text.split(","):
        alternatives = tuple(r for r in map(parse_relation, group.split("|")) if r is not None)
        if alternatives:
            groups.append(alternatives)
    return groups
