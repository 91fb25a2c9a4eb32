"""Why a package is there: ways through the graph of who needs whom. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A package as somebody needs it. extras: of it that are needed too; bound: the versions allowed, as written;
    when: the extra of the needing package under which alone it is needed, "" for always."""

    name: str
    extras: tuple[str, ...] = ()
    bound: str = ""
    when: str = ""


@dataclass(frozen=True)
class Graph:
    """roots: (where it is asked for, what); needs: name → what it needs; versions: name → version."""

    roots: tuple[tuple[str, Node], ...]
    needs: Mapping[str, tuple[Node, ...]]
    versions: Mapping[str, str]

    def needed_by(self, name: str) -> tuple[str, ...]:
        """Who needs a package for certain (not only for an extra), by name."""
        return tuple(sorted(other for other, nodes in self.needs.items()
                            if other != name and any(n.name == name and not n.when for n in nodes)))


def chains(graph: Graph, name: str, most: int) -> tuple[tuple[str, ...], ...]:
    """The shortest way from each root to a package, shortest first, then as the roots stand; at most `most` of them.

    A link under an extra is taken only where that extra is asked for on the way. Each link: "numpy 2.1 (>=1.26)".
    """
    found = []
    for where, root in graph.roots:
        way = _shortest(graph, root, name)
        if way is not None:
            found.append((where, *(_link(graph, node) for node in way)))
    unique = dict.fromkeys(found)
    return tuple(sorted(unique, key=len)[:most])


def _shortest(graph: Graph, root: Node, name: str) -> tuple[Node, ...] | None:
    """By breadth: a state is a package with the extras asked of it."""
    waiting: deque[tuple[Node, ...]] = deque([(root,)])
    seen = {(root.name, root.extras)}
    while waiting:
        way = waiting.popleft()
        last = way[-1]
        if last.name == name:
            return way
        for node in graph.needs.get(last.name, ()):
            if node.when and node.when not in last.extras:
                continue
            if (node.name, node.extras) not in seen:
                seen.add((node.name, node.extras))
                waiting.append((*way, node))
    return None


def _link(graph: Graph, node: Node) -> str:
    extras = f"[{','.join(node.extras)}]" if node.extras else ""
    bound = f" ({node.bound.strip()})" if node.bound.strip() else ""
    return f"{node.name}{extras} {graph.versions.get(node.name, '')}".rstrip() + bound
