"""Many packages' files as one tree, decided in memory before anything is written. Pure.

Paths go through links as they would in the finished system, but only in this model: nothing on disk is
followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bareboat.builder.debs import Unpacked
from bareboat.errors import ArchiveError
from bareboat.image.tarstream import DIRECTORY, FILE, SYMLINK

_HOPS = 40


@dataclass(frozen=True)
class Node:
    """What lies at a path. owner: the package it is from; stored: its path in that package's tree."""

    kind: str
    mode: int = 0o755
    link: str = ""
    owner: Unpacked | None = None
    stored: str = ""


@dataclass
class Merge:
    """A tree being decided. below: what lies under it in another tree of the same stack."""

    same: Callable[[Node, Node], bool]
    below: Merge | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    overlaps: list[str] = field(default_factory=list)

    def find(self, path: str) -> Node | None:
        """The node at a path, here or below; no link is followed."""
        node = self.nodes.get(path)
        return node if node is not None or self.below is None else self.below.find(path)

    def place(self, path: str) -> str:
        """Where a path really lies when the links among its parents are followed, inside the root."""
        todo = path.split("/")[::-1]
        done: list[str] = []
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done[:-1]
                continue
            done.append(part)
            node = self.find("/".join(done)) if todo else None
            if node is not None and node.kind == SYMLINK:
                hops += 1
                if hops > _HOPS:
                    raise ArchiveError("deb.link", f"the links on the way to {path!r} form a loop")
                done = [] if node.link.startswith("/") else done[:-1]
                todo += node.link.split("/")[::-1]
        return "/".join(done)

    def resolve(self, path: str) -> tuple[str, Node | None]:
        """The path and node that a path means when the last part may be a link too."""
        for _ in range(_HOPS):
            path = self.place(path)
            node = self.find(path)
            if node is None or node.kind != SYMLINK:
                return path, node
            path = node.link if node.link.startswith("/") else f"{path.rpartition('/')[0]}/{node.link}"
        return path, None

    def add(self, packages: Iterable[Unpacked]) -> None:
        """Put packages in, in the order given; of one path in two packages, see _add_file."""
        for package in packages:
            for stored, kind, mode, link in package.entries:
                path = self.place(stored)
                if not path:
                    continue
                node = Node(kind, mode, link, package, stored)
                present = self.find(path)
                if kind == DIRECTORY:
                    if present is None:
                        self.nodes[path] = node
                    elif present.kind == FILE:
                        raise _clash(path, present, node)
                    elif present.kind == SYMLINK and not self._is_directory(path):
                        self.nodes[path] = node
                elif present is not None and present.kind == DIRECTORY:
                    if kind == FILE:
                        raise _clash(path, present, node)
                    self.overlaps.append(f"/{path}: the link of {package.name} gives way to a directory")
                else:
                    self._add_file(path, node, present)

    def _is_directory(self, path: str) -> bool:
        target, node = self.resolve(path)
        return (node is not None and node.kind == DIRECTORY) or any(
            p.startswith(target + "/") for p in self.nodes
        )

    def _add_file(self, path: str, node: Node, present: Node | None) -> None:
        """A later package takes a path over, unless the earlier one declares that it replaces the later."""
        if present is None or present.owner is None:
            self.nodes[path] = node
            return
        if self.same(present, node):
            return
        assert node.owner is not None
        if node.owner.name in _names(present.owner.fields.get("Replaces", "")):
            return
        if present.owner.name not in _names(node.owner.fields.get("Replaces", "")):
            self.overlaps.append(
                f"/{path}: in {present.owner.name} and {node.owner.name}, which differ; "
                f"{node.owner.name} wins"
            )
        self.nodes[path] = node


def _names(relations: str) -> set[str]:
    return {r.partition("(")[0].strip().partition(":")[0] for r in relations.replace("|", ",").split(",")}


def _clash(path: str, present: Node, node: Node) -> ArchiveError:
    names = [n.owner.name if n.owner else "the base" for n in (present, node)]
    return ArchiveError(
        "deb.clash", f"/{path} is a {present.kind} in {names[0]} and a {node.kind} in {names[1]}"
    )
